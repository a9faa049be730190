"""The benchmark: throughput beside peers, latency, memory and a profile, in one run.

    python -m load_tests [--quick] [--brokers HOST:PORT] [--page]

Exits with 1 where a target is missed, so that no script takes that for success; a quick run only
where it has measured what is missed.
"""

import argparse
import contextlib
import importlib.metadata
import os
import platform
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple, TypeVar

import msgspec

from load_tests import latency, memory, page, stages, throughput
from load_tests.page import Results
from load_tests.processes import Contender, QuietError, python, running
from load_tests.scenarios import CONTENDERS, DATA, RATIOS, ROWS
from load_tests.targets import Verdict, verdicts
from load_tests.throughput import Broker, Result
from load_tests.traffic import Data

T = TypeVar("T")
VERSIONS: Final = (
    "aiokafka", "confluent-kafka", "faust-streaming", "msgspec", "numba", "orjson", "quixstreams",
    "river",
)  # fmt: skip


HALF: Final = 1 / 2


class Size(NamedTuple):
    """How much is measured, and when the last run may begin."""

    rows: float  # times those of the scenarios
    rounds: int  # at most
    throughput_s: float
    latency_s: float
    latency_at: tuple[float, ...]  # parts of the maximum rate
    memory_rows: int


FULL: Final = Size(1.0, 5, 420.0, 10.0, (1 / 8, 1 / 4, HALF), 600_000)
QUICK: Final = Size(0.2, 1, 75.0, 4.0, (HALF,), 0)
LEAST_ROWS: Final = 10_000  # of any data: windows have 500, and the rate needs several


def scaled(size: Size) -> tuple[list[throughput.Contender], dict[str, Data]]:
    """Return who runs and on what."""
    contenders = [c._replace(rounds=min(c.rounds, size.rounds)) for c in CONTENDERS]
    data = {
        name: msgspec.structs.replace(d, rows=max(int(d.rows * size.rows), LEAST_ROWS))
        for name, d in DATA.items()
    }
    return contenders, data


def ratios(results: list[Result]) -> dict[str, float]:
    """Return the ratios of medians that targets are about, where both were measured."""
    medians = {r.name: r.rows_a_second.median for r in results if r.rows_a_second}
    return {
        figure: medians[ours] / medians[theirs]
        for figure, (ours, theirs) in RATIOS.items()
        if ours in medians and theirs in medians
    }


def attempt(what: str, left_out: list[str], measure: Callable[[], T]) -> T | None:
    """Measure; where that gets nowhere, say so and go on."""
    print(f"{what} …", flush=True)
    try:
        return measure()
    except QuietError as error:
        left_out.append(f"{what}: {error}")
        print(f"  left out: {error}", flush=True)
        return None


@contextlib.contextmanager
def started(named: str) -> Iterator[Broker]:
    """Give the broker that is named, or one of our own."""
    if named:
        yield Broker(named, None)
        return
    with running(*python("tidegauge", "broker", "--port", "0")) as own:
        yield Broker(_address(own), own.process.pid)


def measure(named: str, size: Size) -> Results:
    """Return all that is measured in one run.

    Latency has a broker of its own: one of the size of ours stalls by itself once it has taken
    gigabytes.
    """
    begun = time.monotonic()
    run = f"bench-{int(time.time())}"
    contenders, data = scaled(size)
    left_out: list[str] = []
    with started(named) as broker:
        print("filling topics …", flush=True)
        for name, of in data.items():
            print(f"  {name}: {of.rows:,} rows", flush=True)
            throughput.preload(broker, run, name, of)
        print("rows per second, round after round …", flush=True)
        results = throughput.measure(broker, run, contenders, data, begun + size.throughput_s)
        profiled = partial(stages.measure, broker, run, "rows", data["rows"])
        shares = attempt("where the time goes", left_out, profiled)
        taken = None
        if size.memory_rows:
            taking = partial(memory.measure, broker, run, size.memory_rows)
            taken = attempt("memory", left_out, taking)
        else:
            left_out.append("memory: only in the full run")
    figures = ratios(results)
    rate = next((r.rows_a_second.median for r in results if r.name == ROWS and r.rows_a_second), 0)
    with started(named) as broker:
        loops = latencies(broker, run, rate, size, left_out)
    if loops and loops[-1].rate == rate * HALF:  # a sender that was late only makes it worse
        figures["latency at half of the maximum rate, p99"] = loops[-1].p99
    if taken:
        figures["memory of a waiting prediction"] = taken.waiting_prediction
    return Results(
        machine(), time.monotonic() - begun, results, loops, taken, shares, figures, left_out
    )


def latencies(
    broker: Broker, run: str, rate: float, size: Size, left_out: list[str]
) -> list[latency.Latency]:
    """Return the latencies at parts of a rate."""
    loops = []
    for at in (rate * share for share in size.latency_at if rate):
        looped = partial(latency.measure, broker, run, at, size.latency_s)
        if loop := attempt(f"latency at {at:,.0f} rows/s", left_out, looped):
            loops.append(loop)
    return loops


def machine() -> dict[str, str]:
    """Return what is known of the machine and the versions, without its name."""
    cpu = next(
        (
            line.partition(":")[2].strip()
            for line in _lines("/proc/cpuinfo")
            if "model name" in line
        ),
        platform.machine(),
    )
    versions = []
    for name in VERSIONS:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions.append(f"{name} {importlib.metadata.version(name)}")
    return {
        "Cores": f"{os.cpu_count()} of {cpu}, shared by the broker, contender and benchmark",
        "System": f"{platform.system()} {platform.release().partition('-')[0]}, Python "
        f"{platform.python_version()}",
        "Libraries": ", ".join(versions),
    }


def _lines(path: str) -> list[str]:
    return Path(path).read_text().splitlines() if Path(path).exists() else []


def _address(broker: Contender) -> str:
    """Return the address that the broker prints once it is up."""
    for line in broker.process.stdout or ():
        for word in line.split():
            if word.startswith("127.0.0.1:"):
                return word.rstrip(".,;")
    raise SystemExit(f"expected the broker to print its address; it ended:\n{broker.last_words}")


def main() -> None:
    """Measure on a broker of our own, unless one is named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--brokers", default=os.environ.get("TIDEGAUGE_BROKERS", ""))
    parser.add_argument("--quick", action="store_true", help="less of everything, in two minutes")
    parser.add_argument("--page", action="store_true", help="write docs/benchmarks.md anew")
    asked = parser.parse_args()
    results = measure(asked.brokers, QUICK if asked.quick else FULL)
    found = verdicts(results.figures)
    if asked.quick:  # it leaves some out, and says so
        found = [v for v in found if v.value is not None]
    report(results, found)
    if asked.page:
        page.write(results)
    if missed := [v for v in found if not v.reached]:
        raise SystemExit(f"missed: {', '.join(v.target.figure for v in missed)}")


def report(results: Results, found: list[Verdict]) -> None:
    """Print what was measured, and how it stands to the targets."""
    print("\n" + "\n".join(page.table(results.throughput)) + "\n")
    for verdict in found:
        print(verdict)
    for line in results.left_out:
        print(f"left out: {line}")
    print(f"{results.seconds:.0f} s")


if __name__ == "__main__":
    main()
