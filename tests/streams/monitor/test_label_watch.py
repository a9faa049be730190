"""What labels could not be paired is counted in the journal, reported by window, and told."""

from dataclasses import replace
from typing import Any

import msgspec
import pytest

from tests.streams.monitor.driver import SETTINGS, Driver, assert_equal, by_monitor, published
from tests.streams.monitor.logs import NOON_MS, SPECS, frame, label, row
from tidegauge.schemas.outcomes import LabelCounts, LabelReport
from tidegauge.streams.monitor.journal.journal import read_entry
from tidegauge.streams.monitor.offline import LoggedRecord
from tidegauge.streams.monitor.state import PartitionSettings
from tidegauge.streams.monitor.verdict.label_watch import LabelWatch, LabelWatchState, explain

DAY_MS = 86_400_000


def driver(predictions: int = 1000, version: str = "1") -> Driver:
    """Return a driver that has folded predictions p0, p1, …, a second apart."""
    found = Driver(SPECS)
    values = [
        row("fraud", f"p{n}", NOON_MS + 1000 * n, {"a": n % 7}, n % 5 / 4, version)
        for n in range(predictions)
    ]
    found.fold("predictions", records(values))
    return found


def records(
    values: list[bytes], first: int = 0, key: bytes | None = b"fraud", at_ms: int = NOON_MS
) -> list[LoggedRecord]:
    return [
        LoggedRecord(first + n, at_ms + 1000 * (first + n), key, v) for n, v in enumerate(values)
    ]


def labels(numbers: range, prefix: str = "p", ts_ms: int = NOON_MS) -> list[bytes]:
    return [label("fraud", f"{prefix}{n}", ts_ms + 1000 * n, n % 2) for n in numbers]


def reports(found: Driver) -> list[LabelReport]:
    entries = [read_entry(o.value) for o in found.outputs if o.topic == "outcomes"]
    return [entry for entry in entries if isinstance(entry, LabelReport)]


def alerts(found: Driver) -> list[dict[str, Any]]:
    found.feed_back()
    return [a for a in published(found.outputs, "alerts") if a["kind"] == "quality"]


def of_labels(driver: Driver) -> list[dict[str, Any]]:
    """Return what was told of labels; of rows and pairs it is that they are old, or come late."""
    others = {"delay", "late", "freshness"}
    return [told for told in alerts(driver) if told["series"][0]["series"] not in others]


def test_labels_that_all_pair_are_counted_and_told_to_nobody() -> None:
    found = driver()
    found.fold("labels", records(labels(range(1000))))
    assert [report.last_offset for report in reports(found)] == list(range(99, 1000, 100))
    assert reports(found)[-1].counts == LabelCounts(labels=1000, paired=1000)
    assert alerts(found) == []


def test_labels_in_seconds_are_told_with_what_to_do() -> None:
    found = driver()
    seconds = [label("fraud", f"p{n}", (NOON_MS + 1000 * n) // 1000, 1) for n in range(300)]
    found.fold("labels", records(seconds))
    (told,) = alerts(found)
    assert (told["model"], told["status"], told["severity"]) == ("fraud", "firing", "critical")
    assert (
        "100% of the labels find no prediction: their ts_ms lies 54 years before" in told["title"]
    )
    assert "looks like seconds" in told["title"]
    assert "ts_ms of labels in milliseconds" in told["advice"]
    assert reports(found)[-1].counts.beyond_horizon == 300
    found.fold("labels", records(labels(range(300)), first=300))
    assert found.partition.join.counts.pairs == 300  # sent again, in milliseconds


def test_predictions_in_seconds_are_named_as_such() -> None:
    found = Driver(SPECS)
    values = [row("fraud", f"p{n}", NOON_MS // 1000, {"a": n}, 0.5) for n in range(200)]
    found.fold("predictions", records(values))
    found.fold("labels", records(labels(range(200))))
    (told,) = alerts(found)
    assert "ts_ms of predictions in milliseconds" in told["advice"]


def test_labels_beyond_the_horizon_are_told() -> None:
    found = driver()
    late = NOON_MS + 40 * DAY_MS
    found.fold("labels", records(labels(range(200), ts_ms=late), at_ms=late))
    (told,) = alerts(found)
    assert "lies 40 days after the predictions', beyond the horizon" in told["title"]
    assert "labels.horizon" in told["advice"]


def test_labels_in_a_partition_without_predictions_are_told_the_key_that_is_needed() -> None:
    found = Driver(SPECS, settings=PartitionSettings(SETTINGS.topics, 4))
    for n, value in enumerate(labels(range(500))):
        found.fold("labels", [LoggedRecord(n, NOON_MS, f"p{n}".encode(), value)])
    (told,) = alerts(found)
    assert "find no prediction: their key is 'p" in told["title"]
    assert "Send the labels of fraud with the key fraud" in told["advice"]
    assert reports(found)[-1].counts == LabelCounts(labels=500, unpaired=500, other_key=500)


def test_labels_whose_ids_no_prediction_has_are_told_although_nothing_follows_them() -> None:
    found = driver()
    found.fold("labels", records(labels(range(1000), prefix="order-"), at_ms=NOON_MS))
    (told,) = alerts(found)
    assert "no prediction has an id such as 'order-" in told["title"]


def test_a_tenth_of_the_labels_is_told_once_they_have_waited_a_minute() -> None:
    found = driver()
    values = [label("fraud", f"p{n}" if n % 10 else f"none{n}", NOON_MS + n, 1) for n in range(900)]
    found.fold("labels", records(values))
    (told,) = alerts(found)
    assert "no prediction has an id such as 'none" in told["title"]
    assert told["series"][0]["value"]["current"] == pytest.approx(0.1, abs=0.03)
    assert reports(found)[-1].counts.unpaired >= 70


def test_labels_that_come_a_little_before_their_predictions_are_no_fault() -> None:
    found = driver(predictions=100)
    for start in range(100, 1000, 50):
        found.fold("labels", records(labels(range(start, start + 50)), first=start))
        values = [
            row("fraud", f"p{n}", NOON_MS, {"a": n % 7}, n % 5 / 4, "1")
            for n in range(start, start + 50)
        ]
        found.fold("predictions", records(values, first=start))
    counts = reports(found)[-1].counts
    assert (counts.labels, counts.unpaired, counts.late) == (900, 0, 0)
    assert of_labels(found) == []


def test_labels_whose_predictions_come_much_later_are_late_and_the_incident_ends() -> None:
    found = driver(predictions=100)
    found.fold("labels", records(labels(range(100, 1000)), first=100))
    values = [
        row("fraud", f"p{n}", NOON_MS, {"a": n % 7}, n % 5 / 4, "1") for n in range(100, 3000)
    ]
    found.fold("predictions", records(values, first=100))
    found.fold("labels", records(labels(range(1000, 3000)), first=1000))
    counts = reports(found)[-1].counts
    assert counts.paired + counts.late == counts.labels == 2900
    assert counts.late == counts.unpaired > 300
    assert [told["status"] for told in of_labels(found)] == ["firing", "resolved"]


def test_labels_that_come_twice_are_told() -> None:
    found = driver()
    for start in (0, 100, 200):
        values = [v for v in labels(range(start, start + 100)) for _ in range(2)]
        found.fold("labels", records(values, first=2 * start))
    (told,) = alerts(found)
    assert "50% of the labels name an id that has a label already" in told["title"]
    assert "the first counts" in told["advice"]


def flipped(numbers: range) -> list[bytes]:
    """Return labels that say the other of 0 and 1."""
    return [label("fraud", f"p{n}", NOON_MS + 1000 * n, 1 - n % 2) for n in numbers]


def test_labels_that_are_corrected_are_counted_apart_and_told() -> None:
    found = driver()
    values = labels(range(500)) + labels(range(100)) + flipped(range(50)) + flipped(range(50))
    found.fold("labels", records([*values, *labels(range(500, 700))]))
    counts = reports(found)[-1].counts
    assert (counts.labels, counts.paired) == (900, 700)
    assert (counts.duplicate, counts.corrected) == (150, 50)  # the second time it is none
    told = alerts(found)
    (series,) = [alarm for alert in told for alarm in alert["series"] if alarm["series"] == "flips"]
    assert series["value"]["current"] == pytest.approx(0.5)
    (title,) = [alert["title"] for alert in told if "correct" in alert["title"]]
    assert "50% of the labels correct an earlier one to another value" in title


def test_a_label_that_goes_back_and_forth_is_corrected_each_time_wherever_it_is_cut() -> None:
    values = [label("fraud", f"p{n % 5}", NOON_MS, (n // 5) % 2) for n in range(200)]
    values += [label("fraud", f"p{n % 5}", NOON_MS + 90 * DAY_MS, 1) for n in range(10)]
    values += flipped(range(100))
    told = []
    for size in (1, 7, 400):
        found = driver()
        for start in range(0, len(values), size):
            found.fold("labels", records(values[start : start + size], first=start))
        told.append([report.counts for report in reports(found)])
    assert told[0] == told[1] == told[2]
    assert told[0][0].corrected == 95
    assert told[0][1].corrected == 195
    assert told[0][1].duplicate == 0


def test_what_an_earlier_version_remembers_of_labels_goes_on() -> None:
    found = driver()
    found.fold("labels", records([v for v in labels(range(200)) for _ in range(2)]))
    found.feed_back()
    own = found.partition.outcomes.label_watch("fraud")
    old = msgspec.msgpack.decode(msgspec.msgpack.encode(own.state()))
    del old["monitor"]["cohorts"][1:], old["monitor"]["window"]["parts"][1:]
    again = LabelWatch("fraud", "labels", 0)
    again.load(msgspec.convert(old, LabelWatchState))
    before = reports(found)[-1]
    counts = msgspec.structs.replace(before.counts, labels=500, paired=250, corrected=50)
    report = msgspec.structs.replace(before, last_offset=before.last_offset + 100, counts=counts)
    assert again.take(report) == own.take(report)
    told = again.judge(report)
    assert [output.value for output in told] == [output.value for output in own.judge(report)]
    assert b"correct an earlier one" in (told[0].value or b"")


def test_a_few_wrong_ids_are_counted_and_not_told() -> None:
    found = driver()
    values = [label("fraud", f"p{n}" if n % 200 else "?", NOON_MS, 1) for n in range(1000)]
    found.fold("labels", records(values))
    assert alerts(found) == []
    counts = reports(found)[-1].counts
    assert counts.unpaired + counts.duplicate >= 4


def test_each_window_says_what_became_of_the_labels_since_the_one_before() -> None:
    found = driver()
    found.fold("labels", records([v for v in labels(range(1000)) for _ in range(2)]))
    found.feed_back()
    windows = [w for w in published(found.outputs, "windows") if w["source"] == "outcomes"]
    told = [LabelCounts(**window["labels"]) for window in windows]
    assert sum(counts.labels for counts in told) == 1900  # the last hundred is yet to be told
    assert sum(counts.duplicate for counts in told) == 950
    drift = [w for w in published(found.outputs, "windows") if w["source"] == "predictions"]
    assert {window["labels"] for window in drift} == {None}


@pytest.mark.parametrize("size", [1, 7, 130, 1000])
def test_where_batches_are_cut_changes_no_report(size: int) -> None:
    values = [label("fraud", f"p{n * 3 % 1400}", NOON_MS, 1) for n in range(600)]
    values += [frame(labels(range(n, n + 30))) for n in range(0, 900, 20)]
    whole, parts = driver(), driver()
    whole.fold("labels", records(values))
    for start in range(0, len(values), size):
        parts.fold("labels", records(values[start : start + size], first=start))
    same = [r.counts for r in reports(parts)] == [r.counts for r in reports(whole)]
    assert same
    whole.feed_back()
    parts.feed_back((3, 17))
    assert_equal(by_monitor(parts.outputs), by_monitor(whole.outputs))


def test_of_too_many_models_the_one_whose_labels_came_longest_ago_is_watched_no_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("tidegauge.streams.monitor.outcomes.MAX_STORES", 3)
    found = Driver()
    for n in range(5):
        values = [label(f"m{n}", str(k), NOON_MS, 1) for k in range(100)]
        found.fold("labels", records(values, first=100 * n))
        found.feed_back()
        found.partition.snapshot(only_moved=True)
    assert list(found.partition.outcomes.label_watches) == ["m2", "m3", "m4"]
    values = [label("m5", str(k), NOON_MS, 1) for k in range(100)]
    found.fold("labels", records(values, first=500))
    found.feed_back()
    assert found.partition.snapshot(only_moved=True).parts.keys() == {("m2", ""), ("m5", "")}


def test_a_frame_at_the_very_beginning_of_the_log_is_counted_like_any_other() -> None:
    found = Driver(SPECS)
    found.fold("labels", records([frame(labels(range(300)))]))
    values = [row("fraud", f"p{n}", NOON_MS, {"a": n % 7}, n % 5 / 4) for n in range(500)]
    found.fold("predictions", records(values))  # to some of the first labels, and those to come
    found.fold("labels", records(labels(range(300, 500)), first=1))
    counts = reports(found)[-1].counts
    assert counts == LabelCounts(labels=500, paired=200, unpaired=300, late=300)


def test_one_record_whose_clock_is_ahead_ends_no_label_s_patience() -> None:
    found = driver(predictions=200)
    found.fold("labels", records(labels(range(200))))
    early = [
        LoggedRecord(n, NOON_MS + 100 * n, b"fraud", value)
        for n, value in enumerate(labels(range(200, 600)), 200)
    ]
    ahead = label("fraud", "p3", NOON_MS, 1)  # of an id that has a label
    early.insert(250, LoggedRecord(600, NOON_MS + DAY_MS, b"fraud", ahead))
    early = [replace(record, offset=200 + n) for n, record in enumerate(early)]
    found.fold("labels", early)
    values = [row("fraud", f"p{n}", NOON_MS, {"a": n % 7}, n % 5 / 4, "1") for n in range(200, 600)]
    found.fold("predictions", records(values, first=200))
    found.fold("labels", records(labels(range(600, 700), prefix="none"), first=601))
    counts = reports(found)[-1].counts
    assert (counts.unpaired, counts.late) == (0, 0)
    assert of_labels(found) == []


def test_an_id_or_a_key_is_no_longer_than_any_other_name_however_it_is_spelt() -> None:
    counts, odd = LabelCounts(unpaired=100, other_key=100), "\x00" * 80
    report = LabelReport(
        epoch=0,
        sequence=0,
        model="m",
        last_offset=0,
        timestamp_ms=0,
        counts=counts,
        predictions=False,
        id=odd,
        key=odd,
    )
    for told in (report, msgspec.structs.replace(report, predictions=True)):
        why = explain(told, counts)[0]
        assert why.count("\\x00") == 14  # four characters each
