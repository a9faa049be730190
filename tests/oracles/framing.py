"""The records of a batch of magic 2, slow and obvious, as Kafka's message format describes them."""

from typing import NamedTuple


class Found(NamedTuple):
    """A record."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes | None]]


class Reader:
    """Reads one thing after another."""

    def __init__(self, said: bytes) -> None:
        self.said, self.at = said, 0

    def take(self, length: int) -> bytes:
        """Return the next bytes; IndexError where there are not so many."""
        if length < 0 or self.at + length > len(self.said):
            raise IndexError(length)
        self.at += length
        return self.said[self.at - length : self.at]

    def varint(self) -> int:
        """Return a number: seven bits a byte, the low ones first, its sign in the lowest bit."""
        value: int = 0
        for place in range(10):
            byte = self.take(1)[0]
            value += (byte % 128) << 7 * place
            if byte < 128:
                return value // 2 if value % 2 == 0 else -(value + 1) // 2
        raise IndexError("a varint of more than ten bytes")

    def told(self) -> bytes | None:
        """Return bytes behind their length; None where that is -1."""
        length = self.varint()
        return None if length == -1 else self.take(length)


def records(
    body: bytes, count: int, first_offset: int, last_offset: int, first_ms: int, append_ms: int
) -> list[Found]:
    """Return the records of an uncompressed body; IndexError where it is damaged."""
    reader, found = Reader(body), list[Found]()
    for _ in range(count):
        own = Reader(reader.take(reader.varint()))
        own.take(1)  # attributes, of which there are none
        timestamp, offset = first_ms + own.varint(), first_offset + own.varint()
        key, value, headers = own.told(), own.told(), list[tuple[str, bytes | None]]()
        several = own.varint()
        if several < 0:
            raise IndexError(several)
        for _ in range(several):
            name = own.told()
            if name is None:
                raise IndexError("a header without a name")
            headers.append((name.decode(errors="backslashreplace"), own.told()))
        if own.at != len(own.said):
            raise IndexError("bytes behind a record")
        found.append(Found(offset, append_ms if append_ms >= 0 else timestamp, key, value, headers))
    offsets = [record.offset for record in found]
    if offsets != sorted({*offsets}) or any(not first_offset <= o <= last_offset for o in offsets):
        raise IndexError("offsets that do not rise within those of the batch")
    if reader.at != len(body):
        raise IndexError("bytes behind the last record")
    return found
