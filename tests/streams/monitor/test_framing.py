"""The kernel finds the records that the format describes, and no others in what is damaged."""

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.oracles import framing as oracle
from tidegauge.streams.monitor.intake.framing import Body, framed

TEXTS = st.none() | st.binary(max_size=200)
RECORDS = st.tuples(
    st.integers(-(2**40), 2**40),  # ms behind the first
    st.integers(1, 300),  # offsets behind the one before
    TEXTS,
    TEXTS,
    st.lists(st.tuples(st.binary(max_size=5), TEXTS), max_size=3),
)


def varint(value: int) -> bytes:
    """Return a number as seven bits a byte."""
    left, said = value * 2 if value >= 0 else -value * 2 - 1, bytearray()
    while left >= 128:
        said.append(left % 128 + 128)
        left //= 128
    return bytes([*said, left])


def told(text: bytes | None) -> bytes:
    """Return bytes behind their length."""
    return varint(-1) if text is None else varint(len(text)) + text


def body(
    records: list[tuple[int, int, bytes | None, bytes | None, list[tuple[bytes, bytes | None]]]],
) -> bytes:
    """Return what a producer writes of records."""
    found, offset = b"", -1
    for ms, further, key, value, headers in records:
        offset += further
        said = b"\0" + varint(ms) + varint(offset) + told(key) + told(value) + varint(len(headers))
        said += b"".join(told(name) + told(content) for name, content in headers)
        found += varint(len(said)) + said
    return found


Own = tuple[bytes, int, int, int, int, int]  # the body, then what its head says, as in Body


def read(bodies: list[Own], position: int) -> tuple[list[oracle.Found], list[tuple[int, int]]]:
    """Return what the kernel finds in bodies, one behind the other."""
    ends = np.cumsum([len(said) for said, *_ in bodies]).tolist()
    placed = [
        Body(end - len(own), end, *told)
        for (own, *told), end in zip(bodies, ends, strict=True)
    ]  # fmt: skip
    buffer = np.frombuffer(b"".join(own for own, *_ in bodies), np.uint8)
    found, damaged = framed(buffer, placed, position)
    records = [oracle.Found(r.offset, r.timestamp, r.key, r.value, list(r.headers)) for r in found]
    return records, damaged


@settings(max_examples=300, deadline=None, derandomize=True)
@given(
    st.lists(st.tuples(st.lists(RECORDS, max_size=6), st.sampled_from([-1, 7])), max_size=4),
    st.integers(0, 2000),
)
def test_all_records_from_a_position_on_are_found(batches: list, position: int) -> None:  # type: ignore[type-arg]
    bodies = [
        (body(records), len(records), 2000 * n, 2000 * n + 1999, 10**12, append_ms)
        for n, (records, append_ms) in enumerate(batches)
    ]
    expected = [record for own in bodies for record in oracle.records(*own)]
    assert read(bodies, position) == ([r for r in expected if r.offset >= position], [])


def test_of_a_damaged_body_no_record_is_made_up_and_those_around_it_are_found() -> None:
    chance = random.Random(1)
    good = body(
        [(1, 1, b"k", b"value", [(b"name", b"x"), (b"none", None)]), (2, 3, None, None, [])] * 2
    )
    around = [(good, 4, first, first + 9, 0, -1) for first in (0, 20)]
    before, behind = (oracle.records(*own) for own in around)
    outcomes = set()
    for _ in range(5000):
        said = bytearray(good)
        for _ in range(chance.choice((1, 2))):
            said[chance.randrange(len(said))] = chance.choice(
                (0, 1, 2, 127, 128, 255, chance.randrange(256))
            )
        cut = chance.choice((len(said), chance.randrange(len(said))))
        own = (bytes(said[:cut]), chance.choice((4, 4, 3, 5, 10**9, -1)), 10, 19, 0, -1)
        try:
            expected, damaged = oracle.records(*own), list[tuple[int, int]]()
        except IndexError:
            expected, damaged = [], [(1, len(before))]
        assert read([around[0], own, around[1]], 0) == (before + expected + behind, damaged)
        outcomes.add(bool(damaged))
    assert outcomes == {True, False}


@pytest.mark.parametrize("offsets", [(0, 10), (10**6, 1), (-1, 1), (3, 3), (3, 2)])
def test_offsets_that_do_not_rise_within_those_of_the_batch_are_damage(
    offsets: tuple[int, int],
) -> None:
    first, second = offsets
    said = body([(0, first + 1, None, b"a", []), (0, second - first, None, b"b", [])])
    assert read([(said, 2, 0, 9, 0, -1)], 0) == ([], [(0, 0)])
