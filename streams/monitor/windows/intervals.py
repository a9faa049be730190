"""How sure a metric is: an interval that has the true value in 95 of 100 cases.

Rows are taken as independent of each other; where they are not, the truth is less certain. All
follows from counts by a formula, so that it is the same wherever it is computed again.

References
----------
Wilson (1927), Probable inference, the law of succession, and statistical inference, JASA 22.
Zou & Donner (2008), Construction of confidence limits about effect measures, Statistics in Medicine
27: a sum's limits lie as far off as those of its parts do together.
Hanley & McNeil (1982), The meaning and use of the area under a ROC curve, Radiology 143.
Boyd, Eng & Page (2013), Area under the precision-recall curve: point estimates and confidence
intervals, ECML PKDD: as many trials as there are positives.
"""

import math

import numpy as np

from tidegauge.streams.monitor.intake.block import Floats

Z = 1.959963984540054  # of 95%
Interval = tuple[float, float]


def wilson(share: Floats, rows: Floats) -> tuple[Floats, Floats]:
    """Return the limits of shares, each of so many rows; 0 and 1 where there is none.

    >>> low, high = wilson(np.array([1.0, 0.5, 0.0]), np.array([40.0, 400.0, 0.0]))
    >>> low.round(3).tolist(), high.round(3).tolist()
    ([0.912, 0.451, 0.0], [1.0, 0.549, 1.0])
    """
    known = rows > 0
    rows, share = np.where(known, rows, 1.0), np.where(known, share, 0.5)
    middle = (share + Z * Z / (2 * rows)) / (1 + Z * Z / rows)
    half = Z / (1 + Z * Z / rows) * np.sqrt(share * (1 - share) / rows + (Z / (2 * rows)) ** 2)
    low, high = np.maximum(middle - half, 0.0), np.minimum(middle + half, 1.0)
    return np.where(known, low, 0.0), np.where(known, high, 1.0)


def of_share(share: float, rows: float) -> Interval:
    """Return the limits of one share; ``rows`` may be the size of a sample that is worth as much.

    >>> [round(limit, 3) for limit in of_share(0.9, 40)]
    [0.769, 0.96]
    """
    low, high = wilson(np.array([share]), np.array([rows]))
    return float(low[0]), float(high[0])


def of_sum(values: Floats, limits: tuple[Floats, Floats], weights: Floats) -> Interval:
    """Return the limits of a weighted sum of values that do not depend on each other.

    >>> limits = wilson(np.array([0.9, 0.5]), np.array([100.0, 100.0]))
    >>> [round(limit, 3) for limit in of_sum(np.array([0.9, 0.5]), limits, np.array([0.5, 0.5]))]
    [0.639, 0.753]
    """
    off = weights * (np.array(limits) - values)
    middle = float(weights @ values)
    below, above = np.minimum(*off), np.maximum(*off)
    return middle - float(np.sqrt(below @ below)), middle + float(np.sqrt(above @ above))


def of_mean(mean: float, sd: float, rows: float) -> Interval | None:
    """Return the limits of a mean; None of fewer than two rows.

    >>> of_mean(10.0, 2.0, 1.0) is None, [round(limit, 2) for limit in of_mean(10.0, 2.0, 101.0)]
    (True, [9.61, 10.39])
    """
    if rows < 2:  # noqa: PLR2004 (one row has no spread)
        return None
    half = Z * sd / math.sqrt(rows - 1)
    return mean - half, mean + half


def of_change(
    value: float, cells: Floats, change: Floats, bounds: Interval = (0.0, 1.0)
) -> Interval:
    """Return the limits of a figure of a table by the delta method, as those of a share.

    ``change`` is by how much it changes with one more row of each cell. Where no row can change it,
    all are alike, and so many are still no certainty.

    >>> cells = np.array([36.0, 4.0])  # hits and misses
    >>> change = (np.array([1.0, 0.0]) - 0.9) / 40
    >>> [round(limit, 3) for limit in of_change(0.9, cells, change)]
    [0.769, 0.96]
    """
    lowest, width = bounds[0], bounds[1] - bounds[0]
    rows, variance = float(cells.sum()), float((cells * change**2).sum()) / width**2
    share = min(max((value - lowest) / width, 0.0), 1.0)
    worth = min(rows, share * (1 - share) / variance) if variance > 0 else rows
    low, high = of_share(share, worth)
    return lowest + width * low, lowest + width * high


def of_roc_auc(area: float, positives: float, negatives: float) -> Interval:
    """Return the limits of an area under the ROC curve.

    >>> [round(limit, 3) for limit in of_roc_auc(1.0, 20, 200)]
    [0.912, 1.0]
    """
    by_positive = (positives - 1) * (1 - area) / (2 - area)
    by_negative = (negatives - 1) * area / (1 + area)
    return of_share(area, positives * negatives / (1 + by_positive + by_negative))


def of_r2(r2: float, spread: float, rows: float) -> Interval | None:
    """Return the limits of R2, from the squared errors' standard deviation over their mean.

    The labels' variance is as uncertain as that of normal ones; where it rises with the errors the
    truth is more certain than this.

    >>> [round(limit, 3) for limit in of_r2(0.8, 1.41, 401.0)]
    [0.757, 0.836]
    """
    if rows < 2:  # noqa: PLR2004 (one row has no spread)
        return None
    half = Z * math.sqrt((spread * spread + 2) / (rows - 1))
    return 1 - (1 - r2) * math.exp(half), 1 - (1 - r2) * math.exp(-half)
