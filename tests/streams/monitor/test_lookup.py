"""Which spec and reference hold for a model version, and how often they are tried."""

import json

import msgspec
import pytest

from tests.streams.monitor.driver import Driver, by_monitor
from tests.streams.monitor.logs import NOON_MS, frame, row
from tidegauge.schemas.monitors import DetectorSpec, MonitorSpec, WindowSpec
from tidegauge.schemas.references import Reference
from tidegauge.streams.monitor.control.control import Choice, control_digest
from tidegauge.streams.monitor.dry_run import choose
from tidegauge.streams.monitor.lookup import Lookup
from tidegauge.streams.monitor.offline import LoggedRecord, OfflineLog, learn_reference
from tidegauge.streams.runtime.control import ControlTables

SPEC = MonitorSpec(model="m", windows=WindowSpec(rows=10))
WRONG = MonitorSpec(
    model="m", detectors=[DetectorSpec(kind="adwin", series=["loss"], parameters={"delta": -3.0})]
)


def rows(amount: float, version: str = "", windows: int = 40) -> list[bytes]:
    """Return frames of a window each, whose amounts lie around one."""
    return [
        frame(
            [
                row("m", f"{n}", 10 * w + n, {"amount": amount + n % 5 + w % 2}, 0.5, version)
                for n in range(10)
            ]
        )
        for w in range(windows)
    ]


def learned(amount: float, version: str = "") -> Reference:
    return learn_reference(
        SPEC, version, [("predictions", value) for value in rows(amount, version)]
    )


def test_what_holds_is_what_was_said_last() -> None:
    found, ours, theirs = Lookup([SPEC]), learned(0), learned(9, "2")
    assert found.find("m", "2").reference is None
    for content in (ours, theirs):
        found.add(content)
    assert [found.find("m", v).reference for v in ("", "1", "2")] == [ours, ours, theirs]
    assert found.find("m", "2").digest == control_digest(SPEC, theirs)
    found.remove(theirs)
    assert found.find("m", "2").reference == ours
    newer = msgspec.structs.replace(SPEC, threshold=0.9)
    found.add(newer)
    assert found.find("m", "2").spec == newer
    found.remove(SPEC)
    assert found.find("m", "").spec is None
    found.remove(SPEC)  # there is none any more


def test_a_pair_is_tried_once_until_its_model_is_told_of_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found, reference = Lookup([SPEC, learned(0)]), learned(9, "2")
    tried: list[object] = []

    def count(spec: MonitorSpec | None, reference: Reference | None) -> Choice:
        tried.append(reference)
        return choose(spec, reference)

    monkeypatch.setattr("tidegauge.streams.monitor.lookup.choose", count)
    for version in ("", "1", "2", "3"):
        found.find("m", version)
    assert len(tried) == 1
    found.add(MonitorSpec(model="other"))
    found.find("m", "1")
    assert len(tried) == 1
    found.add(reference)
    for _ in range(2):
        assert found.find("m", "2").reference == reference
    assert len(tried) == 2


def test_what_does_not_fit_is_left_out_and_told_once() -> None:
    told: list[str] = []
    found = Lookup([WRONG], unfit=lambda model, fault: told.append(f"{model}: {fault}"))
    for _ in range(2):
        assert found.find("m", "1").spec is None
    assert len(told) == 1
    assert told[0].startswith("m: ")
    assert told[0].endswith("at `$.detectors[0].parameters`")
    found.add(WRONG)
    found.find("m", "1")
    assert len(told) == 2


def test_a_log_that_is_read_offline_says_what_does_not_fit() -> None:
    log = OfflineLog(Lookup([WRONG]))
    for value in rows(0, windows=1):
        with pytest.raises(ValueError, match=r"model m: .*at `\$.detectors\[0\].parameters`"):
            log.append("predictions", b"m", value)


def test_a_log_that_is_read_offline_is_compared_with_the_reference_of_its_version() -> None:
    log = OfflineLog(Lookup([SPEC, learned(0), learned(99, "2")]))
    for version in ("1", "2"):
        for value in rows(0, version, 3):
            log.append("predictions", b"m", value)
    alerts = [json.loads(o.value or b"") for o in log.outputs if o.topic == "alerts"]
    assert {alert["version"] for alert in alerts} == {"2"}


def test_a_worker_that_read_the_topics_finds_the_same() -> None:
    references = learned(0), learned(99, "2")
    values = [value for version in ("1", "2") for value in rows(0, version, 3)]
    log, tables, worker = OfflineLog(Lookup([SPEC, *references])), ControlTables(), Driver()
    for value in values:
        log.append("predictions", b"m", value)
    tables.read_monitors([LoggedRecord(0, NOON_MS, b"m", msgspec.json.encode(SPEC))])
    for key, reference in zip((b"m", b"m@2"), references, strict=True):
        tables.read_references([LoggedRecord(0, NOON_MS, key, msgspec.json.encode(reference))])
    for version in ("1", "2"):
        choice = tables.lookup.find("m", version)
        worker.change("m", version, choice.spec, choice.reference)
    worker.fold("predictions", [LoggedRecord(n, NOON_MS, b"m", v) for n, v in enumerate(values)])
    assert by_monitor(worker.outputs) == by_monitor(log.outputs)
