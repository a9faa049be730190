"""A label that is corrected revises the report of the window in which the first one counted."""

import json
from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
import pytest

from tests.streams.monitor.driver import SETTINGS, Driver, published
from tests.streams.monitor.logs import NOON_MS, frame, label, row
from tidegauge.schemas.monitors import LabelSpec, MonitorSpec, WindowSpec
from tidegauge.schemas.outcomes import Corrections
from tidegauge.streams.monitor.journal.journal import read_entry
from tidegauge.streams.monitor.offline import LoggedRecord
from tidegauge.streams.monitor.partition import Partition
from tidegauge.streams.monitor.windows.metrics import OF_TASK

ROWS, WINDOW = 400, 50
DAY_MS = 86_400_000
SPEC = MonitorSpec(
    model="m",
    windows=WindowSpec(rows=WINDOW),
    task="classification",
    metrics=[name for name in OF_TASK["classification"]],  # type: ignore[misc] # all of them
    labels=LabelSpec(corrections="7d"),
)
NAMES = ("cat", "dog", "emu")
OF_CLASSES = msgspec.structs.replace(
    SPEC, task="multiclass", metrics=[name for name in OF_TASK["multiclass"]]
)


def said(n: int) -> Any:
    return round(((n * 37) % 101) / 100, 2)


def truth(n: int) -> int:
    return int((n * 53) % 101 < 100 * said(n))


def records(values: Sequence[bytes], first: int = 0) -> list[LoggedRecord]:
    later_ms = NOON_MS + 9 * DAY_MS
    return [LoggedRecord(first + n, later_ms + n, b"m", v) for n, v in enumerate(values)]


def started(spec: MonitorSpec | None = SPEC, scores: Sequence[Any] = ()) -> Driver:
    """Return a driver that has folded predictions p0, p1, …"""
    driver = Driver({} if spec is None else {"m": spec})
    values = [
        row("m", f"p{n}", NOON_MS + 1000 * n, {"a": n % 7}, scores[n] if scores else said(n))
        for n in range(ROWS)
    ]
    driver.fold("predictions", records(values))
    driver.feed_back()
    return driver


def tell(driver: Driver, labels: Sequence[tuple[int, Any]], ts_ms: int = 0, size: int = 37) -> None:
    """Send labels, many a batch, and let the journal be read after each."""
    first = driver.partition.next_offset["labels"]
    values = [label("m", f"p{n}", ts_ms or NOON_MS + 1500 * n, value) for n, value in labels]
    for start in range(0, len(values), size):
        driver.fold("labels", records(values[start : start + size], first + start))
        driver.feed_back()


def reports(driver: Driver, revised: bool) -> list[dict[str, Any]]:
    told = [w for w in published(driver.outputs, "windows") if w["source"] == "outcomes"]
    return [window for window in told if bool(window["revised"]) == revised]


def figures(window: dict[str, Any]) -> dict[str, Any]:
    """Return what a report says of its pairs."""
    names = ("metrics", "intervals", "rests_on", "reliability", "rows", "first_offset")
    return {name: window[name] for name in names}


ALL = [(n, truth(n)) for n in range(ROWS)]
FLIPPED = {7: 1 - truth(7), 12: 1 - truth(12), 130: 1 - truth(130)}


def test_a_revised_report_is_that_of_the_corrected_labels_from_the_beginning() -> None:
    driver, other = started(), started()
    tell(driver, ALL)
    before = list(reports(driver, revised=False))
    tell(driver, [*FLIPPED.items(), *ALL[200:300]])  # a hundred more, and what became is told
    tell(other, [(n, FLIPPED.get(n, value)) for n, value in ALL])
    expected = reports(other, revised=False)
    found = reports(driver, revised=True)
    assert [(window["window"], window["revised"]) for window in found] == [(0, 1), (2, 1)]
    for window in found:
        own, first = expected[window["window"]], before[window["window"]]
        assert figures(window) == figures(own)
        assert figures(window) != figures(first)
        assert window["columns"] == own["columns"]
        assert window["series"] == {}
        head = "first_ts_ms", "last_ts_ms", "last_offset", "rows", "version", "model"
        assert [window[name] for name in head] == [first[name] for name in head]
    deployed, whole = (told[-1]["since_deployment"] for told in (found, expected))
    assert deployed["metrics"] == pytest.approx(whole["metrics"])
    assert deployed["reliability"] == whole["reliability"]
    assert reports(driver, revised=False) == before
    ids = [dict(o.headers)["ce_id"] for o in driver.outputs if o.topic == "windows"]
    assert len(ids) == len(set(ids))


def test_a_window_that_is_open_when_a_label_is_corrected_is_told_and_then_revised() -> None:
    driver, other = started(), started()
    tell(driver, [*ALL[:30], (7, FLIPPED[7]), *ALL[30:200]])
    tell(other, [(n, FLIPPED.get(n, value) if n == 7 else value) for n, value in ALL[:200]])
    (window,) = reports(driver, revised=True)
    assert (window["window"], window["revised"]) == (0, 1)
    assert figures(window)["metrics"] == reports(other, revised=False)[0]["metrics"]


def test_a_label_may_be_corrected_more_than_once() -> None:
    driver = started()
    tell(driver, ALL)
    before = reports(driver, revised=False)
    for value in (1 - truth(7), truth(7)):
        tell(driver, [(7, value), *ALL[200:300]])
    first, second = reports(driver, revised=True)
    assert (first["revised"], second["revised"]) == (1, 2)
    assert first["metrics"] != second["metrics"] == before[0]["metrics"]


@pytest.mark.parametrize("with_probabilities", [False, True])
def test_classes_are_corrected_too(with_probabilities: bool) -> None:
    rng = np.random.default_rng(2)
    odds = np.round(rng.dirichlet([1, 1, 1], ROWS), 6)
    scores: list[Any] = [dict(zip(NAMES, own.tolist(), strict=True)) for own in odds]
    if not with_probabilities:
        scores = [NAMES[at] for at in odds.argmax(axis=1)]
    labels = [(n, NAMES[n % 3]) for n in range(ROWS)]
    flipped = {7: "emu", 130: "dog"}
    driver, other = started(OF_CLASSES, scores), started(OF_CLASSES, scores)
    tell(driver, labels)
    tell(driver, [*flipped.items(), *labels[200:300]])
    tell(other, [(n, flipped.get(n, value)) for n, value in labels])
    expected = reports(other, revised=False)
    for window in reports(driver, revised=True):
        assert figures(window) == figures(expected[window["window"]])
    last = reports(driver, revised=True)[-1]["since_deployment"]["metrics"]
    assert last == pytest.approx(expected[-1]["since_deployment"]["metrics"])


def test_a_correction_of_a_window_that_is_kept_no_longer_revises_nothing() -> None:
    driver = started()
    tell(driver, ALL[:200])
    tell(driver, ALL[200:350], ts_ms=NOON_MS + 8 * DAY_MS)
    tell(driver, [(7, FLIPPED[7]), (210, 1 - truth(210)), *ALL[:100]])
    assert [window["window"] for window in reports(driver, revised=True)] == [4]
    monitor = driver.partition.outcomes.monitors["m", ""]
    assert [window.bounds.index for window in monitor.kept] == [4, 5, 6]
    told = reports(driver, revised=False)[-1]["since_deployment"]
    assert told["rests_on"]["pairs"] == 350


def test_unless_the_spec_asks_for_it_nothing_is_revised_kept_or_journaled() -> None:
    driver = started(msgspec.structs.replace(SPEC, labels=LabelSpec()))
    tell(driver, [*ALL, *FLIPPED.items(), *ALL[:100]])
    assert reports(driver, revised=True) == []
    assert driver.partition.outcomes.monitors["m", ""].kept == []
    assert corrections(driver) == []
    assert sum(report["labels"]["corrected"] for report in reports(driver, False)) in (0, 3)


def corrections(driver: Driver) -> list[Corrections]:
    entries = [read_entry(o.value) for o in driver.outputs if o.topic == "outcomes"]
    return [entry for entry in entries if isinstance(entry, Corrections)]


def test_a_spec_that_asks_no_longer_counts_what_was_kept_for_good() -> None:
    driver = started()
    tell(driver, ALL[:300])
    before = reports(driver, revised=False)[-1]["since_deployment"]
    driver.change("m", "", msgspec.structs.replace(SPEC, labels=LabelSpec()))
    driver.feed_back()
    tell(driver, ALL[300:])
    after = reports(driver, revised=False)[-1]["since_deployment"]
    assert after["rests_on"]["pairs"] == before["rests_on"]["pairs"] + 100


STORY = [*ALL[:220], *FLIPPED.items(), *ALL[220:], (7, truth(7)), (300, 1 - truth(300)), *ALL[:150]]


@pytest.mark.parametrize("size", [1, 3, 1000])
def test_where_batches_of_labels_are_cut_changes_no_report(size: int) -> None:
    usual, other = started(), started()
    tell(usual, STORY)
    tell(other, STORY, size=size)
    assert other.outputs and reports(usual, revised=True)
    for revised in (False, True):
        assert reports(other, revised) == reports(usual, revised)


@pytest.mark.parametrize("crash", [0, 90, 221, 225, 330, 404, 500])
def test_a_restart_writes_each_correction_once_and_gives_the_same_reports(crash: int) -> None:
    usual = started()
    tell(usual, STORY, size=20)
    driver = started()
    tell(driver, STORY[: crash // 2], size=20)
    snapshot = driver.partition.snapshot()
    tell(driver, STORY[crash // 2 : crash], size=20)  # told, journaled, and forgotten
    told = {o.topic: [x for x in driver.outputs if x.topic == o.topic] for o in driver.outputs}
    partition = Partition.restore(0, SETTINGS, snapshot)
    journal = driver.fed_back["outcomes"]
    partition.read_journal(journal[partition.rebuild_from["outcomes"] :])
    driver.partition = partition
    driver.publish([partition.fence()])
    values = [row("m", f"p{n}", NOON_MS + 1000 * n, {"a": n % 7}, said(n)) for n in range(ROWS)]
    partition.rebuild_join("predictions", records(values)[partition.rebuild_from["predictions"] :])
    labels = [label("m", f"p{n}", NOON_MS + 1500 * n, value) for n, value in STORY]
    start, stop = partition.rebuild_from["labels"], partition.next_offset["labels"]
    if stop > start:
        partition.rebuild_join("labels", records(labels)[start:stop])
    driver.feed_back()
    at = partition.next_offset["labels"]
    for first in range(at, len(labels), 20):
        driver.fold("labels", records(labels)[first : first + 20])
        driver.feed_back()
    assert told
    written = [
        (o, i) for e in corrections(driver) for o, i in zip(e.label_offsets, e.ids, strict=True)
    ]
    assert len(written) == len(set(written)) == 7
    for revised in (False, True):
        found = {json.dumps(report, sort_keys=True) for report in reports(driver, revised)}
        expected = {json.dumps(report, sort_keys=True) for report in reports(usual, revised)}
        assert found == expected


def test_labels_of_frames_are_corrected_and_an_unknown_id_is_nobodys() -> None:
    driver = started()
    tell(driver, ALL)
    again = [label("m", f"p{n}", NOON_MS + 1000 * n, 1 - truth(n)) for n in range(120)]
    driver.fold("labels", records([frame(again)], driver.partition.next_offset["labels"]))
    tell(driver, [(ROWS + 5, 1), (ROWS + 5, 0), *ALL[200:300]])
    driver.feed_back()
    assert [window["window"] for window in reports(driver, revised=True)] == [0, 1, 2]


def test_many_corrections_fit_into_records_of_the_journal() -> None:
    driver = started()
    ids = [f"{n:04}" + "\x01" * 500 for n in range(1200)]
    for value in (0, 1):
        values = [label("m", id_, NOON_MS, value) for id_ in ids]
        first = driver.partition.next_offset["labels"]
        driver.fold("labels", records(values, first))
    found = [
        o for o in driver.outputs if o.topic == "outcomes" and b'"corrections"' in (o.value or b"")
    ]
    assert len(found) > 1
    assert max(len(output.value or b"") for output in found) < 1_000_000
    assert [id_ for entry in corrections(driver) for id_ in entry.ids] == ids


def test_a_correction_that_a_former_owner_had_written_in_vain_is_written_again() -> None:
    driver = started()
    tell(driver, STORY[:230], size=20)
    partition = Partition.restore(0, SETTINGS, driver.partition.snapshot())
    journal = [
        record
        for record in driver.fed_back["outcomes"]
        if not isinstance(read_entry(record.value), Corrections)
    ]
    partition.read_journal(journal)
    values = [row("m", f"p{n}", NOON_MS + 1000 * n, {"a": n % 7}, said(n)) for n in range(ROWS)]
    labels = [label("m", f"p{n}", NOON_MS + 1500 * n, value) for n, value in STORY]
    partition.rebuild_join("predictions", records(values))
    partition.rebuild_join("labels", records(labels)[:230])
    partition.fence()
    outputs = partition.fold("labels", records(labels)[230:240]).outputs
    entries = [read_entry(o.value) for o in outputs if o.topic == "outcomes"]
    (again,) = [entry for entry in entries if isinstance(entry, Corrections)]
    assert again.ids == ["p7", "p12", "p130"]


def test_labels_are_corrected_of_pairs_that_wait_for_their_windows() -> None:
    """As they do where the spec names none, until it is known what comes in a day."""
    driver = started(msgspec.structs.replace(SPEC, windows=None))
    tell(driver, [(n, truth(n)) for n in range(ROWS)])
    tell(driver, [(n, 1 - truth(n)) for n in range(20)])
    monitor = driver.partition.outcomes.monitor(("m", ""))
    held = np.frombuffer(monitor.waiting.numbers).reshape(ROWS, -1)
    at = monitor.waiting.names.index("label")
    assert held[:, at].tolist() == [1 - truth(n) if n < 20 else truth(n) for n in range(ROWS)]
