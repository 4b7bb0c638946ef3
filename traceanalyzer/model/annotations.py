"""Which annotations count: a memory snapshot keeps ranges that a profile beside it has as well."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from traceanalyzer.model.columns import ints, texts
from traceanalyzer.model.join import codes_of

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

SNAPSHOT_DOMAIN = "memory_snapshot"


def host_ranges(table: pa.Table) -> NDArray[np.bool_]:
    """The host's ranges, shape (rows,); those of a snapshot only where the profile of its rank has none of the name."""
    host = np.ones(table.num_rows, np.bool_)
    if "on_gpu" in table.column_names:
        host = ~np.asarray(table["on_gpu"].combine_chunks().fill_null(False))
    if "domain" not in table.column_names:
        return host
    domain, domains = texts(table, "domain")
    copied = domain == (domains.index(SNAPSHOT_DOMAIN) if SNAPSHOT_DOMAIN in domains else -2)
    if not copied.any():
        return host
    name = codes_of(ints(table, "rank"), texts(table, "name")[0].astype(np.int64))
    return np.asarray(host & ~(copied & np.isin(name, name[host & ~copied])))
