"""The pictures of the page, as SVG; the same bytes for the same results."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from load_tests.latency import EDGES_MS, Latency
from load_tests.throughput import Result

OURS, THEIRS = "#1f6f8b", "#b0b0b0"

mpl.use("svg")
mpl.rcParams.update({
    "svg.hashsalt": "tidegauge", "svg.fonttype": "none",
    "font.size": 9, "font.family": "sans-serif",
    "axes.spines.top": False, "axes.spines.right": False,
})  # fmt: skip


def _new(height: float) -> tuple[Figure, Axes]:
    figure, axes = plt.subplots(figsize=(7.5, height), layout="constrained")
    return figure, axes


def _save(figure: Figure, path: Path) -> None:
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)


def throughput(results: Sequence[Result], path: Path) -> None:
    """Draw rows per second, with the least and the greatest of the repeats."""
    shown = sorted(
        ((r.name, r.rows_a_second) for r in results if r.rows_a_second is not None),
        key=lambda pair: pair[1].median,
    )
    figure, axes = _new(0.6 + 0.27 * len(shown))
    names, spreads = [name for name, _ in shown], [spread for _, spread in shown]
    medians = [s.median for s in spreads]
    ends = [
        [s.median - s.low for s in spreads],
        [s.high - s.median for s in spreads],
    ]
    colours = [OURS if name.startswith("Tidegauge") else THEIRS for name in names]
    axes.barh(names, medians, xerr=ends, color=colours, ecolor="#333333", capsize=2)
    for name, spread in shown:
        axes.annotate(f"{spread.median:,.0f}", (spread.high, name), (4, 0),
                      textcoords="offset points", va="center")  # fmt: skip
    axes.set_xscale("log")
    axes.set_xlim(right=3 * max(medians))
    axes.set_xlabel("rows per second, logarithmic")
    _save(figure, path)


def latency(found: Latency, path: Path) -> None:
    """Draw how many windows were reported after how long, and three percentiles."""
    last = max(at for at, count in enumerate(found.counts) if count) + 1
    figure, axes = _new(2.4)
    width = EDGES_MS[1]
    axes.bar(EDGES_MS[:last], found.counts[:last], width=width, align="edge", color=OURS)
    for down, (name, ms) in enumerate(
        (("p50", found.p50), ("p99", found.p99), ("p99.9", found.p99_9))
    ):
        at = min(ms, EDGES_MS[-1] + width)
        axes.axvline(at, color="#333333", linewidth=0.8)
        axes.annotate(f"{name} {ms:.0f} ms", (at, axes.get_ylim()[1]), (-2, -1 - 12 * down),
                      textcoords="offset points", ha="right", va="top")  # fmt: skip
    axes.set_xlabel("ms from when a window's last row was due to its report at a reader")
    axes.set_ylabel("windows")
    _save(figure, path)


def stages(shares: dict[str, float], path: Path) -> None:
    """Draw the share of a worker's time that each stage takes."""
    figure, axes = _new(0.6 + 0.27 * len(shares))
    names = list(shares)[::-1]
    bars = axes.barh(names, [100 * shares[name] for name in names], color=OURS)
    axes.bar_label(bars, fmt="%.0f%%", padding=3)
    axes.set_xlabel("per cent of the samples")
    _save(figure, path)
