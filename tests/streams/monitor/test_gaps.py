import msgspec
import pytest

from tests.streams.monitor.logs import NOON_MS, row
from tidegauge.schemas.alerts import Alert
from tidegauge.schemas.outcomes import Gap
from tidegauge.streams.monitor.journal.journal import read_entry
from tidegauge.streams.monitor.offline import OfflineLog


def log_with_a_gap() -> tuple[OfflineLog, bytes]:
    log = OfflineLog()
    log.append("predictions", b"m", row("m", "r0", NOON_MS, {"a": 1.0}, 0.5))
    entry = log.partition.gap("predictions", 1, 1_199).value or b""
    return log, entry


def alerts(log: OfflineLog) -> list[Alert]:
    found = [output.value or b"" for output in log.outputs if output.topic == "alerts"]
    return [msgspec.json.decode(value, type=Alert) for value in found]


def test_a_gap_is_told_as_an_incident_that_is_over_at_once() -> None:
    log, entry = log_with_a_gap()
    log.append("outcomes", None, entry, NOON_MS)
    firing, over = alerts(log)
    assert (firing.status, over.status) == ("firing", "resolved")
    assert firing.incident == over.incident
    assert (firing.kind, firing.severity) == ("quality", "critical")
    assert firing.series[0].statistic == "gap"
    assert firing.title == (
        "predictions[0]: up to 1,199 records, offsets 1 to 1199, were deleted before they were read"
    )
    evidence = firing.evidence
    assert (evidence.topic, evidence.partition) == ("predictions", 0)
    assert (evidence.first_offset, evidence.last_offset, evidence.rows) == (1, 1199, 1199)
    assert firing.told_ms == over.told_ms == over.resolved_ms == NOON_MS


def test_a_gap_that_is_written_twice_is_the_same_incident_and_asks_for_no_retraining() -> None:
    log, entry = log_with_a_gap()
    log.append("outcomes", None, entry, NOON_MS)
    log.append("outcomes", None, entry, NOON_MS)  # a second delivery
    again = msgspec.structs.replace(_gap(entry), sequence=7)  # another owner's, say
    log.append("outcomes", None, msgspec.json.encode(again), NOON_MS + 1)
    assert len({alert.incident for alert in alerts(log)}) == 1
    assert len(alerts(log)) == 4
    assert [output for output in log.outputs if output.topic == "retraining"] == []


def test_rows_go_on_behind_a_gap_and_a_snapshot_remembers_it() -> None:
    log, _ = log_with_a_gap()
    assert log.partition.next_offset["predictions"] == 1_200


def test_a_gap_that_ends_before_it_begins_is_no_entry() -> None:
    _, entry = log_with_a_gap()
    with pytest.raises(ValueError, match="expected last_offset >= first_offset 1"):
        read_entry(entry.replace(b"1199", b"0"))


def _gap(entry: bytes) -> Gap:
    return msgspec.json.decode(entry, type=Gap)
