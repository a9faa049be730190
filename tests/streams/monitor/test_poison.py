"""A record that cannot be folded, by a fault of ours, is left out; all else is as without it."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.streams.monitor.driver import SETTINGS, Driver, by_monitor, pairs, published
from tests.streams.monitor.logs import NOON_MS, label, row
from tidegauge.schemas.outcomes import Poison
from tidegauge.streams.monitor.dry_run import choose
from tidegauge.streams.monitor.intake.block import Block
from tidegauge.streams.monitor.journal.poison import MAX_ALONE, FoldError
from tidegauge.streams.monitor.offline import LoggedRecord
from tidegauge.streams.monitor.partition import Partition
from tidegauge.streams.monitor.records import Source
from tidegauge.streams.monitor.snapshot import Snapshot
from tidegauge.streams.monitor.verdict.input_monitor import InputMonitor
from tidegauge.streams.monitor.verdict.outcome_monitor import OutcomeMonitor
from tidegauge.streams.monitor.windows.cutting import Dated

BAD = 666.0


def break_on(monkeypatch: pytest.MonkeyPatch, value: float) -> None:
    """Let the monitors fail at a number, after they have begun to change."""
    fold = InputMonitor.fold

    def failing(self: InputMonitor, block: Block) -> Any:
        outputs = fold(self, block)
        if (block.numbers == value).any():
            raise ZeroDivisionError("a bug in a kernel")
        return outputs

    monkeypatch.setattr(InputMonitor, "fold", failing)


def break_late(monkeypatch: pytest.MonkeyPatch, value: float) -> None:
    """Let the monitors fail at a number only when they fold the rows that they gathered."""
    add = InputMonitor.add

    def failing(self: InputMonitor, block: Block, found: Dated) -> None:
        add(self, block, found)
        if (block.numbers == value).any():
            raise ZeroDivisionError("a bug in a kernel")

    monkeypatch.setattr(InputMonitor, "add", failing)


class Worker(Driver):
    """A driver that restores as a worker does: the snapshot, the journal, then the logs again."""

    restores = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        self.saved: Snapshot | None = None
        self.logs: dict[Source, list[LoggedRecord]] = {}

    def work(self, logs: dict[Source, list[LoggedRecord]], batch: int = 50) -> "Worker":
        self.logs = logs
        while True:
            try:
                for source, records in logs.items():
                    at = self.partition.next_offset[source]
                    for start in range(at, len(records), batch):
                        self.fold(source, records[start : start + batch])
                    self.feed_back()
                return self
            except FoldError as fault:
                self.publish([self.partition.poison(fault)])
                self.restore()

    def save(self) -> None:
        self.saved = self.partition.snapshot()

    def restore(self) -> None:
        self.restores += 1
        saved = self.saved
        self.partition = Partition.restore(0, SETTINGS, saved) if saved else Partition(0, SETTINGS)
        self.partition.read_journal(self.fed_back["outcomes"])
        self.publish([self.partition.fence()])
        for source in ("predictions", "labels"):
            end = self.partition.next_offset[source]
            self.partition.rebuild_join(source, self.logs[source][:end])


def logs(rows: int, bad: Callable[[int], bool]) -> dict[Source, list[LoggedRecord]]:
    """Return predictions and labels; ``bad`` says which rows have the number."""
    found: dict[Source, list[LoggedRecord]] = {"predictions": [], "labels": []}
    for n in range(rows):
        x = BAD if bad(n) else float(n % 7)
        values = {
            "predictions": row("m", f"r{n}", NOON_MS + n, {"x": x}, 0.5),
            "labels": label("m", f"r{n}", NOON_MS + n, n % 2),
        }
        for source, value in values.items():
            found[source].append(LoggedRecord(n, NOON_MS, b"m", value))  # type: ignore[index] # both are sources
    return found


def letters(worker: Driver) -> list[int]:
    headers = [dict(o.headers) for o in worker.outputs if o.topic == "rejected"]
    return sorted({int(found["__connect.errors.offset"] or b"") for found in headers})


@pytest.mark.parametrize("batch", [1, 7, 30])
def test_the_poisonous_record_is_found_among_rows_gathered_from_many_batches(
    monkeypatch: pytest.MonkeyPatch, batch: int
) -> None:
    break_late(monkeypatch, BAD)
    worker = Worker().work(logs(2300, lambda n: n == 1240), batch)
    assert letters(worker) == [1240]
    assert worker.restores == (1 if batch == 1 else 2)


def test_a_snapshot_tells_which_gathered_rows_cannot_be_folded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    break_late(monkeypatch, BAD)
    worker, own = Worker(), logs(2007, lambda n: n == 2003)
    worker.work({"predictions": own["predictions"][:2000], "labels": []})
    worker.save()
    worker.fold("predictions", own["predictions"][2000:])
    with pytest.raises(FoldError, match="predictions offsets 2000 to 2006") as found:
        worker.save()
    worker.publish([worker.partition.poison(found.value)])
    worker.logs = own
    worker.restore()
    worker.work(own)
    assert letters(worker) == [2003]


@pytest.mark.parametrize("batch", [1, 50, 5000])
def test_the_poisonous_record_is_rejected_and_told_and_the_rest_is_as_without_it(
    monkeypatch: pytest.MonkeyPatch, batch: int
) -> None:
    break_on(monkeypatch, BAD)
    worker = Worker().work(logs(2300, lambda n: n == 1234), batch)
    assert worker.restores == (1 if batch == 1 else 2)
    assert letters(worker) == [1234]
    (alert,) = [a for a in published(worker.outputs, "alerts") if a["status"] == "firing"]
    assert (alert["kind"], alert["severity"], alert["series"][0]["series"]) == (
        "quality", "critical", "poison"
    )  # fmt: skip
    assert alert["evidence"]["first_offset"] == alert["evidence"]["last_offset"] == 1234
    assert "predictions[0]: offset 1234 cannot be folded: ZeroDivisionError" in alert["title"]
    assert worker.partition.tallies["predictions"].rejected == 1
    reports = published(worker.outputs, "windows")
    told = {(r["source"], r["window"]): r["rows"] for r in reports}
    assert told == {(source, n): 500 for source in ("predictions", "outcomes") for n in range(4)}


def test_it_is_poison_for_every_owner_to_come(monkeypatch: pytest.MonkeyPatch) -> None:
    break_on(monkeypatch, BAD)
    found = logs(900, lambda n: n == 500)
    worker = Worker()
    worker.work({source: records[:400] for source, records in found.items()})
    worker.save()
    worker.work(found)
    assert worker.restores == 2
    for saves in (False, True, False):
        if saves:
            worker.save()
        worker.restore()
        worker.work(found)
    assert worker.restores == 5  # no further fault
    assert letters(worker) == [500]
    alerts = {a["incident"] for a in published(worker.outputs, "alerts")}
    assert len(alerts) == 1
    paired = {pair[0] for pair in pairs(worker.outputs)["m", ""]}
    assert paired == {f"r{n}" for n in range(900) if n != 500}


def test_many_poisonous_records_in_a_batch_cost_a_few_restores(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    break_on(monkeypatch, BAD)
    worker = Worker().work(logs(600, lambda n: n >= 210 and n % 2 == 0), batch=200)
    assert worker.restores <= 2 * (MAX_ALONE + 2)
    bad = {n for n in range(210, 600) if n % 2 == 0}
    assert bad <= set(letters(worker))
    assert not set(letters(worker)) & set(range(210))


def test_a_pair_that_cannot_be_folded_is_poison_too(monkeypatch: pytest.MonkeyPatch) -> None:
    fold = OutcomeMonitor.fold_pairs

    def failing(self: OutcomeMonitor, pairs: Any) -> Any:
        if "r300" in pairs.ids:
            raise ZeroDivisionError("a bug in a metric")
        return fold(self, pairs)

    monkeypatch.setattr(OutcomeMonitor, "fold_pairs", failing)
    worker = Worker().work(logs(600, lambda n: False))
    (letter,) = {o.value for o in worker.outputs if o.topic == "rejected"}
    assert "r300" in json.loads(letter or b"")["ids"]
    (alert,) = {a["title"] for a in published(worker.outputs, "alerts")}
    assert alert.startswith("outcomes[0]: offset")


@pytest.fixture(autouse=True)
def one_at_a_time() -> Iterator[None]:
    """Let no fault of one test be met by the next."""
    yield
    Worker.restores = 0


def test_undisturbed_logs_have_the_same_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = Worker().work(logs(2300, lambda n: False))
    break_on(monkeypatch, BAD)
    worker = Worker().work(logs(2300, lambda n: n == 2200))
    found = by_monitor(worker.outputs)
    for key, events in by_monitor(expected.outputs).items():
        if key[0] == "windows":
            assert {e.value for e in found[key]} == {e.value for e in events}


def entry(number: int, body: dict[str, Any]) -> LoggedRecord:
    return LoggedRecord(number, NOON_MS, None, json.dumps(body).encode())


def counted(sequence: int, **counts: int) -> dict[str, Any]:
    return {
        "kind": "labels", "epoch": 1, "sequence": sequence, "model": "m", "last_offset": sequence,
        "timestamp_ms": NOON_MS, "predictions": True, "counts": counts,
    }  # fmt: skip


def test_a_fence_with_the_last_of_all_numbers_stops_no_owner() -> None:
    partition = Partition(0, SETTINGS)
    fences: list[dict[str, Any]] = [
        {"kind": "fence", "epoch": epoch} for epoch in (5, 2**63 - 1, 6)
    ]
    partition.read_journal([entry(n, fence) for n, fence in enumerate(fences)])
    partition.fence()
    assert partition.epoch == 7
    partition.apply_change(partition.control_change("m", "", choose(None, None)))


def test_counts_of_labels_in_the_journal_never_grow_beyond_what_a_snapshot_holds() -> None:
    worker = Worker().work(logs(120, lambda n: False))
    most = 2**53
    reports = [counted(1000 + n, labels=most * (n % 2)) for n in range(5000)]
    reports += [counted(9000, labels=most + 1), counted(9001, labels=2**63 - 1)]
    at = worker.partition.next_offset["outcomes"]
    worker.fold("outcomes", [entry(at + n, report) for n, report in enumerate(reports)])
    assert worker.partition.outcomes.monitors["m", ""].labels.labels == most
    assert worker.partition.tallies["outcomes"].rejected == 2
    worker.partition.snapshot()


def test_a_poisonous_part_of_the_journal_hides_no_owner_that_took_over_in_it() -> None:
    partition = Partition(0, SETTINGS)
    poison = Poison(
        epoch=1, sequence=1, source="outcomes", first_offset=0, last_offset=1, alone=True, error="x"
    )
    partition.poisons.take(poison)
    bodies: list[dict[str, Any]] = [
        {"kind": "fence", "epoch": 1},
        counted(1, labels=1),
        counted(2, labels=100, unpaired=100),
    ]
    partition.fold("outcomes", [entry(n, body) for n, body in enumerate(bodies)])
    assert partition.outcomes.label_watches["m"].counts.labels == 100
