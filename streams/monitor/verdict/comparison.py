"""Champion and challenger: two versions of a model, compared by their loss on the same requests."""

import math
from collections.abc import Sequence
from typing import Final

import msgspec
import numpy as np

from tidegauge.detectors.statistics.moments import Moments
from tidegauge.schemas.monitors import CompareSpec, MonitorSpec
from tidegauge.schemas.outcomes import Outcomes
from tidegauge.schemas.windows import Comparison, Difference
from tidegauge.streams.monitor.intake.block import Floats
from tidegauge.streams.monitor.windows.intervals import Interval, of_mean
from tidegauge.streams.monitor.windows.outcome_columns import LIKE, LOSS_COLUMNS, outcome_table
from tidegauge.streams.monitor.windows.outcome_rows import class_pairs, codes_of, outcome_rows

MOST: Final = 20_000  # pairs of a version that wait for the other's; the oldest are given up
LEAST: Final = 100  # pairs of which an interval that may be looked at again and again is told
ALPHA: Final = 0.05
# Tightest at some thousand pairs, from n = (log(1/alpha^2) + log log(1/alpha^2) + 1) / RHO^2.
RHO2: Final = 0.0088

Losses = tuple[int, float, float]  # offset of the label, log loss, absolute error


class ComparisonState(msgspec.Struct):
    """What is remembered of two versions, for the snapshot; arrays as bytes."""

    spec: CompareSpec
    waiting: list[list[tuple[float, Losses]]]
    met: list[tuple[int, float, list[float]]]
    window: bytes
    deployed: bytes
    alone: tuple[int, int]


class VersionComparison:
    """Pairs the losses of two versions on the same request and label.

    What both have is counted when it is told what became of the labels, in the order of these: so
    it does not matter which version's pairs stand first in the journal.

    Parameters
    ----------
    spec
        Which versions.
    """

    def __init__(self, spec: CompareSpec) -> None:
        self.spec = spec
        self._waiting: dict[str, dict[float, Losses]] = {spec.champion: {}, spec.challenger: {}}
        self._met: list[tuple[int, float, list[float]]] = []  # not counted yet
        self._alone = 0, 0  # how many waited when it was counted
        width = 3 * len(LOSS_COLUMNS)  # of each loss: the champion's, the challenger's, by how much
        self._window, self._deployed = Moments(width), Moments(width)

    def take(self, pairs: Outcomes, spec: MonitorSpec) -> None:
        """Take pairs of a version; those of others than the two say nothing."""
        own = self._waiting.get(pairs.version)
        if own is None:
            return
        is_champion = pairs.version == self.spec.champion
        other = self._waiting[self.spec.challenger if is_champion else self.spec.champion]
        losses = _losses(pairs, spec).tolist()
        for code, offset, (log_loss, error) in zip(
            codes_of(pairs.ids).tolist(), pairs.label_offsets, losses, strict=True
        ):
            held = other.pop(code, None)
            if held is None:
                own[code] = offset, log_loss, error
                continue
            both = [*zip(held[1:], (log_loss, error), strict=True)]
            if is_champion:
                both = [(mine, theirs) for theirs, mine in both]
            row = [value for old, new in both for value in (old, new, new - old)]
            self._met.append((offset, code, row))

    def settle(self) -> None:
        """Count what both versions have, and give up what has waited for too long."""
        for own in self._waiting.values():
            while len(own) > MOST:
                del own[next(iter(own))]
        champion, challenger = self._waiting.values()
        self._alone = len(champion), len(challenger)
        if self._met:
            table = np.array([row for _, _, row in sorted(self._met)])
            self._window.update(table)
            self._met = []

    def tell(self, task: str) -> Comparison:
        """Return how they compare since this was asked, and since both were deployed."""
        self._deployed.merge(self._window)
        at = 3 * [*LOSS_COLUMNS].index(LIKE.get(task, task))
        window, deployed = (
            _difference(moments, at, always)
            for moments, always in ((self._window, False), (self._deployed, True))
        )
        self._window = Moments(3 * len(LOSS_COLUMNS))
        return Comparison(
            champion=self.spec.champion,
            challenger=self.spec.challenger,
            alone=self._alone,
            window=window,
            since_deployment=deployed,
        )

    def state(self) -> ComparisonState:
        """Return what a snapshot needs."""
        waiting = [[*own.items()] for own in self._waiting.values()]
        moments = self._window.snapshot(), self._deployed.snapshot()
        return ComparisonState(self.spec, waiting, sorted(self._met), *moments, self._alone)

    @classmethod
    def restore(cls, state: ComparisonState) -> "VersionComparison":
        """Return what a snapshot describes."""
        found = cls(state.spec)
        for own, held in zip(found._waiting.values(), state.waiting, strict=True):
            own.update(held)
        found._met, found._alone = state.met, state.alone
        found._window.restore(state.window)
        found._deployed.restore(state.deployed)
        return found


def _losses(pairs: Outcomes, spec: MonitorSpec) -> Floats:
    """Return the log loss and the absolute error of each pair, NaN where there is none."""
    block = outcome_rows(pairs, spec)
    table = outcome_table(block.number("label"), block.number("score"), class_pairs(block))
    return table[:, : len(LOSS_COLUMNS)]


def _difference(moments: Moments, at: int, always: bool) -> Difference:
    """Return what three columns of moments say; ``always``: whenever one looks."""
    means: Sequence[float | None] = [
        None if math.isnan(mean) else mean for mean in moments.mean[at : at + 3].tolist()
    ]
    rows, mean, sd = float(moments.count[at + 2]), means[2], float(moments.sd[at + 2])
    limits: Interval | None = None
    if mean is not None:
        limits = sequential(mean, sd, rows) if always else of_mean(mean, sd, rows)
    return Difference(
        pairs=int(rows), champion=means[0], challenger=means[1], difference=mean, interval=limits
    )


def sequential(mean: float, sd: float, rows: float) -> Interval | None:
    """Return limits of a mean that all hold together, however often one looks, in 95 of 100 cases.

    None of fewer than 100 rows, as they rest on the central limit.

    References
    ----------
    Waudby-Smith, Arbour, Sinha, Kennedy & Ramdas (2024), Time-uniform central limit theory and
    asymptotic confidence sequences, Annals of Statistics 52.

    >>> [round(limit, 2) for limit in sequential(10.0, 2.0, 1000.0)]
    [9.81, 10.19]
    """
    if rows < LEAST:
        return None
    own = rows * RHO2 + 1
    half = sd * math.sqrt(2 * own / (rows**2 * RHO2) * math.log(math.sqrt(own) / ALPHA))
    return mean - half, mean + half
