"""How long after its last row was due a window is reported, at a fixed rate of rows.

The clock is the reader's: a report counts when a consumer has it. Rows are due by the schedule,
not by when they were sent, so a stall counts for all the rows that should have come in it.
"""

import time
from typing import Final

import msgspec

from load_tests import kafka, traffic
from load_tests.figures import latencies_ms, percentile
from load_tests.generator import Kept
from load_tests.kafka import Record
from load_tests.processes import QuietError, python, running
from load_tests.throughput import PATIENCE_S, Broker
from load_tests.traffic import Data
from tidegauge.schemas.alerts import Alert
from tidegauge.schemas.windows import WindowReport

FIRST_ROWS: Final = 20_000  # sent before: the worker starts, compiles and learns its reference
WARM_UP_S: Final = 1.0
LATE_MS: Final = 10.0  # by which 1% of the batches may leave late
EDGES_MS: Final = [2.0 * step for step in range(101)]


class Latency(msgspec.Struct, frozen=True):
    """What came of one open loop; latencies in ms."""

    rate: float
    windows: int
    p50: float
    p99: float
    p99_9: float
    worst: float
    alerts_ms: list[float]
    counts: list[int]  # of windows from 0, 2, 4, … 200 ms; the last: 200 ms and more
    kept: Kept
    kept_schedule: bool


class Told:
    """Collects when the reports of windows and the alerts came, by the row that ended them."""

    def __init__(self, first_row: int) -> None:
        self.windows: list[tuple[int, float]] = []
        self.alerts: list[tuple[int, float]] = []
        self._first_row = first_row

    def take(self, record: Record) -> bool:
        """Take a report or an alert; it is never enough."""
        now = time.time()
        if record.topic.endswith("alerts"):
            alert = msgspec.json.decode(record.value, type=Alert)
            self.alerts.append((alert.evidence.last_offset - self._first_row, now))
        else:
            report = msgspec.json.decode(record.value, type=WindowReport)
            if report.source == "predictions":
                self.windows.append((report.last_offset - self._first_row, now))
        return False


def measure(broker: Broker, run: str, rate: float, seconds: float) -> Latency:
    """Return the latencies at ``rate`` rows a second.

    Raises
    ------
    QuietError
        If the worker or the generator gets nowhere.
    """
    prefix = f"{run}.latency-{rate:.0f}."
    kafka.create_ours(broker.address, prefix, {})
    topic = f"{prefix}predictions"
    kafka.fill(broker.address, topic, traffic.predictions(Data(FIRST_ROWS), seed=2))
    reader = kafka.reader(broker.address, f"{prefix}windows", f"{prefix}alerts")
    told = Told(FIRST_ROWS)
    total = int(rate * seconds)
    ours = python("tidegauge", "worker", "--brokers", broker.address, "--prefix", prefix,
                  "--log-level", "WARNING")  # fmt: skip
    theirs = python("load_tests.generator", broker.address, topic, str(rate), str(seconds))
    try:
        with running(*ours) as worker:
            kafka.follow(reader, worker, lambda m: told.take(m) or _is_ready(told), PATIENCE_S)
            with running(*theirs) as generator:
                patience_s = PATIENCE_S + seconds
                kafka.follow(
                    reader, worker, lambda m: told.take(m) or _is_over(told, total), patience_s
                )
                said, _ = generator.process.communicate(timeout=PATIENCE_S)
                if not said:
                    raise QuietError(f"the generator failed: {generator.last_words}")
    finally:
        reader.close()
    return summary(rate, msgspec.json.decode(said, type=Kept), told)


def _is_ready(told: Told) -> bool:
    return bool(told.windows) and told.windows[-1][0] >= -1 - FIRST_ROWS // 20


def _is_over(told: Told, total: int) -> bool:
    return told.windows[-1][0] >= total - 1 - FIRST_ROWS // 20


def summary(rate: float, kept: Kept, told: Told) -> Latency:
    """Return the latencies of what came after the first second of the schedule."""

    def after(found: list[tuple[int, float]]) -> list[float]:
        late = [(row, at_s) for row, at_s in found if row >= rate * WARM_UP_S]
        return latencies_ms(late, kept.begun_s, rate)

    windows = after(told.windows)
    counts = [0] * len(EDGES_MS)
    for ms in windows:
        counts[min(max(int(ms // EDGES_MS[1]), 0), len(counts) - 1)] += 1
    p50, p99, p99_9, worst = (percentile(windows, share) for share in (0.5, 0.99, 0.999, 1.0))
    return Latency(
        rate=rate,
        windows=len(windows),
        p50=p50,
        p99=p99,
        p99_9=p99_9,
        worst=worst,
        alerts_ms=after(told.alerts),
        counts=counts,
        kept=kept,
        kept_schedule=kept.late_p99_ms <= LATE_MS,
    )
