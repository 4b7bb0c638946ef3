"""One way to read a trace, in a process of its own: python ways.py WAY TRACE."""

from __future__ import annotations

import sys
from collections import defaultdict
from pathlib import Path
from typing import Any


def ours_tables(trace: str) -> int:
    """Our ingest: the file to Arrow tables, nothing linked, no cache; in a process set up as the commands do it."""
    from traceanalyzer.own_process import start_light

    start_light()
    from traceanalyzer.ingest.inputs import read_inputs
    from traceanalyzer.ingest.options import LoadOptions

    return rows(read_inputs([trace], LoadOptions(use_cache=False)).tables)


def ours_reopen(trace: str) -> int:
    """Our ingest when the cache has the file."""
    from traceanalyzer.own_process import start_light

    start_light()
    from traceanalyzer.ingest.inputs import read_inputs
    from traceanalyzer.ingest.options import LoadOptions

    return rows(read_inputs([trace], LoadOptions(use_cache=True)).tables)


def hta(trace: str) -> int:
    """HTA's own JSON backend to its DataFrame."""
    from hta.common.trace_parser import parse_trace_dataframe
    from hta.configs.parser_config import ParserBackend, ParserConfig

    config = ParserConfig.get_default_cfg()
    config.parser_backend = ParserBackend.JSON
    _, frame, _ = parse_trace_dataframe(trace, config)
    return len(frame)


def orjson_arrow(trace: str) -> int:
    """The straightforward way: objects, then a list per category and key, then Arrow."""
    import orjson
    import pyarrow as pa

    columns: dict[str, dict[str, list[Any]]] = defaultdict(dict)
    lengths: dict[str, int] = defaultdict(int)
    for event in orjson.loads(Path(trace).read_bytes())["traceEvents"]:
        category = event.get("cat", event["ph"])
        done = lengths[category]
        cells = {key: value for key, value in event.items() if key != "args"} | event.get("args", {})
        for key, value in cells.items():
            column = columns[category].setdefault(key, [])
            column.extend([None] * (done - len(column)))
            column.append(value)
        lengths[category] += 1
    tables = {}
    for category, by_key in columns.items():
        arrays = {}
        for key, column in by_key.items():
            column.extend([None] * (lengths[category] - len(column)))
            try:
                arrays[key] = pa.array(column)
            except (pa.ArrowInvalid, pa.ArrowTypeError):  # int in one event, text or a list in the next
                arrays[key] = pa.array([None if v is None else orjson.dumps(v).decode() for v in column])
        tables[category] = pa.table(arrays)
    return rows(tables)


def plain_json(trace: str) -> int:
    """The standard library, to objects and no further."""
    import json

    with Path(trace).open("rb") as file:
        return len(json.load(file)["traceEvents"])


def rows(tables: Any) -> int:
    return sum(table.num_rows for table in tables.values())


WAYS = {way.__name__: way for way in (ours_tables, ours_reopen, hta, orjson_arrow, plain_json)}

if __name__ == "__main__":
    sys.stdout.write(f"{WAYS[sys.argv[1]](sys.argv[2])}\n")
