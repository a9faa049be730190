"""A person accepts a new normal: the level of a series becomes its reference."""

import msgspec
import numpy as np
import pytest

from tests.streams.monitor.driver import SETTINGS
from tests.streams.monitor.traffic import REFERENCE, SPEC, Rows, Traffic, amounts_up, traffic
from tidegauge.schemas.outcomes import ControlChange
from tidegauge.schemas.references import Adoption
from tidegauge.streams.monitor.journal.journal import read_entry
from tidegauge.streams.monitor.offline import LoggedRecord
from tidegauge.streams.monitor.partition import Partition

KEPT, AMOUNT = REFERENCE + 15, "rank(amount)"


def moved(seed: int = 11) -> Traffic:
    """Return traffic whose amounts have risen, so that they are compared with a level."""
    return traffic(seed).send(REFERENCE + 10).send(KEPT, amounts_up)


def adopt(stream: Traffic, series: str = "", version: str = "", at_ms: int = 1) -> Traffic:
    said = Adoption(model="m", version=version, series=series, at_ms=at_ms)
    stream.log.lookup.add(said)
    stream.log.take_up("m", "")
    return stream


def level(stream: Traffic, series: str = AMOUNT) -> int | None:
    own: int | None = stream.reports()[-1]["series"][series]["level_ms"]
    return own


@pytest.mark.parametrize("series", ["", AMOUNT])
def test_an_adopted_level_is_the_reference_at_once_and_nothing_else_changes(series: str) -> None:
    stream = moved()
    assert level(stream) is not None
    told, before = len(stream.alerts()), stream.reports()[-1]
    after = adopt(stream, series).send(1, amounts_up).reports()[-1]
    assert level(stream) is None
    assert after["window"] == before["window"] + 1
    assert after["series"].keys() == before["series"].keys()
    assert after["state"] == before["state"]
    stream.send(60, amounts_up)
    assert len(stream.alerts()) == told  # neither is anything closed nor told again
    (change,) = [
        alarm
        for alert in stream.send(10).alerts()[told:]
        for alarm in alert["series"]
        if alarm["series"] == AMOUNT and alert["status"] == "firing"
    ]
    assert (change["direction"], change["level_ms"], change["is_return"]) == ("down", None, False)
    assert change["value"]["reference"] == pytest.approx(60, abs=1)


def test_other_series_and_other_versions_are_left_alone() -> None:
    stream = moved()
    since_ms = level(stream)
    adopt(stream, "rank(age)")
    adopt(stream, AMOUNT, version="2")
    assert level(stream.send(1, amounts_up)) == since_ms


def test_an_adoption_is_for_the_levels_there_are_and_for_none_that_come_later() -> None:
    stream = traffic(11).send(REFERENCE + 10)
    adopt(stream).send(KEPT, amounts_up)
    assert level(stream) is not None
    adopt(stream, AMOUNT, at_ms=2)
    assert level(stream.send(1, amounts_up)) is None


def test_a_later_one_takes_up_what_an_earlier_one_did_not_meet() -> None:
    stream = adopt(traffic(11).send(REFERENCE + 10)).send(KEPT, amounts_up)
    adopt(stream, at_ms=2).send(1, amounts_up)
    assert level(stream) is None


def test_a_spec_that_comes_later_watches_anew_whatever_was_adopted() -> None:
    stream = adopt(moved())
    stream.log.lookup.add(msgspec.structs.replace(SPEC, threshold=0.4))
    stream.log.take_up("m", "")
    stream.send(15, amounts_up)
    told = [alert["title"] for alert in stream.alerts()]
    assert [title for title in told if "closed, as a new spec" in title] == []  # nothing was open
    assert "amount moved up, from 50" in [title for title in told if "moved up" in title][-1]


def labels_flip(rows: Rows, rng: np.random.Generator) -> None:
    rows.label = np.where(rng.random(len(rows.label)) < 0.5, 1 - rows.label, rows.label)


def test_levels_of_outcomes_are_adopted_too() -> None:
    stream = traffic(3, labelled=True).send(REFERENCE + 10).send(KEPT, labels_flip)
    before = stream.reports("outcomes")[-1]
    assert before["series"]["loss"]["level_ms"] is not None
    adopt(stream, "loss").send(1, labels_flip)
    after = stream.reports("outcomes")[-1]
    assert after["series"]["loss"]["level_ms"] is None
    assert after["window"] == before["window"] + 1


def test_a_replay_of_the_logs_gives_the_same_and_so_does_a_restart() -> None:
    stream = adopt(moved())
    again = Partition.restore(0, SETTINGS, stream.log.partition.snapshot())
    assert again.snapshot() == stream.log.partition.snapshot()
    stream.send(20)
    journal = [
        LoggedRecord(at, 1 << 41, output.key, output.value)
        for at, output in enumerate(o for o in stream.log.outputs if o.topic == "outcomes")
    ]
    entries = [read_entry(record.value) for record in journal]
    assert [e.adopted for e in entries if isinstance(e, ControlChange)] == [{}, {"": 1}]
    replayed = Partition(0, SETTINGS)
    replayed.read_journal(journal)
    records = [LoggedRecord(at, 1 << 41, b"m", v) for at, (_, v) in enumerate(stream.records)]
    found = [o.value for o in replayed.fold("predictions", records).outputs if o.topic == "alerts"]
    assert found == [o.value for o in stream.log.outputs if o.topic == "alerts"]
    goes_on, told = (
        [o.value for o in outputs if o.topic in ("windows", "alerts")]
        for outputs in (again.fold("predictions", records[-20:]).outputs, stream.log.outputs)
    )
    assert len(goes_on) > 20
    assert goes_on == told[-len(goes_on) :]


def test_the_alert_says_what_to_type() -> None:
    over = [alert for alert in moved().alerts() if alert["status"] == "resolved"][-1]
    settled = [alarm["series"] for alarm in over["series"] if alarm["settled_ms"] is not None]
    words = " ".join(f"--series '{name}'" for name in settled)
    command = f"tidegauge reference adopt m {words}"
    assert over["advice"] == f"Shall that be the reference? Then type: {command}"


def test_what_is_adopted_holds_for_a_version_or_for_all() -> None:
    lookup = traffic(1).log.lookup
    plain = lookup.find("m", "3")
    lookup.add(Adoption(model="m", series="loss", at_ms=5))
    lookup.add(Adoption(model="m", version="3", series="loss", at_ms=4))
    lookup.add(Adoption(model="m", version="3", series=AMOUNT, at_ms=4))
    assert lookup.find("m", "3").adopted == {"loss": 5, AMOUNT: 4}
    assert lookup.find("m", "2").adopted == {"loss": 5}
    digests = {plain.digest, lookup.find("m", "3").digest, lookup.find("m", "2").digest}
    assert len(digests) == 3
    for version in ("", "3"):
        for series in ("loss", AMOUNT):
            lookup.remove(Adoption(model="m", version=version, series=series, at_ms=9))
    assert lookup.find("m", "3") == plain
