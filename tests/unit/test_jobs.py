"""Files that cannot be of one run are refused in one line; what may be ranks of one job is taken for that."""

from __future__ import annotations

import json
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

from traceanalyzer import analyze, load
from traceanalyzer.cli.command_line import run
from traceanalyzer.errors import UsageError
from traceanalyzer.ingest.options import LoadOptions

FIXTURES = Path(__file__).parents[2] / "fixtures"
CORPUS = FIXTURES.parents[1] / "shared" / "corpus"
MINUTE_US = 60_000_000
NO_CACHE = LoadOptions(use_cache=False)


def a_profile(path: Path, start_us: int, pid: int, *, sends: bool = False, **info: Any) -> Path:
    """Ops from `start_us` on, for a millisecond; collectives among them where the process `sends`."""
    row = {"ph": "X", "cat": "cpu_op", "pid": pid, "tid": pid, "dur": 5}
    names = ("aten::mm", "c10d::broadcast_" if sends else "aten::add")
    events = [
        {**row, "name": names[i % 2], "ts": start_us + 10 * i, "args": {"External id": i + 1}}
        for i in range(100)
    ]
    header = {"distributedInfo": info} if info else {}
    content = {"baseTimeNanoseconds": 1_700_000_000_000_000_000, "traceEvents": events, **header}
    path.write_text(json.dumps(content))
    return path


def ranks_of(*files: Path) -> list[int]:
    trace = load(*files, options=NO_CACHE)
    analyze(trace)
    return [s.rank for s in trace.sources]


def test_runs_of_one_program_made_one_after_the_other_are_no_ranks(tmp_path: Path, capsys: Any) -> None:
    first, second = (a_profile(tmp_path / f"{i}.json", 10_000_000 * i, 10 + i) for i in (0, 1))
    assert run(["summary", str(tmp_path), "--no-cache"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line == (
        f"trace-analyze: {first} and {second} are not of one run: one was recorded after the other, and not of the "
        "same process. Give the files of one run, or two runs to diff."
    )


@pytest.mark.parametrize("command", [["info"], ["export", "-o", "out"], ["query"]])
def test_the_rows_of_several_runs_may_stand_side_by_side_and_that_they_do_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any, command: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for i in (0, 1):
        a_profile(tmp_path / f"{i}.json", 10_000_000 * i, 10 + i)
    statement = ["SELECT count(*) FROM ops"] if command == ["query"] else []
    assert run([*command, "0.json", "1.json", *statement, "--no-cache"]) == 0
    assert "trace-analyze: 0.json and 1.json are not of one run" in capsys.readouterr().err


def test_info_as_json_says_whether_the_files_are_of_one_run(tmp_path: Path, capsys: Any) -> None:
    files = [str(a_profile(tmp_path / f"{i}.json", 10_000_000 * i, 10 + i)) for i in (0, 1)]
    assert run(["info", "--json", "--no-cache", *files]) == 0
    assert "are not of one run" in json.loads(capsys.readouterr().out)["unrelated"]
    assert run(["info", "--json", "--no-cache", files[0]]) == 0
    assert json.loads(capsys.readouterr().out)["unrelated"] is None


def test_runs_that_were_recorded_again_after_a_while_are_told_by_a_rank_that_both_have(
    tmp_path: Path,
) -> None:
    """Each of the runs has two ranks; nothing but time tells which run a file is of."""
    files = [
        a_profile(
            tmp_path / f"{run}-{rank}.json", 3_000_000 * run, 10 * run + rank + 1, rank=rank, world_size=2
        )
        for run in (0, 1)
        for rank in (0, 1)
    ]
    with pytest.raises(UsageError, match=r"0-0\.json and .*1-0\.json are not of one run"):
        ranks_of(*files)


def test_jobs_of_other_sizes_are_told_apart(tmp_path: Path) -> None:
    files = [a_profile(tmp_path / f"{n}.json", n, n, rank=n, world_size=2 * n) for n in (1, 2)]
    with pytest.raises(UsageError, match="one is of a job of 2 ranks, the other of 4"):
        ranks_of(*files)


def test_a_folder_of_runs_can_still_be_looked_into(tmp_path: Path) -> None:
    """Only what is told of all together would be wrong."""
    for i in (0, 1):
        a_profile(tmp_path / f"{i}.json", 10_000_000 * i, 10 + i)
    assert load(tmp_path, options=NO_CACHE).ops.num_rows == 200


@pytest.mark.parametrize("apart", [0, MINUTE_US, 100 * MINUTE_US])
def test_ranks_of_a_job_may_have_any_clock(tmp_path: Path, apart: int) -> None:
    files = [a_profile(tmp_path / f"{n}.json", n * apart, n + 1, rank=n, world_size=8) for n in range(3)]
    assert ranks_of(*files) == [0, 1, 2]


def test_ranks_that_only_names_of_files_tell_may_have_any_clock(tmp_path: Path) -> None:
    files = [a_profile(tmp_path / f"rank{n}.json", n * 100 * MINUTE_US, n + 1) for n in range(3)]
    assert ranks_of(*files) == [0, 1, 2]


def test_ranks_that_nothing_tells_run_side_by_side(tmp_path: Path) -> None:
    assert ranks_of(*(a_profile(tmp_path / f"{n}.json", 900 * n, n + 1) for n in range(4))) == [0, 1, 2, 3]


def test_where_they_communicate_their_clocks_may_be_some_minutes_off(tmp_path: Path) -> None:
    files = [a_profile(tmp_path / f"{n}.json", n * MINUTE_US, n + 1, sends=True) for n in range(3)]
    assert ranks_of(*files) == [0, 1, 2]
    late = a_profile(tmp_path / "late.json", 30 * MINUTE_US, 9, sends=True)
    with pytest.raises(UsageError, match=r"2\.json and .*late\.json are not of one run"):
        ranks_of(*files, late)


def test_replicas_of_a_service_go_together(tmp_path: Path) -> None:
    """Each is rank 0 of a world of its own, at the same time."""
    files = [a_profile(tmp_path / f"{n}.json", 10 * n, n + 1, rank=0, world_size=1) for n in range(3)]
    assert ranks_of(*files) == [0, 1, 2]


def test_recorded_runs_do_not_go_together() -> None:
    files = sorted((FIXTURES / "cpu").glob("*.trace.json.gz"))
    assert len(files) > 5
    for pair in combinations(files, 2):
        with pytest.raises(UsageError, match="are not of one run"):
            analyze(load(*pair))


@pytest.mark.parametrize(
    "files",
    [
        ("simulated/sim_straggler_rank0.json.gz", "simulated/sim_straggler_rank1.json.gz"),
        ("nsys/train.trace.json.gz", "nsys/train.sqlite.gz"),
        ("nsys/train.trace.json.gz", "nsys/train.sqlite.gz", "snapshots/oom.pickle.gz"),
        ("gpu/train.plain.trace.json.gz", "gpu/train.plain.snapshot.pickle.gz", "gpu/train.plain.ncu.csv.gz"),
    ],
    ids=lambda files: files[-1],
)
def test_recorded_files_of_one_run_go_together(files: tuple[str, ...]) -> None:
    assert not load(*(FIXTURES / file for file in files)).unrelated


@pytest.mark.skipif(not CORPUS.exists(), reason="needs ../shared/corpus")
def test_recorded_ranks_of_a_large_job_go_together() -> None:
    assert not load(CORPUS / "traces" / "ranks").unrelated
