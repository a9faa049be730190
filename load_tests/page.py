"""The page of the docs: written anew from the results of a run.

python -m load_tests.page RESULTS.json
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from load_tests.figures import Spread
from load_tests.latency import Latency
from load_tests.memory import MORE, Memory
from load_tests.targets import verdicts
from load_tests.throughput import Result

DOCS: Final = Path(__file__).parent.parent / "docs"
PICTURES: Final = "benchmarks"

HOW: Final = """\
# Benchmarks

`make bench` measures all of this in ten minutes at most, writes this page, and fails where a target
is missed; `make bench-quick` measures less in two minutes and writes nothing here. The results in
full are in [results.json](benchmarks/results.json).

Machines are noisy: read the ratios, and run a near miss again before you believe it.

## How it is measured

- One Apache Kafka, and a fresh one for latency. One process a contender, one after the other on the
  same cores, several rounds in turn. Figures are medians, with the least and the greatest of the
  rounds in brackets.
- All single rows are the same bytes in the same topic, of one partition. They are there before a
  contender starts. Contenders that are slow read only the first part of them.
- Each says how far it is, a peer every 1,000 rows, a worker by its windows of 500. The broker's
  clock gives the time. The first tenth of the rows is left out for everybody: start and
  compilation count for nobody.
- The peers with River run ADWIN and a variance for each number, an event at a time. The bare ones
  decode each row and do nothing with it. Tidegauge does all that it does: windows, series, the
  join, snapshots, reports.
- CPU is the contender's processor time a row, all threads; the broker's own stands beside it.
- A thousand models come in random order. Of a thousand features Tidegauge watches the first 200; it
  reads them all. With labels, a row counts when its label has been paired.
- All series are those of the defaults, with limits on each feature and three checks between
  columns. Three slices have five countries and twice four quarters of a number. Both are beside the
  defaults on features that are related, so that there is something to see of how they follow.
"""


class Results(msgspec.Struct, frozen=True):
    """All that one run measured."""

    machine: dict[str, str]
    seconds: float
    throughput: list[Result]
    latency: list[Latency]  # by rate, the highest last
    memory: Memory | None
    stages: dict[str, float] | None
    figures: dict[str, float]  # what the targets are about
    left_out: list[str]  # and why


def spread(found: Spread | None, digits: int = 0) -> str:
    """Return a median with its spread.

    >>> spread(Spread(1200.0, 1000.0, 1300.0, 3))
    '1,200 (1,000–1,300)'
    """
    if found is None:
        return "–"
    median, low, high = (f"{x:,.{digits}f}" for x in (found.median, found.low, found.high))
    return f"{median} ({low}–{high})"


def table(results: list[Result]) -> Iterator[str]:
    """Yield the lines of the table of contenders."""
    medians = {r.name: r.rows_a_second.median for r in results if r.rows_a_second}
    slow, bare = medians.get("plain Faust + River"), medians.get("bare aiokafka + orjson")
    yield "| | rows/s | × Faust + River | × aiokafka | CPU µs a row | broker's CPU µs | rounds |"
    yield "|---|---|---|---|---|---|---|"
    for r in results:
        if r.rows_a_second is None:
            yield f"| {r.name} | left out: {r.skipped} | | | | | |"
            continue
        own = medians[r.name]
        ratios = [f"{own / base:.2f}" if base else "–" for base in (slow, bare)]
        yield (
            f"| {r.name} | {spread(r.rows_a_second)} | {ratios[0]} | {ratios[1]} "
            f"| {spread(r.cpu_us, 2)} | {spread(r.broker_us, 2)} | {r.rows_a_second.repeats} |"
        )


def latency(found: list[Latency]) -> Iterator[str]:
    """Yield what is said of the open loops."""
    yield (
        "From when a window's last row was *due* until a reader has its report, in ms. Due means "
        "by the schedule, not when it was sent, so a stall counts for every row that should have "
        "come in it (coordinated omission). Rows of 5 ms leave together, when the last of them is "
        "due. The broker is a fresh one: one of this size, 384 MB, stalls by itself once it has "
        "taken gigabytes. The highest rate is half of what single rows reach. The sender takes its "
        "part of the same cores; it is late where they do not suffice.\n"
    )
    yield "| rows/s | windows | p50 | p99 | p99.9 | worst | sender late, p99 | kept its schedule |"
    yield "|---|---|---|---|---|---|---|---|"
    for loop in found:
        times = loop.p50, loop.p99, loop.p99_9, loop.worst, loop.kept.late_p99_ms
        cells = [f"{loop.rate:,.0f}", f"{loop.windows:,}", *(f"{ms:.1f}" for ms in times)]
        yield f"| {' | '.join(cells)} | {'yes' if loop.kept_schedule else 'NO'} |"
    yield ""
    if alerts := found[-1].alerts_ms:
        yield (
            f"Something moved on the way: {len(alerts)} alerts came, the slowest "
            f"{max(alerts):.1f} ms after the last row of the window that decided was due.\n"
        )
    yield f"At {found[-1].rate:,.0f} rows/s:\n"
    yield f"![Histogram of latencies]({PICTURES}/latency.svg)"


def lines(results: Results) -> Iterator[str]:
    """Yield the page's lines."""
    yield HOW
    yield from (f"- {name}: {fact}" for name, fact in results.machine.items())
    yield f"- This run: {results.seconds:.0f} s"
    yield "\n## Targets\n"
    yield from (f"- {verdict}" for verdict in verdicts(results.figures))
    yield "\n## Rows per second\n"
    yield f"![Rows per second of all contenders]({PICTURES}/throughput.svg)\n"
    yield from table(results.throughput)
    if results.latency:
        yield "\n## Latency\n"
        yield from latency(results.latency)
    if results.memory:
        yield "\n## Memory\n"
        yield (
            "What fresh workers differ by that read the same but for what is asked about "
            f"(unique set size, 10 features); of predictions that wait, one has {MORE} times as "
            "many:\n"
        )
        yield f"- a model: {results.memory.model:,.0f} bytes"
        yield f"- one more series: {results.memory.series:,.0f} bytes"
        waiting = results.memory.waiting_prediction
        yield f"- a prediction that waits for its label: {waiting:,.0f} bytes"
    if results.stages:
        yield "\n## Where the time of a single row goes\n"
        yield (
            "Samples of a worker on single rows (py-spy, all threads that work). A sample counts "
            "for the stage that stands nearest to the top of its stack.\n"
        )
        yield f"![Share of each stage]({PICTURES}/stages.svg)"
    if results.left_out:
        yield "\n## Left out\n"
        yield from (f"- {line}" for line in results.left_out)


def write(results: Results, docs: Path = DOCS) -> None:
    """Write the page, its pictures and the results."""
    from load_tests import plots  # noqa: PLC0415 - needs the extra bench; numbers alone do not

    folder = docs / PICTURES
    folder.mkdir(exist_ok=True)
    raw = msgspec.json.format(msgspec.json.encode(results), indent=1)
    (folder / "results.json").write_bytes(raw + b"\n")
    plots.throughput(results.throughput, folder / "throughput.svg")
    if results.latency:
        plots.latency(results.latency[-1], folder / "latency.svg")
    if results.stages:
        plots.stages(results.stages, folder / "stages.svg")
    (docs / "benchmarks.md").write_text("\n".join(lines(results)) + "\n", encoding="utf-8")


if __name__ == "__main__":
    write(msgspec.json.decode(Path(sys.argv[1]).read_bytes(), type=Results))
