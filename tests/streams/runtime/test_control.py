import asyncio
import logging
import re
from typing import Any

import msgspec
import pytest

from tests.streams.runtime.memory import Row
from tidegauge.schemas.monitors import DetectorSpec, MonitorSpec, WindowSpec
from tidegauge.schemas.references import Adoption, Reference, SeriesProfile
from tidegauge.streams.runtime.clients import LogEnds
from tidegauge.streams.runtime.control import MAX_BYTES, ControlReader, ControlTables

SPEC = MonitorSpec(model="fraud", threshold=0.9)


def reference(version: str = "", rows: int = 10) -> Reference:
    return Reference(
        model="fraud",
        version=version,
        rows=rows,
        windows=WindowSpec(rows=1000),
        first_ts_ms=0,
        last_ts_ms=1,
        series={"missing(amount)": SeriesProfile(values=[0.0] * 5, sd=0.1, shown=0.0)},
    )


def held(tables: ControlTables, model: str, version: str) -> tuple[object, object]:
    choice = tables.lookup.find(model, version)
    return choice.spec, choice.reference


def record(key: str, content: object) -> Row:
    return Row(5, key.encode(), None if content is None else msgspec.json.encode(content))


def test_a_version_takes_its_own_reference_before_that_of_its_model() -> None:
    tables = ControlTables()
    tables.read_monitors([record("fraud", SPEC)])
    tables.read_references([record("fraud@2", reference("2", 20)), record("fraud", reference())])
    assert held(tables, "fraud", "2") == (SPEC, reference("2", 20))
    assert held(tables, "fraud", "3") == (SPEC, reference())
    assert held(tables, "fraud", "") == (SPEC, reference())
    assert held(tables, "other", "2") == (None, None)


def test_a_model_whose_name_has_an_at_does_not_share_a_reference_with_a_version() -> None:
    ours, theirs = reference("3", 20), msgspec.structs.replace(reference(), model="fraud@3")
    assert len({ours.key, theirs.key, reference("%403").key, reference("@3").key}) == 4
    tables = ControlTables()
    tables.read_references([record(ours.key, ours), record(theirs.key, theirs)])
    assert held(tables, "fraud", "3") == (None, ours)
    assert held(tables, "fraud@3", "") == (None, theirs)
    tables.read_references([record(ours.key, None)])
    assert held(tables, "fraud", "3") == (None, None)
    assert held(tables, "fraud@3", "") == (None, theirs)


def test_of_two_references_under_a_key_of_version_0_1_the_newer_holds() -> None:
    ours, theirs = reference("3", 20), msgspec.structs.replace(reference(), model="fraud@3")
    tables = ControlTables()
    tables.read_references([record("fraud@3", theirs)])
    assert held(tables, "fraud@3", "") == (None, theirs)
    tables.read_references([record("fraud@3", ours)])
    assert held(tables, "fraud@3", "") == (None, None)
    assert held(tables, "fraud", "3") == (None, ours)


def test_what_a_person_adopts_is_read_beside_the_references() -> None:
    tables = ControlTables()
    said = [
        Adoption(model="fraud", version="3", series="loss", at_ms=5),
        Adoption(model="fraud", series="rank(x@y)", at_ms=6),
    ]
    assert [one.key for one in said] == ["fraud@3@loss", "fraud@@rank(x@y)"]
    tables.read_references([record("fraud", reference()), *(record(a.key, a) for a in said)])
    choice = tables.lookup.find("fraud", "3")
    assert (choice.reference, choice.adopted) == (reference(), {"loss": 5, "rank(x@y)": 6})
    tables.read_references([record(said[0].key, msgspec.structs.replace(said[0], at_ms=7))])
    assert tables.lookup.find("fraud", "3").adopted["loss"] == 7
    tables.read_references([record(said[0].key, None), record("fraud", said[1])])
    assert tables.lookup.find("fraud", "3").adopted == {"rank(x@y)": 6}
    assert tables.revision == 5  # the last has another key, and changes nothing


def test_what_no_monitor_can_be_made_of_is_left_out_and_said_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    half = msgspec.structs.replace(
        reference(), outcomes={"loss": SeriesProfile(values=[0.1] * 5, sd=0.1, shown=0.1)}
    )
    wrong = MonitorSpec(
        model="other",
        detectors=[DetectorSpec(kind="adwin", series=["loss"], parameters={"delta": -3.0})],
    )
    tables = ControlTables()
    tables.read_monitors([record("fraud", SPEC), record("other", wrong)])
    tables.read_references([record("fraud", half)])
    with caplog.at_level(logging.ERROR):
        for _ in range(2):
            assert held(tables, "fraud", "") == (SPEC, None)
            assert held(tables, "other", "") == (None, None)
    assert len(caplog.records) == 2


def test_a_null_takes_back_what_was_said() -> None:
    tables = ControlTables()
    tables.read_monitors([record("fraud", SPEC), record("fraud", None)])
    assert held(tables, "fraud", "") == (None, None)
    assert tables.revision == 2


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        (Row(5, b"fraud", b"{"), "Input data was truncated"),
        (Row(5, b"fraud", b'{"model": "fraud", "threshold": 7}'), "<= 1.0 - at `\\$.threshold`"),
        (record("froud", SPEC), "expected the key 'fraud', got 'froud'"),
        (Row(5, None, msgspec.json.encode(SPEC)), "expected the key 'fraud', got ''"),
        (Row(5, b"\xff", None), "can't decode"),
        (Row(5, b"fraud", b" " * (MAX_BYTES + 1)), "expected at most 900000 bytes, got 900001"),
    ],
)
def test_a_message_that_cannot_be_used_is_logged_and_changes_nothing(
    bad: Row, why: str, caplog: pytest.LogCaptureFixture
) -> None:
    tables = ControlTables()
    tables.read_monitors([record("fraud", SPEC)])
    with caplog.at_level(logging.ERROR):
        tables.read_monitors([bad])
    assert held(tables, "fraud", "") == (SPEC, None)
    assert tables.revision == 1
    (message,) = caplog.messages
    assert message.startswith("monitors offset 5 ignored: ")
    assert re.search(why, message)


def test_a_reference_of_a_version_must_be_under_the_key_of_that_version() -> None:
    tables = ControlTables()
    tables.read_references([record("fraud", reference("2"))])
    assert held(tables, "fraud", "2") == (None, None)


class DyingConsumer:
    """Is asked for records once, and then fails."""

    def __init__(self) -> None:
        self.polls = 0

    def partitions_for_topic(self, topic: str) -> set[int]:
        return {0}

    def assign(self, partitions: object) -> None:
        pass

    async def seek_to_beginning(self) -> None:
        pass

    async def position(self, partition: object) -> int:
        return 0

    async def getmany(self, timeout_ms: int) -> dict[Any, Any]:
        self.polls += 1
        await asyncio.sleep(0)
        if self.polls > 1:
            raise ConnectionError("no leave to read")
        return {}


async def test_a_reader_that_dies_says_so_at_once_and_one_that_is_stopped_does_not() -> None:
    died: list[BaseException] = []
    stopped = ControlReader("monitors", "references", LogEnds())
    await stopped.start(DyingConsumer(), died.append)
    await stopped.stop()
    assert died == []
    dying = ControlReader("monitors", "references", LogEnds())
    await dying.start(DyingConsumer(), died.append)
    async with asyncio.timeout(10):
        while not died:
            await asyncio.sleep(0)
    assert str(died[0]) == "no leave to read"
    await dying.stop()
