"""Evidence about work on the device names the line of the user's code that it comes from."""

from __future__ import annotations

import pytest
from compute_situations import STREAM, Computing
from linked import AUTOGRAD, Linked

from traceanalyzer.pipeline import analyze
from traceanalyzer.rules.launched import line_of


def launched_from(*files: str) -> Linked:
    """A kernel whose op was called in frames, the outermost first."""
    b = Linked()
    frame = None
    for depth, file in enumerate(files):
        around = {} if frame is None else {"parent": frame}
        frame = b.frame(file, 10 + depth, 0, 50, depth=depth, **around)
    op = b.op("aten::mm", 1, 5, **({} if frame is None else {"python_call": frame}))
    b.launch("k", 2, 10, 20, op=op)
    return b


@pytest.mark.parametrize(
    ("files", "line"),
    [
        (("train.py", "model.py", "torch/nn/functional.py"), "model.py:11"),
        (("transformers/trainer.py", "torch/nn/functional.py"), "transformers/trainer.py:10"),
        (("torch/nn/functional.py",), None),
        ((), None),
    ],
)
def test_it_is_the_innermost_frame_of_the_user_or_else_of_a_package(
    files: tuple[str, ...], line: str | None
) -> None:
    trace = launched_from(*files).trace()
    assert line_of(trace, "kernels", 0) == line
    assert line_of(trace, "ops", 0) == line


def test_the_backward_pass_has_the_line_of_its_forward_op() -> None:
    b = Linked()
    forward = b.op("aten::mm", 1, 5, python_call=b.frame("model.py", 7, 0, 9), seq=3)
    node = b.op("autograd::engine::evaluate_function: MmBackward0", 20, 40, tid=AUTOGRAD, forward=forward)
    op = b.op("aten::mm", 22, 30, tid=AUTOGRAD, parent=node, depth=1)
    b.launch("k", 23, 30, 40, op=op, tid=AUTOGRAD)
    assert line_of(b.trace(), "kernels", 0) == "model.py:7"


def test_a_finding_about_kernels_tells_the_line() -> None:
    b = Computing()
    frame = b.frame("model.py", 7, 0, 900)
    for _ in range(2):
        b.work("aten::mul", STREAM, 300, [16384, 8192], [16384, 8192], python_call=frame)
    found = [e for f in analyze(b.done().trace()).findings for e in f.evidence if e.table == "kernels"]
    assert found
    for evidence in found:
        assert evidence.python == "model.py:7"
        assert evidence.text.endswith(", from model.py:7")
