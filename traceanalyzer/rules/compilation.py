"""Rules about torch.compile: broken and recompiled graphs, and what is left of launch overhead."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, ClassVar

from traceanalyzer.analyzers import thresholds
from traceanalyzer.rules.base import DEVICE_WORK, LAUNCHED, ORDINARY
from traceanalyzer.rules.findings import Evidence, Finding
from traceanalyzer.rules.idle_places import places
from traceanalyzer.rules.wording import count, duration
from traceanalyzer.text import Text, say

if TYPE_CHECKING:
    from collections.abc import Iterable

    from traceanalyzer.analyzers.ranges import RangeRow, Ranges
    from traceanalyzer.model.trace import Capability
    from traceanalyzer.rules.base import Facts

REGION = re.compile(r"Torch-Compiled Region: (\d+)/(\d+)")
_ENTRY = re.compile(r"^(entire_frame_compile|_compile\.compile_inner|_compile)( \(dynamo_timed\))?$")
SHOWN = 5


def _regions(facts: Facts) -> dict[int, dict[int, RangeRow]]:
    """Compiled regions by the number of their frame and of their compilation."""
    ranges: Ranges = facts.results["ranges"]
    found: dict[int, dict[int, RangeRow]] = {}
    for row in ranges.annotated(REGION):
        match = REGION.search(row.name)
        if match:
            found.setdefault(int(match[1]), {})[int(match[2])] = row
    return found


class GraphBreaks:
    """torch.compile splits the program into many graphs.

    Whatever Dynamo cannot trace ends a graph: printing, `.item()`, calls into C extensions, data-dependent branches.
    Python runs in between, nothing is fused across the break, and CUDA graphs end there too.
    """

    code: ClassVar[str] = "BREAK001"
    title: ClassVar[Text] = say("The compiled program is broken into many graphs")
    requires: ClassVar[frozenset[Capability]] = DEVICE_WORK

    def check(self, facts: Facts) -> Iterable[Finding]:
        """One finding when many different frames are compiled apart."""
        frames = _regions(facts)
        if len(frames) < thresholds.GRAPH_BREAKS:
            return
        rows = sorted((r for f in frames.values() for r in f.values()), key=lambda r: (-r.total_ns, r.name))
        idle = facts.share(facts.idle_ns(*ORDINARY))
        yield Finding(
            code=self.code,
            title=self.title,
            severity="medium" if idle >= thresholds.IDLE_SHARE else "low",
            claim=say(
                "torch.compile made {number} separate {number:graph|graphs} of the program.",
                number=len(frames),
            ),
            evidence=tuple(
                Evidence(
                    say(
                        "{name}: {runs}, {time} on the host",
                        name=r.name,
                        runs=count(r.count, "run"),
                        time=duration(r.total_ns),
                    ),
                    table=r.table,
                    name=r.name,
                )
                for r in rows[:SHOWN]
            ),
            fix=say(
                "Find what breaks the graphs, and take it out of the compiled part.\n"
                "```\n"
                "TORCH_LOGS=graph_breaks python train.py\n"
                "model = torch.compile(model, fullgraph=True)  # an error at the first break\n"
                "```"
            ),
            confidence="medium",
            saving_reason=say("what Python costs between the graphs is in the idle time of IDLE001"),
        )


class Recompiles:
    """The same function is compiled again and again.

    Dynamo guards what it assumed: shapes, types, Python values. When a guard fails it compiles the function once more,
    up to a limit, and then runs it uncompiled. A sequence length or a counter that changes is the usual reason.
    """

    code: ClassVar[str] = "COMPILE002"
    title: ClassVar[Text] = say("Functions are compiled more than once")
    requires: ClassVar[frozenset[Capability]] = DEVICE_WORK

    def check(self, facts: Facts) -> Iterable[Finding]:
        """One finding when a frame runs in several compiled versions, or compilations recur in the window."""
        many = {f: v for f, v in _regions(facts).items() if max(v) >= thresholds.RECOMPILES}
        ranges: Ranges = facts.results["ranges"]
        compiled = [r for r in ranges.annotated(_ENTRY) if r.count > thresholds.RECOMPILES]
        if not many and not compiled:
            return
        yield Finding(
            code=self.code,
            title=self.title,
            severity="medium",
            claim=say("Compiled functions that run in several versions: {number}.", number=len(many))
            if many
            else say(
                "Functions are compiled {runs} {runs:time|times} within the recording.",
                runs=max(r.count for r in compiled),
            ),
            evidence=(
                *(
                    Evidence(
                        say("frame {frame} runs in versions {versions}", frame=f, versions=_listed(v)),
                        table="annotations",
                        name=v[max(v)].name,
                    )
                    for f, v in sorted(many.items())[:SHOWN]
                ),
                *map(_compilation, compiled[:SHOWN]),
            ),
            fix=say(
                "See which guard failed, and mark what changes.\n"
                "```\n"
                "TORCH_LOGS=recompiles python train.py\n"
                "torch._dynamo.mark_dynamic(x, 1)     # or torch.compile(model, dynamic=True)\n"
                "```"
            ),
            confidence="medium",
            saving_reason=say("what the device waits for compilations is in COMPILE001"),
        )


def _compilation(row: RangeRow) -> Evidence:
    return Evidence(
        say(
            "{runs} of {name}, {time}",
            runs=count(row.count, "run"),
            name=row.name,
            time=duration(row.total_ns),
        ),
        table=row.table,
        name=row.name,
    )


def _listed(versions: dict[int, RangeRow]) -> str:
    return ", ".join(str(v) for v in sorted(versions))


class CompiledWithoutGraphs:
    """The program is compiled, launches too slowly, and yet does not use CUDA graphs.

    `torch.compile` fuses kernels; every fused kernel is still launched on its own. When the launches decide how
    long a step takes, mode "reduce-overhead" records them as CUDA graphs and launches all with one call.
    """

    code: ClassVar[str] = "GRAPH002"
    title: ClassVar[Text] = say("Compiled, but without CUDA graphs")
    requires: ClassVar[frozenset[Capability]] = LAUNCHED

    def check(self, facts: Facts) -> Iterable[Finding]:
        """One finding when compiled regions run, no graph is launched and the device waits for launches."""
        idle = facts.idle_ns(*ORDINARY) - facts.pause_ns
        graphs = facts.kernels.graph_share
        if (
            not _compiled(facts)
            or graphs is None
            or graphs > 0
            or facts.share(idle) < thresholds.IDLE_SHARE_GRAPHS
        ):
            return
        kernels = sum(d.kernels for d in facts.launches.devices)
        yield Finding(
            code=self.code,
            title=self.title,
            severity="medium",
            claim=say(
                "The program is compiled without CUDA graphs, and for {share} the GPU waits for launches.",
                share=facts.of_step(facts.share(idle)),
            ),
            evidence=(
                Evidence(
                    say(
                        "{kernels} {kernels:kernel|kernels} in {steps} {steps:step|steps}",
                        kernels=f"{kernels:,}",
                        steps=f"{len(facts.steps.steps):,}",
                    )
                ),
                *places([g for g in facts.largest_gaps(*ORDINARY) if g not in facts.pauses()]),
            ),
            fix=say(
                "Fixed shapes and addresses let the launches be recorded.\n"
                "```\n"
                'model = torch.compile(model, mode="reduce-overhead")\n'
                "```"
            ),
            confidence=facts.confidence,
            saving_reason=say("the time is the idle time that IDLE001 counts; it is not saved twice"),
        )


def _compiled(facts: Facts) -> bool:
    """Whether most of the kernel time is that of compiled code, as far as regions tell."""
    regions = facts.results["phases"].compiled
    if regions is not None:
        return bool(regions.share >= thresholds.DOMINANT_SHARE)
    ranges: Ranges = facts.results["ranges"]
    return bool(ranges.annotated(re.compile(r"Torch-Compiled Region|Call CompiledFxGraph|CompiledFunction")))


RULES = (GraphBreaks(), Recompiles(), CompiledWithoutGraphs())
