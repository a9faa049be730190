"""What a model, a series and a waiting prediction take of a worker's memory.

Each figure is the difference between two fresh workers that differ in what is asked about, so that
libraries, code and buffers count for neither. The two of a waiting prediction both read so much
that their buffers are as large as they become.
"""

import time
from typing import Final

import msgspec
import psutil

from load_tests import kafka
from load_tests.kafka import Record
from load_tests.processes import python, running
from load_tests.throughput import PATIENCE_S, Broker, Marks, preload, reported
from load_tests.traffic import Data
from tidegauge.schemas.windows import WindowReport

SETTLE_S: Final = 3.0  # after the last report: fetched bytes are gone, a snapshot is written
MODELS: Final = 25
MORE: Final = 4  # times as many rows that wait


class Memory(msgspec.Struct, frozen=True):
    """Bytes of memory that are the worker's own (USS), by what they are for."""

    model: float
    series: float
    waiting_prediction: float


class Taken(msgspec.Struct, frozen=True):
    """What one worker took, and how many series its reports have."""

    bytes: int
    series: int


def taken(broker: Broker, run: str, name: str, data: Data) -> Taken:
    """Return what a fresh worker has taken once it has read all of ``data``."""
    preload(broker, run, name, data)
    prefix, topic = f"{run}.{name}-run.", f"{run}.{name}.predictions"
    kafka.create_ours(broker.address, prefix, {"predictions": topic})
    reader = kafka.reader(broker.address, f"{prefix}windows", f"{prefix}rejected")
    marks = Marks(data.rows, reported(data), f"{prefix}rejected")
    series = 0

    def take(record: Record) -> bool:
        nonlocal series
        over = marks.take(record)
        series = len(msgspec.json.decode(record.value, type=WindowReport).series)
        return over

    command = python("tidegauge", "worker", "--brokers", broker.address, "--prefix", prefix,
                     f"--map-topic=predictions={topic}", "--log-level", "WARNING")  # fmt: skip
    try:
        with running(*command) as worker:
            kafka.follow(reader, worker, take, PATIENCE_S)
            time.sleep(SETTLE_S)
            return Taken(psutil.Process(worker.process.pid).memory_full_info().uss, series)
    finally:
        reader.close()


def measure(broker: Broker, run: str, rows: int) -> Memory:
    """Return what each thing takes, from three workers of ``rows`` rows and one of more.

    Raises
    ------
    QuietError
        If a worker gets nowhere.
    """
    data = {
        "few": Data(rows, "frames"),
        "many": Data(MORE * rows, "frames"),
        "models": Data(rows, "frames", models=MODELS),
        "series": Data(rows, "frames", models=MODELS, features=40),
    }
    return differences(
        {name: taken(broker, run, f"memory-{name}", of) for name, of in data.items()}, rows
    )


def differences(found: dict[str, Taken], rows: int) -> Memory:
    """Return the figures that follow from what the four workers took."""
    few, many, models, series = (found[n] for n in ("few", "many", "models", "series"))
    return Memory(
        model=(models.bytes - few.bytes) / (MODELS - 1),
        series=(series.bytes - models.bytes) / (MODELS * (series.series - models.series)),
        waiting_prediction=(many.bytes - few.bytes) / ((MORE - 1) * rows),
    )
