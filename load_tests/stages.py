"""Where the time of a single row goes: samples of a working worker, taken by py-spy.

A sample counts for the stage whose code stands nearest to the top of its stack; compiled kernels
count for who called them.
"""

import signal
import subprocess
import sysconfig
import tempfile
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from load_tests import kafka
from load_tests.figures import WARM_UP
from load_tests.kafka import Record
from load_tests.processes import QuietError, python, running
from load_tests.throughput import PATIENCE_S, Broker, Marks, reported
from load_tests.traffic import Data

RATE: Final = 500  # samples a second
STAGES: Final = {
    "decode": ("streams/monitor/intake/",),
    "join": ("streams/monitor/join/",),
    "fold": ("streams/monitor/windows/", "detectors/"),
    "close a window": ("streams/monitor/verdict/", "streams/monitor/series/"),
    "journal and snapshots": (
        "streams/monitor/journal/", "streams/monitor/snapshot", "snapshots.py", "state_log.py",
    ),
    "outputs": ("runtime/outbox.py", "aiokafka/producer"),
    "fetch and framing": ("runtime/batches.py", "runtime/consumer.py", "aiokafka/"),
}  # fmt: skip
REST: Final = "the rest"


def stage(stack: str) -> str:
    """Return the stage of one stack as py-spy writes it, outermost frame first.

    >>> stage("run (faust/app.py:1);read (streams/monitor/intake/decoding.py:9);loads (json.py:2)")
    'decode'
    """
    for frame in reversed(stack.split(";")):
        for name, places in STAGES.items():
            if any(place in frame for place in places):
                return name
    return REST


def shares(lines: Iterable[str]) -> dict[str, float]:
    """Return the share of each stage in lines of a stack and a count.

    Raises
    ------
    QuietError
        If there is no sample.
    """
    counts: Counter[str] = Counter()
    for line in lines:
        stack, _, count = line.rpartition(" ")
        counts[stage(stack)] += int(count)
    if not counts:
        raise QuietError("py-spy took no sample")
    return {name: counts[name] / counts.total() for name in (*STAGES, REST)}


def measure(broker: Broker, run: str, name: str, data: Data) -> dict[str, float]:
    """Return the share of a worker's time that each stage takes, on data that is there already.

    Raises
    ------
    QuietError
        If the worker or py-spy gets nowhere.
    """
    spy = Path(sysconfig.get_path("scripts")) / "py-spy"
    if not spy.exists():
        raise QuietError("py-spy is not installed")
    prefix, topic = f"{run}.stages.", f"{run}.{name}.predictions"
    kafka.create_ours(broker.address, prefix, {"predictions": topic})
    reader = kafka.reader(broker.address, f"{prefix}windows", f"{prefix}rejected")
    marks = Marks(data.rows, reported(data), f"{prefix}rejected")

    def is_warm(record: Record) -> bool:
        marks.take(record)
        return bool(marks.found) and marks.found[-1][1] >= WARM_UP * data.rows

    ours = python("tidegauge", "worker", "--brokers", broker.address, "--prefix", prefix,
                  f"--map-topic=predictions={topic}", "--log-level", "WARNING")  # fmt: skip
    try:
        with tempfile.NamedTemporaryFile("r") as samples, running(*ours) as worker:
            kafka.follow(reader, worker, is_warm, PATIENCE_S)
            theirs = (str(spy), "record", "--pid", str(worker.process.pid), "--format", "raw",
                      "--output", samples.name, "--rate", str(RATE), "--duration", "60",
                      "--nonblocking")  # fmt: skip
            with running(*theirs) as sampler:
                kafka.follow(reader, worker, marks.take, PATIENCE_S)
                sampler.process.send_signal(signal.SIGINT)
                try:
                    sampler.process.wait(PATIENCE_S)
                except subprocess.TimeoutExpired:
                    raise QuietError(f"py-spy does not end: {sampler.last_words}") from None
                if not Path(samples.name).stat().st_size:
                    raise QuietError(f"py-spy wrote nothing: {sampler.last_words}")
            return shares(samples)
    finally:
        reader.close()
