"""How otherwise than in the reference a window's values are spread over bins: by pairs of rows."""

from math import floor, inf, isnan, nan
from typing import Any, Final

import numpy as np
from numba import types

from tidegauge.detectors._jit import BLOCK, STATE, TABLE, VECTOR, kernel
from tidegauge.streams.monitor.intake.block import Floats, Ints
from tidegauge.streams.monitor.series.tally import COUNTS

TENTHS: Final = 10  # bins of a number: tenths of its mid-ranks in the reference
BINS: Final = 21  # of a category: 20 and the rest
VALUE, ROWS, LOW, HIGH = range(4)  # of a reading, as in ``windows.readings``


@kernel(COUNTS, BLOCK, allocates=False)
def count_tenths(counts: Any, ranks: Any) -> None:
    """Count the mid-ranks of each column, -0.5 to 0.5, by tenths; NaN is none.

    counts[column, bin] is added to.
    """
    for row in range(ranks.shape[0]):
        for column in range(ranks.shape[1]):
            rank = ranks[row, column]
            if not isnan(rank):
                counts[column, min(int((rank + 0.5) * TENTHS), TENTHS - 1)] += 1


@kernel(
    COUNTS,
    types.Array(types.int32, 2, "A", readonly=True),
    types.int64,
    types.Array(types.int64, 1, "C", readonly=True),
    allocates=False,
)
def count_binned(counts: Any, codes: Any, column: Any, bins: Any) -> None:
    """Count the codes of a column by the bin of each code; one below 0 is none."""
    for row in range(codes.shape[0]):
        code = codes[row, column]
        if code >= 0:
            counts[column, bins[code]] += 1


@kernel(
    STATE,
    VECTOR,
    VECTOR,
    types.Array(types.boolean, 1, "C", readonly=True),
    types.Array(types.int64, 1, "C", readonly=True),
    allocates=False,
)
def tenths_of_windows(counts: Any, ranks: Any, weights: Any, whole: Any, starts: Any) -> None:
    """Add to counts[window, bin] the ranks of windows, ascending, that each stand for several rows.

    A point is the upper median of a run of values, or, where ``whole``, one value that many rows
    share. The others of a run are spread evenly over the ranks between it and its neighbours: in
    the median's bin they would make a window look less like the reference than its rows are.
    """
    for window in range(counts.shape[0]):
        at, below = starts[window], 0.0  # of the values between the last point and this one
        while at < starts[window + 1] and not isnan(ranks[at]):
            half = 0.0 if whole[at] else floor(weights[at] / 2)
            own, between = weights[at] - half, half + below
            below = 0.0 if whole[at] else own - 1.0
            high = (ranks[at] + 0.5) * TENTHS
            low = (ranks[max(at - 1, starts[window])] + 0.5) * TENTHS
            for bin in range(min(int(low), TENTHS - 1), min(int(high), TENTHS - 1) + 1):
                reach = min(high, bin + 1.0) - max(low, float(bin))
                counts[window, bin] += between * (reach / (high - low) if high > low else 1.0)
            last = min(int(high), TENTHS - 1)
            counts[window, last] += own - below
            at += 1
        if below > 0:
            counts[window, last] += below


@kernel(STATE, BLOCK, TABLE, allocates=False)
def diverge(found: Any, counts: Any, shares: Any) -> None:
    """Set found[:, series]: how far counts are from shares, on how many pairs, and less one row.

    Parameters
    ----------
    found
        Set to the divergence, the pairs of rows, and the least and the greatest divergence without
        one row, which are fields of a reading; shape (4, series). NaN with less than two rows.
    counts
        How many rows are in each bin, shape (series, bins).
    shares
        Of the reference's rows, shape (series, bins); a bin of no share is left out.

    Notes
    -----
    Of two rows let h be 1/p - 1 if both are in one bin, whose share is p, and -1 if not. The figure
    is the mean of h over all pairs: it estimates the chi-square divergence, the sum of (q - p)²/p
    for shares q, about the population stability index where that is small. It has no bias: with
    shares p its mean is 0 however few the rows are, while an index of counts is about bins/rows,
    and rises when traffic falls. Pairs are uncorrelated, so its variance is that of h, bins - 1,
    over the number of pairs: it is a mean like any other, with pairs in place of rows.

    References
    ----------
    Hoeffding (1948), A class of statistics with asymptotically normal distribution, Annals of
    Mathematical Statistics 19.
    """
    for series in range(counts.shape[0]):
        rows, pairs, least, most, known = 0.0, 0.0, inf, 0.0, False
        for at in range(counts.shape[1]):
            count, share = counts[series, at], shares[series, at]
            known |= share > 0
            if share > 0 and count > 0:
                part = (count - 1.0) / share
                rows, pairs = rows + count, pairs + count * part
                least, most = min(least, part), max(most, part)
        known &= rows > 1
        left = (rows - 1.0) * max(rows - 2.0, 0.0)
        found[VALUE, series] = pairs / (rows * (rows - 1.0)) - 1.0 if known else nan
        found[ROWS, series] = rows * (rows - 1.0) / 2.0 if known else 0.0
        found[LOW, series] = (pairs - 2.0 * most) / left - 1.0 if left > 0 else -inf
        found[HIGH, series] = (pairs - 2.0 * least) / left - 1.0 if left > 0 else inf


def owners(shares: Floats) -> Ints:
    """Return which of all bins each counts to, a number of bins after the other.

    One of no share is one with the last before it that has some, or else with the first.

    >>> shares = np.array([[0.0, 0.5, 0.0, 0.5]])
    >>> merged(np.array([[1, 2, 3, 4]]), owners(shares)).tolist()
    [[0.0, 6.0, 0.0, 4.0]]
    """
    has, width = shares > 0, shares.shape[1]
    found = np.maximum.accumulate(np.where(has, np.arange(width), -1), axis=1)
    found = np.where(found < 0, has.argmax(axis=1)[:, None], found)
    flat: Ints = (found + width * np.arange(len(shares))[:, None]).ravel()
    return flat


def merged(counts: Floats | Ints, own: Ints) -> Floats:
    """Return counts of bins, shape (series, bins), each where it counts to."""
    found = np.bincount(own, counts.ravel().astype(np.float64), counts.size)
    return found.reshape(counts.shape).astype(np.float64)  # of nothing it makes whole numbers
