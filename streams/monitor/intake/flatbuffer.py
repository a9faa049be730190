"""As much of the flatbuffers format as tells what an Arrow message holds."""

import struct
from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True, slots=True)
class Table:
    """A table in a buffer that was verified; its fields are known by their places.

    https://flatbuffers.dev/internals: at its place stands how far before it lies the list of
    where its fields are, 16 bits each, 0 for one that is not there.
    """

    buffer: bytes
    place: int

    @classmethod
    def root(cls, buffer: bytes) -> Self:
        """Return the table that a buffer is about."""
        return cls(buffer, *struct.unpack_from("<I", buffer))

    def has(self, field: int) -> bool:
        """Return whether a field is there; one with its default need not be."""
        return self._place(field) != self.place

    def int16(self, field: int) -> int:
        """Return a number of 16 bits, 0 where it is not there."""
        return self._number("<h", field)

    def int64(self, field: int) -> int:
        """Return a number of 64 bits, 0 where it is not there."""
        return self._number("<q", field)

    def table(self, field: int) -> "Table | None":
        """Return the table that a field leads to, None where it is not there."""
        start = self._start(field)
        return Table(self.buffer, start) if start else None

    def vector(self, field: int) -> tuple[int, int]:
        """Return where the entries of a list begin, and their number."""
        start = self._start(field)
        return (start + 4, struct.unpack_from("<I", self.buffer, start)[0]) if start else (0, 0)

    def tables(self, field: int) -> "list[Table]":
        """Return the tables of a list."""
        start, count = self.vector(field)
        places = range(start, start + 4 * count, 4)
        return [Table(self.buffer, p + struct.unpack_from("<I", self.buffer, p)[0]) for p in places]

    def _start(self, field: int) -> int:
        """Return where what a field leads to begins, 0 where it is not there."""
        step = self._number("<I", field)
        return self._place(field) + step if step else 0

    def _number(self, form: str, field: int) -> int:
        place = self._place(field)
        found: int = 0 if place == self.place else struct.unpack_from(form, self.buffer, place)[0]
        return found

    def _place(self, field: int) -> int:
        fields = self.place - struct.unpack_from("<i", self.buffer, self.place)[0]
        size, at = struct.unpack_from("<H", self.buffer, fields)[0], 4 + 2 * field
        inside = at < size
        return self.place + (struct.unpack_from("<H", self.buffer, fields + at)[0] if inside else 0)
