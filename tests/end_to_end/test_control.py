"""Specs and references take effect while a worker runs; nonsense in their place does nothing."""

import random
import shlex
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import msgspec
import pytest
from typer.testing import CliRunner

from tests.end_to_end.workers import Group, Sender, bodies, by_id, everything, group
from tests.streams.monitor.logs import NOON_MS, row
from tidegauge.schemas.alerts import Alert
from tidegauge.schemas.monitors import MonitorSpec, ReferenceSpec, WindowSpec
from tidegauge.schemas.references import Reference
from tidegauge.schemas.topics import PARTITIONS, TopicNames
from tidegauge.schemas.windows import WindowReport
from tidegauge.streams.cli import app
from tidegauge.streams.monitor.offline import LoggedRecord, learn_reference
from tidegauge.streams.monitor.partition import Partition
from tidegauge.streams.monitor.records import SOURCES
from tidegauge.streams.monitor.state import PartitionSettings

pytestmark = pytest.mark.timeout(600)


def spec(model: str, rows: int, learned: int = 5) -> MonitorSpec:
    return MonitorSpec(
        model=model, windows=WindowSpec(rows=rows), reference=ReferenceSpec(windows=learned)
    )


def rows(model: str, first: int, count: int, shift: float = 0.0) -> list[bytes]:
    rng = random.Random(first)
    return [
        row(model, f"{model}-{n}", NOON_MS + n, {"amount": shift + rng.random()}, 0.5)
        for n in range(first, first + count)
    ]


class Stage:
    """A running worker, and rows and messages for it."""

    def __init__(self, workers: Group) -> None:
        self.workers, self.topics = workers, workers.topics
        self.sender = Sender(workers.brokers)
        self.worker = workers.start("only")
        self.sent = 0

    def send(self, model: str, count: int, shift: float = 0.0) -> None:
        for value in rows(model, self.sent, count, shift):
            self.sender.send(self.topics.predictions, value, model.encode())
        self.sender.flush()
        self.sent += count

    def reports(self, model: str) -> list[WindowReport]:
        found = bodies(self.workers.brokers, self.topics.windows, WindowReport)
        return [report for report in found if report.model == model]

    def until_reported(
        self, model: str, told: Callable[[WindowReport], bool], rows: int = 20
    ) -> WindowReport:
        """Send rows, and again, until a window is as wanted; control has no given moment."""

        def found() -> bool:
            self.send(model, rows)
            return any(map(told, self.reports(model)))

        self.workers.until(found, f"expected another window of {model}")
        return next(filter(told, self.reports(model)))

    def leave(self) -> None:
        assert self.worker.is_alive
        assert self.worker.terminate()[0] == 0, self.worker.told()


def test_a_changed_spec_takes_effect_without_a_restart(
    brokers: str, topics: TopicNames, prefix: str, tmp_path: Path
) -> None:
    with group(brokers, prefix, tmp_path) as workers:
        stage = Stage(workers)
        # a reference that is complete would be kept, with its windows, where the defaults follow
        stage.sender.apply(topics, spec("fraud", 20, learned=1000))
        stage.send("fraud", 120)
        first = stage.until_reported("fraud", lambda report: report.rows == 20)
        stage.sender.apply(topics, spec("fraud", 50, learned=1000))
        second = stage.until_reported("fraud", lambda report: report.rows == 50)
        assert first.last_offset < second.first_offset
        stage.sender.send(topics.monitors, None, b"fraud")  # removed: the defaults hold again
        third = stage.until_reported("fraud", lambda report: report.rows == 500, rows=400)
        assert second.last_offset < third.first_offset
        sizes = [report.rows for report in stage.reports("fraud")]
        assert sizes == sorted(sizes)  # each spec until the next, and none comes back
        stage.leave()


def test_a_published_reference_serves_a_model_from_its_first_row(
    brokers: str, topics: TopicNames, prefix: str, tmp_path: Path
) -> None:
    own = spec("fraud", 20)
    learned = learn_reference(own, "", [("predictions", value) for value in rows("fraud", 0, 800)])
    with group(brokers, prefix, tmp_path) as workers:
        stage = Stage(workers)
        stage.send("other", 10)  # the worker is under way when spec and reference come
        stage.sender.apply(topics, own)
        stage.sender.send(topics.references, msgspec.json.encode(learned), b"fraud")
        stage.sender.flush()
        stage.send("fraud", 40)
        stage.send("fraud", 40, shift=3.0)
        workers.until(
            lambda: len(stage.reports("fraud")) == 4 and bool(alerts(brokers, topics)),
            "expected 4 windows and an alert",
        )
        # that it is watched at once is the point: not one window is spent on learning
        assert {report.state for report in stage.reports("fraud")} == {"provisional"}
        first = alerts(brokers, topics)[0]
        assert (first.status, first.reference_windows) == ("firing", 40)
        assert first.evidence.first_offset >= 10 + 40
        assert first.series[0].feature == "amount"
        stage.leave()


def alerts(brokers: str, topics: TopicNames) -> list[Alert]:
    return bodies(brokers, topics.alerts, Alert)


def test_bad_control_messages_change_nothing_and_stop_nothing(
    brokers: str, topics: TopicNames, prefix: str, tmp_path: Path
) -> None:
    fine = spec("fraud", 20)
    profile = learn_reference(fine, "", [("predictions", value) for value in rows("fraud", 0, 100)])
    nonsense: dict[str, list[tuple[bytes, bytes]]] = {
        "monitors": [
            (b"fraud", b"{"),
            (b"fraud", b"[]"),
            (b"fraud", b""),
            (b"fraud", b"\xff\xfe"),
            (b"\xff", msgspec.json.encode(fine)),
            (b"fraud", msgspec.json.encode(spec("other", 50))),
            (b"fraud", b'{"model": "fraud", "windows": {"rows": 50}, "colour": "red"}'),
            (b"fraud", b'{"model": "fraud", "windows": {"rows": 50, "every": "1s"}}'),
            (b"fraud", b'{"model": "fraud", "windows": {"rows": "many"}}'),
            (b"fraud", b"[" * 100_000),
            (b"fraud", b'{"model": "fraud", "note": "' + b"x" * 950_000 + b'"}'),
        ],
        "references": [
            (b"fraud", b"{"),
            (b"fraud", b"{}"),
            (b"other", msgspec.json.encode(profile)),
            (b"fraud", msgspec.json.encode(profile).replace(b'"rows":', b'"rows":"x",":')),
            (b"fraud", without_values(profile)),
        ],
    }
    with group(brokers, prefix, tmp_path) as workers:
        stage = Stage(workers)
        stage.sender.apply(topics, fine)
        stage.send("fraud", 120)
        stage.until_reported("fraud", lambda report: report.window >= 5)
        for topic, messages in nonsense.items():
            for key, value in messages:
                stage.sender.send(topics.by_topic()[topic], value, key)
        stage.sender.apply(topics, spec("later", 30))  # read after all of it
        stage.until_reported("later", lambda report: report.rows == 30)
        before = len(stage.reports("fraud"))
        stage.until_reported("fraud", lambda report: report.window > before)
        assert {report.rows for report in stage.reports("fraud")} == {20}
        indices = [report.window for report in stage.reports("fraud")]
        assert indices == list(range(len(indices)))  # never watched anew
        stage.leave()
    # another worker reads the topics from their start
    with group(brokers, prefix, tmp_path) as workers:
        stage = Stage(workers)
        stage.sent = 100_000
        workers.until_ready(stage.worker)
        stage.until_reported("fraud", lambda report: report.window > indices[-1])
        stage.leave()


def without_values(reference: Reference) -> bytes:
    """Return a reference that has the right shape and says nothing."""
    empty = {"rows": -1, "first_ts_ms": -1, "numeric": {}, "series": {}}
    return msgspec.json.encode({**msgspec.to_builtins(reference), **empty, "model": ""})


def test_specs_that_change_while_workers_are_killed_give_what_the_logs_say(
    brokers: str, topics: TopicNames, prefix: str, tmp_path: Path
) -> None:
    chance = random.Random(20261126)
    with group(brokers, prefix, tmp_path) as workers:
        stage = Stage(workers)
        newest = spec("fraud", 20)
        stage.sender.apply(topics, newest)
        for turn in range(18):
            stage.send("fraud", chance.randint(20, 120), shift=turn / 10)
            if turn % 3 == 0:
                workers.until_ready(stage.worker)
                stage.worker.kill()
            if chance.random() < 0.7:  # also while no worker is there
                newest = spec("fraud", chance.choice([15, 20, 30, 40]))
                stage.sender.apply(topics, newest)
            if turn % 3 == 0:
                stage.send("fraud", chance.randint(0, 60))
                stage.worker = workers.start("only")
        workers.until_ready(stage.worker)
        workers.until_settled()
        windows = newest.windows
        assert windows is not None
        # a worker that restarts may fold rows before it has heard of the last spec
        stage.until_reported("fraud", lambda report: report.rows == windows.rows, rows=100)
        workers.until_settled()
        stage.leave()
        found = by_id(everything(brokers, topics.windows))
        names = topics.by_topic()
        logs = {source: own_log(brokers, names[source]) for source in SOURCES}
    partition = Partition(0, PartitionSettings(workers.sources, PARTITIONS))
    partition.read_journal(logs["outcomes"])
    folded = partition.fold("predictions", logs["predictions"])
    expected = {
        (dict(output.headers)["ce_id"] or b"").decode(): output.value
        for output in folded.outputs
        if output.topic == "windows"
    }
    assert len(expected) > 20
    assert {id_: message.value for id_, message in found.items()} == expected
    reports = sorted(
        (msgspec.json.decode(m.value or b"", type=WindowReport) for m in found.values()),
        key=lambda report: report.first_offset,
    )
    assert all(one.last_offset < other.first_offset for one, other in pairwise(reports))
    assert reports[-1].rows == windows.rows


def own_log(brokers: str, topic: str) -> list[LoggedRecord]:
    """Return what partition 0 of a topic holds."""
    return [
        LoggedRecord(message.offset, NOON_MS, message.key, message.value, message.headers)
        for message in everything(brokers, topic)
        if message.partition == 0
    ]


def test_a_reference_built_as_a_file_serves_a_model_from_its_first_row(
    brokers: str, topics: TopicNames, prefix: str, tmp_path: Path
) -> None:
    own = spec("fraud", 20)
    file, out = tmp_path / "good.csv", tmp_path / "fraud.json"
    amounts = (
        (NOON_MS + n, msgspec.json.decode(value)["features"]["amount"])
        for n, value in enumerate(rows("fraud", 0, 1400))
    )
    file.write_text("at,amount,score\n" + "".join(f"{at},{x},0.5\n" for at, x in amounts))
    (tmp_path / "monitors.yaml").write_text("monitors: [{model: fraud, windows: {rows: 20}}]")
    said = ["--prediction-column", "score", "--time-column", "at", "--out", out]
    said += ["--monitors", tmp_path / "monitors.yaml"]
    built = cli("reference", "build", file, "-m", "fraud", *said)
    assert "reference of 1,400 rows in 70 windows written" in built
    with group(brokers, prefix, tmp_path) as workers:
        stage = Stage(workers)
        stage.sender.apply(topics, own)
        stage.sender.flush()
        published = cli("reference", "publish", out, "--brokers", brokers, "--prefix", prefix)
        assert published == "fraud: reference of 1,400 rows in 70 windows published\n"
        stage.send("fraud", 40)
        stage.send("fraud", 40, shift=3.0)
        workers.until(
            lambda: len(stage.reports("fraud")) == 4 and bool(alerts(brokers, topics)),
            "expected 4 windows and an alert",
        )
        assert {report.state for report in stage.reports("fraud")} == {"provisional"}
        assert alerts(brokers, topics)[0].reference_windows == 70
        stage.leave()


def cli(*arguments: object) -> str:
    """Return what a command says, once it has done it."""
    result = CliRunner().invoke(app, [*map(str, arguments)])
    assert result.exit_code == 0, result.output
    return result.stdout


def test_a_new_normal_that_a_person_accepts_is_the_reference_without_a_restart(
    brokers: str, topics: TopicNames, prefix: str, tmp_path: Path
) -> None:
    own = spec("fraud", 20, learned=30)
    with group(brokers, prefix, tmp_path) as workers:
        stage = Stage(workers)
        stage.sender.apply(topics, own)
        stage.send("fraud", 32 * 20)
        stage.send("fraud", 40 * 20, shift=3.0)

        def over() -> list[Alert]:
            found = alerts(brokers, topics)
            return [alert for alert in found if "a new normal since" in alert.title]

        workers.until(lambda: bool(over()), "expected a new normal")
        command = shlex.split(over()[0].advice.partition("Then type: ")[2])
        assert command[:4] == ["tidegauge", "reference", "adopt", "fraud"]
        name = command[-1]
        assert level(stage.reports("fraud")[-1], name) is not None
        cli(*command[1:], "--brokers", brokers, "--prefix", prefix)

        def taken_up() -> bool:
            stage.send("fraud", 20, shift=3.0)
            return level(stage.reports("fraud")[-1], name) is None

        workers.until(taken_up, "expected the level to be the reference")
        last = stage.reports("fraud")[-1]
        stage.worker.kill()
        stage.worker = workers.start("only")
        workers.until_ready(stage.worker)
        later = stage.until_reported("fraud", lambda report: report.window > last.window + 3)
        reports = stage.reports("fraud")
        assert [report.window for report in reports] == list(range(len(reports)))
        assert level(later, name) is None
        stage.leave()


def level(report: WindowReport, series: str) -> int | None:
    """Return the start of the level with which a series is compared, None for the reference."""
    return report.series[series].level_ms
