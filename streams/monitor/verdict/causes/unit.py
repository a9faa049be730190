"""A number comes in another unit."""

from typing import Final, NamedTuple

import numpy as np

from tidegauge.schemas.references import NumericProfile
from tidegauge.streams.monitor.intake.block import Floats
from tidegauge.streams.monitor.verdict.causes.base import (
    ALIKE,
    FEW,
    UNLIKE,
    Cause,
    Evidence,
    distance,
    out_of_range,
)
from tidegauge.streams.monitor.words import cut, number, percent

WITHIN: Final = 0.3  # distance that is near enough of values that are many times too large
CLEAR: Final = 0.1  # by which the second best unit is farther
MANY: Final = 5.0  # times, as hardly anything grows or falls
EXACT: Final = 0.8  # of the values are in the reference, once undone, and hardly any before


class Unit(NamedTuple):
    """What a value becomes in a wrong unit: factor x value + added."""

    factor: float
    names: str
    added: float = 0.0

    def undone(self, values: Floats) -> Floats:
        """Return the values in the unit of the reference."""
        return (values - self.added) / self.factor


def _both(factor: float, one: str, other: str) -> list[Unit]:
    there, back = f"{one} instead of {other}", f"{other} instead of {one}"
    return [Unit(factor, there), Unit(1 / factor, back)]


UNITS: Final = [
    *_both(1000.0, "thousandths, such as ms or g,", "wholes, such as s or kg"),
    *_both(100.0, "hundredths, such as cents or percent,", "wholes"),
    *_both(60.0, "seconds (or minutes)", "minutes (or hours)"),
    *_both(3600.0, "seconds", "hours"),
    *_both(24.0, "hours", "days"),
    *_both(1.609344, "km", "miles"),
    *_both(2.20462, "pounds (or mph)", "kg (or m/s)"),
    *_both(3.28084, "feet", "metres"),
    *_both(2.54, "cm", "inches"),
    *_both(3.6, "km/h", "m/s"),
    *_both(33.8639, "hPa", "inHg"),
    *_both(3.78541, "litres", "gallons"),
    Unit(1 / 1.8, "°C instead of °F", -32 / 1.8),
    Unit(1.8, "°F instead of °C", 32.0),
    Unit(1.0, "kelvin instead of °C", 273.15),
    Unit(1.0, "°C instead of kelvin", -273.15),
]


def unit(seen: Evidence) -> Cause | None:
    """Return a number whose values, or those out of range, are the reference's in another unit."""
    for name in seen.moved:
        column, profile = seen.numbers[name], seen.profiles[name]
        beyond = out_of_range(column, profile)
        there = ~np.isnan(column)
        for part in (there, beyond):
            found = _likely(column[part], profile)
            if found is None:
                continue
            share, where = part.sum() / there.sum(), seen.slice_of(part, there)
            of = f"{percent(share)} of {cut(name)}" if share < 1 else cut(name)
            of = f"{cut(name)} with {where}" if where else of
            fits = (
                f"every quantile is about {number(found.factor)} of the reference's"
                if share == 1.0 and not found.added
                else f"undone, its values are those of the reference "
                f"({number(float(np.median(found.undone(column[part]))))} at the median, "
                f"{number(float(np.median(profile.points)))} there)"
            )
            return Cause(
                "unit",
                f"{of} looks like {found.names}: {fits}",
                f"Mend the unit of {cut(name)} where it is made: since {seen.since(name)} it looks "
                f"like {found.names}. Do not train on such rows.",
                seen.series(name),
            )
    return None


def _likely(values: Floats, profile: NumericProfile) -> Unit | None:
    """Return the one unit that makes of values what the reference has, if it is clear."""
    if len(values) < FEW:
        return None
    off = distance(values, profile)
    ranked = sorted((distance(one.undone(values), profile), one) for one in UNITS)
    (best, found), (second, _) = ranked[:2]
    before, after = _known(values, profile), _known(found.undone(values), profile)
    if after >= EXACT and before <= 1 - EXACT and off >= ALIKE:
        return found
    if second < best + CLEAR:
        return None
    times = abs(float(np.median(values)) / (float(np.median(profile.points)) or 1.0))
    is_far = times > MANY or times * MANY < 1
    fits = (best <= ALIKE and off >= UNLIKE) or (best <= WITHIN and is_far)
    return found if fits else None


def _known(values: Floats, profile: NumericProfile) -> float:
    """Return which part of values are exactly points of a reference."""
    points = np.array(profile.points)
    at = np.searchsorted(points, values * (1 - np.sign(values) * 1e-6))
    near = points[np.minimum(at, len(points) - 1)]
    return float(np.isclose(near, values, rtol=2e-6, atol=0.0).mean())
