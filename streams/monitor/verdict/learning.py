"""A reference learned window by window: from a model's first rows, or from a file of good ones."""

from collections.abc import Mapping

import msgspec
import numpy as np

from tidegauge.detectors.statistics.columns import ColumnStatistics
from tidegauge.schemas.monitors import FeatureSpec, WindowSpec
from tidegauge.schemas.references import CategoryProfile, NumericProfile, Reference, SeriesProfile
from tidegauge.streams.monitor.intake.block import Floats
from tidegauge.streams.monitor.intake.columns import MAX_WATCHED, Columns, is_readable
from tidegauge.streams.monitor.series.series import MISSING_SD, RANK_SD, UNSEEN_SD
from tidegauge.streams.monitor.windows.window import Window

SAMPLE = 2000  # rows of a window kept for its quantiles
QUANTILES = 65  # a window is summed up by
POINTS = 201  # of a profile
MAX_BYTES = 64 * 1_048_576  # of windows that are gathered; with more the reference is complete
MAX_CATEGORIES = 1000  # a feature with more is an identifier: its unseen values say nothing


class Sample(msgspec.Struct):
    """Every stride-th row of the open window: bounded, and the same wherever batches are cut."""

    stride: int = 1
    seen: int = 0
    rows: list[bytes] = []

    def add(self, block: Floats) -> None:
        """Take further rows of the window."""
        at, stop = -(-self.seen // self.stride) * self.stride, self.seen + len(block)
        while at < stop:
            self.rows.append(block[at - self.seen].tobytes())
            if len(self.rows) > SAMPLE:
                self.rows = self.rows[::2]
                self.stride *= 2
            at += self.stride
        self.seen = stop

    def quantiles(self, width: int) -> Floats:
        """Return the mid-quantiles of each column, shape (QUANTILES, width), NaN where empty."""
        table = np.frombuffer(b"".join(self.rows)).reshape(len(self.rows), width)
        found = np.full((QUANTILES, width), np.nan)
        for column in range(width):
            values = np.sort(table[~np.isnan(table[:, column]), column])
            if len(values):
                at = (np.arange(QUANTILES) + 0.5) / QUANTILES * len(values)
                found[:, column] = values[at.astype(np.int64)]
        return found


class Learned(msgspec.Struct):
    """What is kept of one closed window of the reference; arrays as bytes."""

    rows: int
    first_ts_ms: int
    last_ts_ms: int
    quantiles: bytes
    moments: bytes  # count, missing, mean, variance, low, high: six rows
    missing: list[float]  # share of rows, a value a categorical column


class LearnerState(msgspec.Struct):
    """Everything a learner remembers, for the snapshot."""

    sample: Sample
    windows: list[Learned]
    counts: list[dict[str, int]]


class Learner:
    """Gathers the reference of one monitor's inputs from its first windows.

    A window is summed up by 65 mid-quantiles of each number, so that memory stays bounded while
    the quantiles of the whole are not known yet.
    """

    def __init__(self, names: list[str], categorical: tuple[str, ...]) -> None:
        self.names, self.categorical = names, categorical
        self.sample = Sample(rows=[])
        self.windows: list[Learned] = []
        self.counts: list[dict[str, int]] = [{} for _ in categorical]
        self._size = 0

    @property
    def is_full(self) -> bool:
        """Whether what was gathered takes as much memory as it may."""
        return self._size >= MAX_BYTES

    def count(self, column: int, value: str, times: int) -> None:
        """Count a category seen so many times."""
        counts = self.counts[column]
        if value in counts or len(counts) <= MAX_CATEGORIES:
            counts[value] = counts.get(value, 0) + times

    def close(self, window: Window, statistics: ColumnStatistics, missing: list[float]) -> None:
        """Sum up a window that closed; ``missing`` is the share of each categorical column."""
        s = statistics
        moments = np.stack([s.count, s.missing, s.mean, s.sd**2, s.low, s.high])
        quantiles = self.sample.quantiles(len(self.names))
        self._size += quantiles.nbytes + moments.nbytes
        self.windows.append(
            Learned(
                window.rows,
                window.first_ts_ms,
                window.last_ts_ms,
                quantiles.tobytes(),
                moments.tobytes(),
                missing,
            )
        )
        self.sample = Sample(rows=[])

    def reference(self, model: str, version: str, windows: WindowSpec) -> Reference:
        """Return the profile of all windows gathered."""
        width = len(self.names)
        quantiles = _stack([w.quantiles for w in self.windows], QUANTILES, width)
        moments = _stack([w.moments for w in self.windows], 6, width)
        series: dict[str, SeriesProfile] = {}
        numeric: dict[str, NumericProfile] = {}
        for column, name in enumerate(self.names):
            profile = _profile(quantiles[:, :, column], moments[:, :, column])
            if profile is not None:
                numeric[name] = profile
                ranks = _interpolate(profile, quantiles[:, :, column]).mean(axis=1)
                series[f"rank({name})"] = _series(ranks, RANK_SD, profile.mean)
                # in its own reference no value is out of range, and below no category unseen
                series[f"range({name})"] = _series(np.zeros(len(self.windows)), UNSEEN_SD, 0.0)
            shares = moments[:, 1, column] / (moments[:, 0, column] + moments[:, 1, column])
            series[f"missing({name})"] = _missing(shares)
        categorical: dict[str, CategoryProfile] = {}
        for column, (name, counts) in enumerate(zip(self.categorical, self.counts, strict=True)):
            series[f"missing({name})"] = _missing(
                np.array([w.missing[column] for w in self.windows])
            )
            if counts and len(counts) <= MAX_CATEGORIES:
                total = sum(counts.values())
                shares_of = {category: count / total for category, count in counts.items()}
                categorical[name] = CategoryProfile(shares=shares_of)
                series[f"unseen({name})"] = _series(np.zeros(len(self.windows)), UNSEEN_SD, 0.0)
        for impossible in (
            "missing(score)",
            "range(score)",
        ):  # a score is a number, of its own kind
            series.pop(impossible, None)
        return Reference(
            model=model,
            version=version,
            rows=sum(window.rows for window in self.windows),
            windows=windows,
            first_ts_ms=min(window.first_ts_ms for window in self.windows),
            last_ts_ms=max(window.last_ts_ms for window in self.windows),
            numeric=numeric,
            categorical=categorical,
            series=series,
        )

    def state(self) -> LearnerState:
        """Return what a snapshot needs."""
        return LearnerState(self.sample, self.windows, self.counts)

    def load(self, state: LearnerState) -> None:
        """Take back the state of a learner of the same columns."""
        self.sample, self.windows, self.counts = state.sample, state.windows, state.counts
        self._size = sum(len(w.quantiles) + len(w.moments) for w in self.windows)


def mid_ranks(values: Floats, weights: Floats) -> tuple[Floats, Floats]:
    """Return at most POINTS distinct values and the mid-rank of each, minus one half.

    >>> points, ranks = mid_ranks(np.array([3.0, 1.0, 1.0, 2.0]), np.ones(4))
    >>> points.tolist(), ranks.tolist()
    ([1.0, 2.0, 3.0], [-0.25, 0.125, 0.375])
    """
    points, where = np.unique(values, return_inverse=True)
    mass = np.bincount(where, weights) / weights.sum()
    ranks = np.cumsum(mass) - mass / 2 - 0.5
    if len(points) > POINTS:
        at = np.searchsorted(ranks, np.linspace(ranks[0], ranks[-1], POINTS))
        keep = np.unique(np.clip(at, 0, len(points) - 1))
        points, ranks = points[keep], ranks[keep]
    return points, ranks


def _stack(parts: list[bytes], rows: int, width: int) -> Floats:
    return np.frombuffer(b"".join(parts)).reshape(len(parts), rows, width)


def _profile(quantiles: Floats, moments: Floats) -> NumericProfile | None:
    """Return the profile of one column; None where it never had a value."""
    count, _, mean, variance, low, high = moments[moments[:, 0] > 0].T
    if not len(count):
        return None
    total = count.sum()
    overall = float((count * mean).sum() / total)
    squares = (variance + (mean - overall) ** 2) * count
    weights = np.repeat(count / QUANTILES, QUANTILES)
    points, ranks = mid_ranks(quantiles[moments[:, 0] > 0].ravel(), weights)
    return NumericProfile(
        points=points.tolist(),
        ranks=ranks.tolist(),
        mean=overall,
        sd=float(np.sqrt(squares.sum() / total)),
        low=float(low.min()),
        high=float(high.max()),
    )


def _interpolate(profile: NumericProfile, values: Floats) -> Floats:
    """Return the mid-rank minus one half of each value, as the fold of live rows does."""
    points, ranks = np.array(profile.points), np.array(profile.ranks)
    return np.asarray(np.interp(values, points, ranks, left=-0.5, right=0.5))


def _missing(shares: Floats) -> SeriesProfile:
    mean = float(np.mean(shares))
    return _series(shares, max(float(np.sqrt(mean * (1 - mean))), MISSING_SD), mean)


def _series(values: Floats, sd: float, shown: float) -> SeriesProfile:
    nullable = [None if np.isnan(v) else float(v) for v in values]
    return SeriesProfile(values=nullable, sd=sd, shown=shown)


def watched_columns(reference: Reference, declared: Mapping[str, FeatureSpec]) -> Columns:
    """Return the columns that a reference describes, 200 at most and none that the spec ignores.

    A number without a value in the reference has no profile, and is not watched: taken for a
    category, it would have every row rejected that brings one.
    """
    ignored = {name for name, spec in declared.items() if spec.type == "ignore"} | {"score"}
    numbers = {n for n, spec in declared.items() if spec.type in ("numeric", "boolean")}
    texts = [n[len("missing(") : -1] for n in reference.series if n.startswith("missing(")]
    texts = [name for name in texts if name not in numbers | reference.numeric.keys()]
    numeric, categorical = (
        [name for name in names if name not in ignored and is_readable(name)]
        for names in (reference.numeric, texts)
    )
    rest = MAX_WATCHED - min(len(numeric), MAX_WATCHED)
    return Columns(tuple(numeric[:MAX_WATCHED]), tuple(categorical[:rest]))
