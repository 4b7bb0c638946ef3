"""Tables of an SQLite file as Arrow columns, decoded from its pages: no Python object for each cell.

SQLite hands out one cell at a time, and an object has to be made of each: most of the time that a large export took.
Its pages are simple (https://www.sqlite.org/fileformat2.html): the leaves of a table's tree hold its rows as cells, and
a cell is its length, its rowid, the type of each column, and the values one behind the other. Here numpy takes the
cells of many pages at a time, column by column.

What exports do not have, such as rows that go on in another page or tables without rowids, and whatever is damaged is
`Unusual`: SQLite itself has to be asked, and says what is wrong.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    Bytes = NDArray[np.uint8]
    Ints = NDArray[np.int64]

ROWID = -1
"""Stands for the rowid among the places of columns."""
_INTERIOR, _LEAF = 5, 13
"""The first byte of a page of a table with rowids."""
_CHUNK_BYTES = 1 << 20
"""What is decoded at a time: as much as stays in the processor's cache, with what is made of it."""
_DEEPEST = 20
_NO_OVERFLOW = 35
"""By how much a row must be shorter than a page to be whole in it."""
_UTF8 = 1

_NULL, _ONE, _FLOAT, _TEXT = 0, 9, 7, 13
_TYPES = 1 << 18
"""Above the type of any value that fits into a page: 2 for each of at most 64 KiB."""
_SIZES = (np.arange(_TYPES) - 12) // 2
"""Bytes of a value by its type: numbers, 0 and 1 in no bytes, two that do not exist; then BLOBs, and texts if odd."""
_SIZES[:12] = (0, 1, 2, 3, 4, 6, 8, 8, 0, 0, _TYPES, _TYPES)
_SPARE_BITS = 64 - 8 * _SIZES[:10]
"""What follows an integer in the eight bytes that begin with it."""


class Unusual(Exception):
    """Something that only SQLite should read."""


class Pages:
    """The pages of one file. Close it.

    Raises:
        Unusual: its texts are not UTF-8.
    """

    def __init__(self, path: Path) -> None:
        self._file = path.open("rb")
        head = self._file.read(100)
        self._size = int.from_bytes(head[16:18], "big")
        self._size = 1 << 16 if self._size == 1 else self._size
        self._usable = self._size - head[20]
        self._count = path.stat().st_size // self._size
        self._utf8 = head[59] == _UTF8

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def batches(
        self, root: int, places: Sequence[int], schema: pa.Schema, key: int | None
    ) -> Iterator[pa.RecordBatch]:
        """The rows of a table in the order of their rowids.

        Args:
            root: the first page of the table.
            places: of the columns in a row, or `ROWID`.
            schema: these columns, int64 or string.
            key: place of the column that is another name of the rowid.

        Raises:
            Unusual: there is something in the way.
        """
        if not self._utf8:
            raise Unusual
        fields = dict(zip(places, schema, strict=True))
        try:
            leaves = self._leaves(root)
            step = max(_CHUNK_BYTES // self._size, 1)
            for first in range(0, len(leaves), step):
                data = self._load(leaves[first : first + step])
                cell, page_end = self._cells(data)
                if len(cell):
                    columns = self._columns(data, cell, page_end, fields, key)
                    yield pa.RecordBatch.from_arrays([columns[place] for place in places], schema=schema)
        except (IndexError, pa.ArrowInvalid):
            raise Unusual from None

    def _leaves(self, root: int) -> Ints:
        level = np.array([root])
        for _ in range(_DEEPEST):
            if self._load(level[:1])[0] == _LEAF:
                return level
            pages = self._load(level)[:-8].reshape(-1, self._size)
            level = np.concatenate([_children(page) for page in pages])
            if len(level) > self._count:
                break
        raise Unusual

    def _load(self, numbers: Ints) -> Bytes:
        """Pages one behind the other, and eight bytes more; shape (len(numbers) * size + 8,)."""
        if numbers.min() < 1 or numbers.max() > self._count:
            raise Unusual
        data = np.zeros(len(numbers) * self._size + 8, np.uint8)
        rest = data.data
        for run in np.split(numbers, np.flatnonzero(np.diff(numbers) != 1) + 1):
            self._file.seek((int(run[0]) - 1) * self._size)
            self._file.readinto(rest[: len(run) * self._size])
            rest = rest[len(run) * self._size :]
        return data

    def _cells(self, data: Bytes) -> tuple[Ints, Ints]:
        """Where cells begin, and where their pages end, shape (rows,)."""
        pages = data[:-8].reshape(-1, self._size)
        if (pages[:, 0] != _LEAF).any():
            raise Unusual
        counts = pages[:, 3:5].copy().view(">u2").ravel().astype(np.int64)
        if 8 + 2 * int(counts.max()) > self._usable:
            raise Unusual
        pointers = pages[:, 8 : 8 + 2 * int(counts.max())].copy().view(">u2")
        page = np.repeat(np.arange(len(pages)) * self._size, counts)
        return page + pointers[np.arange(pointers.shape[1]) < counts[:, None]], page + self._usable

    def _columns(
        self, data: Bytes, cell: Ints, page_end: Ints, fields: Mapping[int, pa.Field], key: int | None
    ) -> dict[int, pa.Array]:
        """The columns by their places."""
        length, at = _varints(data, cell)
        rowid, body = _varints(data, at)
        end = body + length
        if (length > self._usable - _NO_OVERFLOW).any() or (end > page_end).any():
            raise Unusual
        header, type_at = _varints(data, body)
        values_at = at = body + header
        columns = {ROWID: pa.array(rowid)}
        for place in range(max(fields) + 1):
            type_, type_at = _varints(data, type_at)
            size = _SIZES[type_]
            if place in fields:
                decode = _texts if pa.types.is_string(fields[place].type) else _integers
                columns[place] = columns[ROWID] if place == key else decode(data, at, type_, size)
            at = at + size
        if (type_at > values_at).any() or (at > end).any():  # or the table got columns later
            raise Unusual
        return columns


def _children(page: Bytes) -> Ints:
    """The pages below an interior page, in order."""
    count = int.from_bytes(page[3:5].tobytes(), "big")
    if page[0] != _INTERIOR or 12 + 2 * count > len(page):
        raise Unusual
    cells = page[12 : 12 + 2 * count].copy().view(">u2").astype(np.int64)
    left = page[cells[:, None] + np.arange(4)].view(">u4").ravel()
    return np.append(left, page[8:12].copy().view(">u4")).astype(np.int64)


def _varints(data: Bytes, at: Ints) -> tuple[Ints, Ints]:
    """Numbers of one to eight bytes, seven bits in each, and where what follows them is."""
    byte = data[at]
    value, after = (byte & 127).astype(np.int64), at + 1
    longer = np.flatnonzero(byte > 127)
    for _ in range(7):
        if not len(longer):
            return value, after
        byte = data[after[longer]]
        value[longer] = value[longer] << 7 | byte & 127
        after[longer] += 1
        longer = longer[byte > 127]
    raise Unusual


def _integers(data: Bytes, at: Ints, type_: Ints, size: Ints) -> pa.Array:
    if ((type_ > _ONE) | (type_ == _FLOAT)).any():
        raise Unusual
    eight = np.ndarray(len(data) - 7, ">i8", data, strides=(1,))
    values = eight[at].astype(np.int64) >> np.minimum(_SPARE_BITS[type_], 63)
    values = np.where(size == 0, type_ == _ONE, values)
    return pa.array(values, mask=type_ == _NULL)


def _texts(data: Bytes, at: Ints, type_: Ints, size: Ints) -> pa.Array:
    null = type_ == _NULL
    if not (null | (type_ >= _TEXT) & (type_ % 2 == 1)).all():
        raise Unusual
    order = np.argsort(at)  # cells fill a page from its end
    edges = np.stack((at[order], at[order] + size[order]), axis=1).ravel()
    if (np.diff(edges) < 0).any():
        raise Unusual
    pieces = pa.BinaryArray.from_buffers(
        pa.binary(), len(edges) - 1, [None, pa.py_buffer(edges.astype(np.int32)), pa.py_buffer(data)]
    )
    place = np.empty_like(order)
    place[order] = np.arange(len(order)) * 2
    return pieces.take(pa.array(place, mask=null)).cast(pa.string())
