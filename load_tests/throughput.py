"""Rows per second of every contender on the same topics, one after the other, in several rounds.

Rows are there before a contender starts. Each says how far it is: a worker by the reports of its
windows, a peer every thousand rows. The broker's clock gives the time of these marks, and those
of the first tenth of the rows are left out: start, compilation and warm-up count for nobody.
"""

import contextlib
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Final, Literal, NamedTuple

import msgspec

from load_tests import kafka, traffic
from load_tests.figures import Mark, Spread, measured, rate
from load_tests.kafka import Record
from load_tests.processes import CpuClock, QuietError, python, running
from load_tests.traffic import Data
from tidegauge.schemas.monitors import MonitorSpec
from tidegauge.schemas.topics import FOREVER_MS, configuration
from tidegauge.schemas.windows import WindowReport

PATIENCE_S: Final = 30.0  # without a mark, start included
SEED: Final = 1
ENOUGH: Final = 0.99  # of the rows: the last window stays open

Kind = Literal["tidegauge", "aiokafka", "confluent", "faust", "quix"]


class Contender(NamedTuple):
    """Who reads which data, in how many rounds, and how much of it (the slow ones less)."""

    name: str
    kind: Kind
    data: str
    rounds: int = 2
    share: float = 1.0
    spec: MonitorSpec | None = None  # by which the model is watched; None: the defaults


class Run(NamedTuple):
    """What one run of a contender gave."""

    rows_a_second: float
    cpu_us: float  # of the contender, a row
    broker_us: float  # of the broker, a row; NaN where it is not ours


class Result(msgspec.Struct, frozen=True):
    """All runs of a contender, or why there is none."""

    name: str
    data: str
    rows_a_second: Spread | None = None
    cpu_us: Spread | None = None
    broker_us: Spread | None = None
    skipped: str = ""


class Broker(NamedTuple):
    """Where it answers, and its process where it is ours."""

    address: str
    pid: int | None


def preload(broker: Broker, run: str, name: str, data: Data) -> None:
    """Put the data into topics of their own."""
    sources = {"predictions": traffic.predictions}
    if data.labels:
        sources["labels"] = traffic.labels
    for topic, messages in sources.items():
        full = f"{run}.{name}.{topic}"
        kafka.create(broker.address, {full: configuration(topic, FOREVER_MS)})
        kafka.fill(broker.address, full, messages(data, SEED), data.codec)


@contextlib.contextmanager
def sampled(*pids: int | None) -> Iterator[list[CpuClock | None]]:
    """Sample the processor time of processes for the length of a ``with`` block."""
    clocks = [CpuClock(pid) if pid else None for pid in pids]
    for clock in filter(None, clocks):
        clock.start()
    try:
        yield clocks
    finally:
        for clock in filter(None, clocks):
            clock.stop()


class Marks:
    """Collects the marks of a contender until it is through with the rows."""

    def __init__(self, total: int, rows_of: Callable[[bytes], int | None], rejected: str) -> None:
        self.found: list[Mark] = []
        self._total, self._rows_of, self._rejected = total, rows_of, rejected

    def take(self, record: Record) -> bool:
        """Take a record; return whether it is the last that is needed."""
        if record.topic == self._rejected:
            reason = record.headers["__connect.errors.exception.message"].decode()
            raise QuietError(f"it rejects rows: {reason}")
        rows = self._rows_of(record.value)
        if rows is None:
            return False
        if not self.found or rows > self.found[-1][1]:
            self.found.append((record.written_ms, rows))
        return self.found[-1][1] >= ENOUGH * self._total


def reported(data: Data) -> Callable[[bytes], int | None]:
    """Return what a window report says of the rows so far, in the order of their topic."""
    source = "outcomes" if data.labels else "predictions"

    def rows(value: bytes) -> int | None:
        report = msgspec.json.decode(value, type=WindowReport)
        if report.source != source:
            return None
        if data.labels:  # offsets are those of the journal, which has other entries between
            return report.observed
        return (report.last_offset + 1) * data.rows_a_message

    return rows


def one_run(broker: Broker, run: str, contender: Contender, data: Data, number: int) -> Run:
    """Run a contender once.

    Raises
    ------
    QuietError
        If it gets nowhere.
    """
    total = int(data.rows * contender.share)
    prefix, topic = f"{run}.run{number}.", f"{run}.{contender.data}.predictions"
    if contender.kind == "tidegauge":
        mapped = {"predictions": topic}
        if data.labels:
            mapped["labels"] = f"{run}.{contender.data}.labels"
        kafka.create_ours(broker.address, prefix, mapped)
        if contender.spec is not None:
            spec = [(msgspec.json.encode(contender.spec), list[tuple[str, bytes]]())]
            key = contender.spec.model.encode()
            kafka.fill(broker.address, f"{prefix}monitors", spec, key=key)
        words = [f"--map-topic={source}={name}" for source, name in mapped.items()]
        command = python("tidegauge", "worker", "--brokers", broker.address, "--prefix", prefix,
                         *words, "--log-level", "WARNING")  # fmt: skip
        listen = [f"{prefix}windows", f"{prefix}rejected"]
        marks = Marks(total, reported(data), f"{prefix}rejected")
    else:
        listen = [f"{prefix}progress"]
        kafka.create(broker.address, {listen[0]: {"message.timestamp.type": "LogAppendTime"}})
        command = python("load_tests.peers", contender.kind, broker.address, topic, listen[0])
        marks = Marks(total, int, "")
    reader = kafka.reader(broker.address, *listen)
    try:
        with running(*command) as worker, sampled(worker.process.pid, broker.pid) as clocks:
            try:
                kafka.follow(reader, worker, marks.take, PATIENCE_S)
                first, last = measured(marks.found, total)
            except (QuietError, ValueError) as error:
                said = worker.last_words.strip().splitlines()
                raise QuietError(f"{error} {said[-1] if said else ''}".strip()) from error
    finally:
        reader.close()
    used = [_us(clock, first, last) for clock in clocks]
    return Run(rate(first, last), *used)


def _us(clock: CpuClock | None, first: Mark, last: Mark) -> float:
    if clock is None:
        return float("nan")
    used_s = clock.used_s(first[0] / 1000, last[0] / 1000)
    return 1e6 * used_s / (last[1] - first[1])


def measure(
    broker: Broker, run: str, contenders: list[Contender], data: dict[str, Data], until_s: float
) -> list[Result]:
    """Let all contenders run in turn, round after round; no round begins a run after ``until_s``.

    One that gets nowhere is not asked again, and its reason stands in its result.
    """
    found: dict[str, list[Run]] = defaultdict(list)
    skipped: dict[str, str] = {}
    number = 0
    for turn in range(max(c.rounds for c in contenders)):
        for contender in contenders:
            if turn >= contender.rounds or contender.name in skipped:
                continue
            if time.monotonic() > until_s:
                continue
            number += 1
            try:
                got = one_run(broker, run, contender, data[contender.data], number)
            except QuietError as error:
                skipped[contender.name] = str(error)
                print(f"  {contender.name}: left out: {error}", flush=True)
                continue
            found[contender.name].append(got)
            print(
                f"  round {turn + 1}  {contender.name:44}{got.rows_a_second:>12,.0f} rows/s"
                f"{got.cpu_us:>9.2f} µs of CPU a row",
                flush=True,
            )
    return [_result(c, found[c.name], skipped.get(c.name, "")) for c in contenders]


def _result(contender: Contender, runs: list[Run], skipped: str) -> Result:
    if not runs:
        return Result(contender.name, contender.data, skipped=skipped or "no time was left for it")
    rows, cpu, broker = (Spread.of(values) for values in zip(*runs, strict=True))
    return Result(contender.name, contender.data, rows, cpu, broker, skipped)
