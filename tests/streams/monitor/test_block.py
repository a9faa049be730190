"""Rows as arrays: numbers by name, categories as codes whose dictionary travels with them."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import msgspec
import numpy as np
import pytest

from tests.streams.monitor.logs import frame, row
from tidegauge.streams.monitor.intake.block import Block, Waiting, waiting
from tidegauge.streams.monitor.intake.columns import Columns
from tidegauge.streams.monitor.intake.decoding import BatchReader
from tidegauge.streams.monitor.intake.dictionary import MAX_VALUES
from tidegauge.streams.monitor.offline import LoggedRecord

KEY = ("m", "")
COLUMNS = Columns(("b", "a"), ("country", "city"))
Said = Mapping[str, float | str | None]


class Reader:
    """Reads rows of one model, batch by batch."""

    def __init__(self) -> None:
        self.reader = BatchReader("predictions")
        self.reader.columns[KEY], self.reader.spread[KEY] = COLUMNS, False
        self.at = 0

    def rows(self, features: Sequence[Said]) -> Block:
        return self.read([row("m", f"r{n}", n, own, n / 100) for n, own in enumerate(features)])

    def read(self, values: Sequence[bytes]) -> Block:
        records = [LoggedRecord(self.at + n, 1 << 40, b"m", v) for n, v in enumerate(values)]
        self.at += len(records)
        batch = self.reader.read(records, {KEY})
        assert not batch.rejections
        [(_, block)] = batch.blocks
        return block


def told(block: Block, name: str) -> list[str | None]:
    """Return what the codes of a column stand for."""
    at = block.categorical.index(name)
    return [block.dictionaries[at].value(code) for code in block.codes[:, at].tolist()]


def test_numbers_are_found_by_name_and_so_is_the_score() -> None:
    block = Reader().rows([{"a": 1, "b": 2.5}, {"b": True}])
    assert block.names == ("b", "a", "score")
    np.testing.assert_array_equal(block.number("a"), [1, np.nan])
    np.testing.assert_array_equal(block.number("b"), [2.5, 1])
    np.testing.assert_array_equal(block.number("score"), [0, 0.01])
    with pytest.raises(ValueError, match="not in"):
        block.number("country")


@pytest.mark.parametrize("as_frame", [False, True])
def test_categories_are_codes_of_a_dictionary_and_what_is_empty_or_absent_is_missing(
    as_frame: bool,
) -> None:
    countries = ["DE", "FR", None, "", "DE", "n" * 5000, "n" * 5000]
    values = [row("m", f"r{n}", n, {"country": said}, 0.5) for n, said in enumerate(countries)]
    block = Reader().read([frame(values)] if as_frame else values)
    long = told(block, "country")[-1]
    assert long is not None and len(long) == 100
    assert told(block, "country") == ["DE", "FR", None, None, "DE", long, long]
    assert block.codes[:, 0].tolist() == [0, 1, -1, -1, 0, 2, 2]
    assert told(block, "city") == [None] * 7
    assert block.counts("country") == [("DE", 2), ("FR", 1), (None, 2), (long, 2)]
    assert block.counts("city") == [(None, 7)]


def test_a_cut_shares_the_arrays_and_keeps_the_meaning_of_the_codes() -> None:
    block = Reader().rows([{"a": n, "country": "xyz"[n % 3]} for n in range(9)])
    part = block.cut(4, 6)
    assert part.numbers.base is not None and np.shares_memory(part.numbers, block.numbers)
    assert np.shares_memory(part.codes, block.codes)
    assert part.number("a").tolist() == [4, 5] and list(part.ids) == ["r4", "r5"]
    assert part.counts("country") == [("y", 1), ("z", 1)]


def test_a_full_dictionary_is_left_to_the_blocks_that_hold_it() -> None:
    reader = Reader()
    first = reader.rows([{"country": f"c{n}"} for n in range(MAX_VALUES)])
    second = reader.rows([{"country": "c7"}])
    assert first.dictionaries[0] is not second.dictionaries[0]
    assert first.dictionaries[1] is second.dictionaries[1]
    assert second.codes[0, 0] == 0 and told(second, "country") == ["c7"]
    assert told(first, "country")[:2] == ["c0", "c1"]


def test_rows_that_wait_are_the_same_bytes_whatever_was_read_before() -> None:
    rows: list[Said] = [{"a": 1, "country": "DE"}, {"b": 2, "city": "Bonn"}, {"country": ""}]
    one, other = Reader(), Reader()
    other.rows([{"country": "FR", "city": "Paris"}, {"country": "IT"}])
    other.at = 0
    found = [waiting(reader.rows(rows)) for reader in (one, other)]
    assert msgspec.msgpack.encode(found[0]) == msgspec.msgpack.encode(found[1])


def test_rows_that_waited_come_before_those_of_the_next_block() -> None:
    reader = Reader()
    held = waiting(reader.rows([{"a": 1, "country": "DE"}, {"b": 2, "city": "Bonn"}]))
    restored = msgspec.msgpack.decode(msgspec.msgpack.encode(held), type=Waiting)
    later = Reader()  # whose dictionaries give other codes
    block = restored.before(later.rows([{"a": 3, "country": "FR"}, {"country": "DE"}]))
    assert told(block, "country") == ["DE", None, "FR", "DE"]
    assert told(block, "city") == [None, "Bonn", None, None]
    np.testing.assert_array_equal(block.number("a"), [1, np.nan, 3, np.nan])
    assert len(block) == 4 and len(block.cut(1, 3)) == 2


def test_rows_that_waited_keep_numbers_that_a_later_block_has_not() -> None:
    block = Reader().rows([{"a": 1.0, "b": 2.0}, {"a": 3.0}])
    held = waiting(replace(block, names=("b", "further", "score")))
    found = held.before(block.cut(1, 2))
    assert found.number("further").tolist()[:2] == [1.0, 3.0]
    assert np.isnan(found.number("further")[2])
    assert np.isnan(found.number("a")[:2]).all() and found.number("a")[2] == 3.0
    assert found.number("b")[0] == 2.0
