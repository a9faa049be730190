"""Rows per second of single rows and of frames, beside two peers, in one run on one broker.

Everything speaks through topics: rows are there before a contender starts, and each says every
thousand rows how far it is. The rate is taken from the broker's own clock between the first and
the last of these marks, so neither start-up nor compilation counts. Machines are noisy: read the
ratios. Where one is below its target the exit code is 1, so that no script takes it for success;
run a near miss again before you believe it.

    python -m load_tests.bench [--rows 200000] [--brokers HOST:PORT]
"""

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from typing import Final

import msgspec
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition

from load_tests.traffic import MODEL, frames, single_rows
from tidegauge.schemas.windows import WindowReport

PATIENCE_S: Final = 60.0  # without a mark
PEER_SHARE: Final = 10  # the plain Faust agent gets a tenth of the rows: it is the slow one
TARGETS: Final = {"rows / faust": 15.0, "rows / aiokafka": 0.5, "frames / faust": 100.0}
Mark = tuple[int, int]  # broker's clock in ms, rows so far


class QuietError(Exception):
    """A contender has ended, or says nothing any more."""


@contextlib.contextmanager
def running(*command: str) -> Iterator["subprocess.Popen[str]"]:
    """Run a command for the length of a ``with`` block; show what it said if it got nowhere."""
    with tempfile.TemporaryFile("w+") as said:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=said, text=True)
        try:
            yield process
        except QuietError:
            said.seek(0)
            raise SystemExit(f"{' '.join(command)} got nowhere:\n{said.read()[-2000:]}") from None
        finally:
            process.terminate()
            try:
                process.communicate(timeout=15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.communicate()


def tidegauge(*words: str) -> list[str]:
    """Return the command line of ours."""
    return [sys.executable, "-m", "tidegauge", *words]


def preload(brokers: str, topic: str, values: Iterable[bytes]) -> None:
    """Send everything to one partition, as one model's rows go, and wait until it is there."""
    producer = KafkaProducer(
        bootstrap_servers=brokers, acks="all", batch_size=500_000, linger_ms=20,
        max_request_size=2_000_000,
    )  # fmt: skip
    for value in values:
        producer.send(topic, value=value, key=MODEL.encode())
    producer.flush()
    producer.close()


def marks(
    process: "subprocess.Popen[str]", brokers: str, topic: str, total: int, reports: bool
) -> list[Mark]:
    """Return the marks of a contender until it is through; QuietError if it stops before."""
    consumer = KafkaConsumer(bootstrap_servers=brokers, auto_offset_reset="earliest")
    parts = [TopicPartition(topic, p) for p in sorted(consumer.partitions_for_topic(topic))]
    consumer.assign(parts)
    consumer.seek_to_beginning()
    found: list[Mark] = []
    end = time.monotonic() + PATIENCE_S
    while not found or found[-1][1] < total:
        for records in consumer.poll(timeout_ms=200).values():
            found += [(r.timestamp, _rows(r.value, reports)) for r in records]
            end = time.monotonic() + PATIENCE_S
        if time.monotonic() > end or process.poll() is not None:
            raise QuietError
    consumer.close()
    return found


def _rows(value: bytes, reports: bool) -> int:
    return msgspec.json.decode(value, type=WindowReport).observed if reports else int(value)


def rate(found: list[Mark]) -> float:
    """Return the rows per second between the first and the last mark."""
    (begun, first), (ended, last) = found[0], found[-1]
    return 1000 * (last - first) / max(ended - begun, 1)


def watched(brokers: str, prefix: str, total: int) -> float:
    """Return the rate of a Tidegauge worker on what is in its topics."""
    words = ["worker", "--brokers", brokers, "--prefix", prefix]
    with running(*tidegauge(*words)) as worker:
        return rate(marks(worker, brokers, f"{prefix}windows", total - total % 1000, reports=True))


def peer(kind: str, brokers: str, topic: str, total: int) -> float:
    """Return the rate of a peer on a topic."""
    progress = f"progress-{kind}-{topic}"
    command = [sys.executable, "-m", "load_tests.peers", kind, brokers, topic, progress]
    _create(brokers, progress)
    with running(*command) as process:
        return rate(marks(process, brokers, progress, total - total % 1000, reports=False))


def _create(brokers: str, topic: str) -> None:
    admin = KafkaAdminClient(bootstrap_servers=brokers)
    configs = {"message.timestamp.type": "LogAppendTime"}
    admin.create_topics({topic: {"num_partitions": 1, "replication_factor": 1, "configs": configs}})
    admin.close()


def measure(brokers: str, count: int, run: str) -> dict[str, float]:
    """Return the rates of all contenders, one after the other on the same machine."""
    small = max(count // PEER_SHARE, 10_000)
    for kind, total in (("rows", count), ("frames", 4 * count), ("plain", small)):
        print(f"  preloading {total:,} rows for {kind} …", flush=True)
        prefix = f"{run}.{kind}."
        subprocess.run(
            tidegauge("topics", "create", "--brokers", brokers, "--prefix", prefix,
                      "--partitions", "1"),
            check=True, stdout=subprocess.DEVNULL,
        )  # fmt: skip
        values = frames(total, seed=2) if kind == "frames" else single_rows(total, seed=1)
        preload(brokers, f"{prefix}predictions", values)
    print("  running each contender …", flush=True)
    return {
        "bare aiokafka + orjson": peer("aiokafka", brokers, f"{run}.rows.predictions", count),
        "plain Faust + River": peer("faust", brokers, f"{run}.plain.predictions", small),
        "Tidegauge, single rows": watched(brokers, f"{run}.rows.", count),
        "Tidegauge, frames": watched(brokers, f"{run}.frames.", 4 * count),
    }


def report(rates: dict[str, float]) -> dict[str, float]:
    """Print the rates, and how the ratios stand to what is expected; return the ratios."""
    slow, bare = rates["plain Faust + River"], rates["bare aiokafka + orjson"]
    print(f"\n{'':26}{'rows/s':>12}{'x Faust + River':>18}{'x aiokafka':>12}")
    for name, value in rates.items():
        print(f"{name:26}{value:>12,.0f}{value / slow:>18.1f}{value / bare:>12.2f}")
    ratios = {
        "rows / faust": rates["Tidegauge, single rows"] / slow,
        "rows / aiokafka": rates["Tidegauge, single rows"] / bare,
        "frames / faust": rates["Tidegauge, frames"] / slow,
    }
    print()
    for name, expected in TARGETS.items():
        word = "reached" if ratios[name] >= expected else "MISSED"
        print(f"{name:18}{ratios[name]:>8.2f}   expected ≥ {expected:g}: {word}")
    return ratios


def main() -> None:
    """Measure on a broker of our own, unless one is named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--brokers", default=os.environ.get("TIDEGAUGE_BROKERS", ""))
    parser.add_argument("--json", action="store_true", help="print the rates as JSON at the end")
    asked = parser.parse_args()
    with contextlib.ExitStack() as stack:
        brokers = asked.brokers
        if not brokers:
            process = stack.enter_context(running(*tidegauge("broker", "--port", "0")))
            brokers = _address(process)
        rates = measure(brokers, asked.rows, f"bench-{int(time.time())}")
    ratios = report(rates)
    if asked.json:
        print(json.dumps({"rates": rates, "ratios": ratios}))
    if missed := [name for name, expected in TARGETS.items() if ratios[name] < expected]:
        raise SystemExit(f"missed: {', '.join(missed)}")


def _address(process: "subprocess.Popen[str]") -> str:
    """Return the address that the broker prints once it is up."""
    for line in process.stdout or ():
        for word in line.split():
            if word.startswith("127.0.0.1:"):
                return word.rstrip(".,;")
    raise SystemExit("expected the broker to print its address; it ended instead")


if __name__ == "__main__":
    main()
