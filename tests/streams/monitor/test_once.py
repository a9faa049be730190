"""What is known is not worked out again: labels read ahead, references fitted, own messages."""

from collections.abc import Callable
from pkgutil import resolve_name
from typing import Any

import pytest

from tests.streams.monitor.driver import Driver
from tests.streams.monitor.logs import NOON_MS, label, row
from tests.streams.monitor.traffic import SPEC, labels_turned, traffic
from tidegauge.streams.monitor.lookup import Lookup
from tidegauge.streams.monitor.offline import LoggedRecord, OfflineLog, learn_reference

Count = Callable[[str], list[Any]]


@pytest.fixture
def count(monkeypatch: pytest.MonkeyPatch) -> Count:
    """Return what gathers the calls of a function by the name that a module has for it."""

    def gather(name: str) -> list[Any]:
        place = f"tidegauge.streams.monitor.{name}"
        real, calls = resolve_name(place), list[Any]()

        def called(*args: Any) -> Any:
            calls.append(args)
            return real(*args)

        monkeypatch.setattr(place, called)
        return calls

    return gather


def test_labels_that_were_read_ahead_are_read_once(count: Count) -> None:
    driver, seen = Driver(), count("join.labels.LabelReader.read")
    driver.fold("predictions", [LoggedRecord(0, NOON_MS, b"m", row("m", "a", NOON_MS, {}, 0.5))])
    records = [
        LoggedRecord(n, NOON_MS, b"m", label("m", id_, NOON_MS, 1.0))
        for n, id_ in enumerate(["a", "b", "c"])
    ]
    driver.fold("labels", records[:1])
    assert driver.partition.awaits_predictions(records)  # fetched again from the start
    assert driver.partition.awaits_predictions(records)
    driver.fold("labels", records)
    assert len(seen) == 2
    assert driver.partition.tallies["labels"].observed == 3
    driver.fold("labels", [LoggedRecord(3, NOON_MS, b"m", label("m", "d", NOON_MS, 1.0))])
    assert driver.partition.tallies["labels"].observed == 4


def test_labels_read_ahead_do_not_stand_for_a_part_of_them() -> None:
    driver = Driver()
    records = [LoggedRecord(n, NOON_MS, b"m", label("m", str(n), NOON_MS, 1.0)) for n in range(3)]
    assert driver.partition.awaits_predictions(records)
    driver.fold("labels", records[:2])
    assert driver.partition.tallies["labels"].observed == 2


def test_a_log_that_is_read_offline_does_not_read_what_it_wrote(count: Count) -> None:
    entries, alerts = (
        count("partition.read_entry"),
        count("partition.read_alert"),
    )
    stream = traffic(3, labelled=True).send(60).send(20, labels_turned)
    assert stream.alerts()
    assert stream.retraining()
    assert (entries, alerts) == ([], [])


def test_a_published_reference_is_fitted_once(count: Count) -> None:
    reference = learn_reference(SPEC, "", traffic(19).send(35).records)
    seen = count("series.watched.fit")
    log = OfflineLog(Lookup([SPEC, reference]))
    log.append("predictions", b"m", row("m", "a", NOON_MS, {"amount": 50.0}, 0.5))
    assert log.partition.rows["predictions"].monitors["m", ""].is_learning is False
    assert len(seen) == len({repr(args) for args in seen})
    assert 0 < len(seen) <= len(reference.series)
