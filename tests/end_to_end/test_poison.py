"""A fault of ours in one record does not end the worker; the record is left out, for good."""

from pathlib import Path

from tests.end_to_end.test_bad_input import origin
from tests.end_to_end.workers import Sender, bodies, everything, group
from tests.streams.monitor.logs import NOON_MS, row
from tidegauge.schemas.alerts import Alert
from tidegauge.schemas.topics import TopicNames
from tidegauge.schemas.windows import WindowReport

FAULTY = """
from tidegauge.streams.monitor.verdict.input_monitor import InputMonitor
from tidegauge.__main__ import main

fold = InputMonitor.fold

def failing(self, block):
    outputs = fold(self, block)
    if (block.numbers == 666).any():
        raise ZeroDivisionError("a bug in a kernel")
    return outputs

InputMonitor.fold = failing
main()
"""
ROWS = 2500


def test_a_worker_goes_on_behind_a_record_that_it_cannot_fold(
    brokers: str, topics: TopicNames, prefix: str, tmp_path: Path
) -> None:
    sender = Sender(brokers)

    def send(first: int, last: int, bad: int = -1) -> None:
        for n in range(first, last):
            features = {"x": 666 if n == bad else n % 7}
            value = row("m", f"r{n}", NOON_MS + n, features, 0.5)
            sender.send(topics.predictions, value, b"m", 1)
        sender.flush()

    def windows() -> list[WindowReport]:
        return bodies(brokers, topics.windows, WindowReport)

    send(0, 1500, bad=1234)
    with group(brokers, prefix, tmp_path) as workers:
        worker = workers.start("only", program=("-c", FAULTY))
        workers.until(lambda: len(windows()) == 2, "expected two windows")
        workers.until_settled()
        send(1500, ROWS)
        workers.until(lambda: len(windows()) == 4, "expected four windows")
        worker.kill()  # the same record is poison to the next owner
        worker = workers.start("only", program=("-c", FAULTY))
        send(ROWS, ROWS + 600)
        workers.until(lambda: len(windows()) == 6, "expected six windows")
        workers.until_settled()
        assert "a bug in a kernel" not in worker.log.read_text()
        assert worker.terminate()[0] == 0, worker.told()

    letters = {origin(letter) for letter in everything(brokers, topics.rejected)}
    assert letters == {(topics.predictions, 1, 1234)}
    told = {alert.incident: alert for alert in bodies(brokers, topics.alerts, Alert)}
    (alert,) = told.values()
    assert (alert.severity, alert.series[0].series) == ("critical", "poison")
    assert [report.rows for report in windows()] == [500] * 6
    assert [report.last_offset for report in windows()] == [499, 999, 1500, 2000, 2500, 3000]
