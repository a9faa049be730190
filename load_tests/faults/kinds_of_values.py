"""Faults in the values of features."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

import numpy as np
from numpy.random import Generator

from load_tests.faults.fault import Change, Fault, Hit, Where, both, hit, values
from load_tests.faults.traffic import Span, Traffic, missing

Spoil = Callable[[Hit, Generator], Any]
WEATHER: Final = ("temp", "humid", "wind_speed", "visib", "precip", "pressure")
AT_LGA: Final = Where("origin", "LGA")
BY_UA: Final = Where("carrier", "UA")


def scaled(factor: float, offset: float = 0.0) -> Spoil:
    """Return values in another unit."""
    return lambda hit, _: hit.now * factor + offset


def constant(value: float | str | None) -> Spoil:
    """Return one value in place of all."""
    return lambda hit, _: np.full(len(hit.now), value, dtype=hit.now.dtype)


def of_before(statistic: Callable[[Any], Any]) -> Spoil:
    """Return a statistic of the values before in place of all."""
    return lambda hit, _: np.full(len(hit.now), statistic(hit.before[~missing(hit.before)]))


def last(before: Any) -> Any:
    """Return the last of the values before."""
    return before[-1]


def in_some(share: float, spoil: Spoil) -> Spoil:
    """Spoil a random share of the values only."""

    def some(hit: Hit, rng: Generator) -> Any:
        chosen = rng.random(len(hit.now)) < share
        spoilt = np.asarray(spoil(Hit(hit.before, hit.now[chosen]), rng))
        new = hit.now.astype(object if spoilt.dtype == np.object_ else hit.now.dtype)
        new[chosen] = spoilt
        return new

    return some


def filled_in(value: float) -> Spoil:
    """Return a default in place of missing and of a fifth of the others."""
    return in_some(0.2, constant(value))


def truncated(hit: Hit, _: Generator) -> Any:
    """Cut off the decimals."""
    return np.trunc(hit.now)


def rounded(step: float) -> Spoil:
    """Round to multiples of ``step``."""
    return lambda hit, _: np.round(hit.now / step) * step


def clipped(quantile: float) -> Spoil:
    """Cap values at a quantile of those before."""
    return lambda hit, _: np.minimum(hit.now, np.nanquantile(hit.before, quantile))


def noisy(sds: float) -> Spoil:
    """Add noise of so many standard deviations of the values before."""
    return lambda hit, rng: hit.now + rng.normal(0, sds * np.nanstd(hit.before), len(hit.now))


def heavy_tailed(hit: Hit, rng: Generator) -> Any:
    """Multiply by log-normal factors whose median is 1."""
    return hit.now * np.exp(rng.normal(0, 1, len(hit.now)))


def permuted(hit: Hit, rng: Generator) -> Any:
    """Deal the values to other rows."""
    return rng.permutation(hit.now)


def renamed(old: str, new: str) -> Spoil:
    """Write one category otherwise."""
    return lambda hit, _: np.where(hit.now == old, new, hit.now)


def lower_case(hit: Hit, _: Generator) -> Any:
    """Write all categories in small letters."""
    return np.array([value and value.lower() for value in hit.now.tolist()], dtype=object)


def as_text(hit: Hit, _: Generator) -> Any:
    """Send numbers as text."""
    texts = [None if np.isnan(value) else f"{value:g}" for value in hit.now.tolist()]
    return np.array(texts, dtype=object)


def columns(names: tuple[str, ...], spoil: Spoil, where: Where | None = None) -> Change:
    """Return the same change in several columns."""
    return both(*(values(name, spoil, where) for name in names))


def swapped(one: str, other: str) -> Change:
    """Put each of two columns in the other's place."""

    def change(traffic: Traffic, span: Span, _: Generator) -> Traffic:
        rows = traffic.rows
        inside = span.holds(rows.place)
        first, second = rows.features[one], rows.features[other]
        rows = rows.with_feature(one, np.where(inside, second, first))
        return replace(traffic, rows=rows.with_feature(other, np.where(inside, first, second)))

    return change


def stale(names: tuple[str, ...], windows: int) -> Change:
    """Send the values that came so many windows ago."""

    def change(traffic: Traffic, span: Span, _: Generator) -> Traffic:
        rows = traffic.rows
        at = np.flatnonzero(span.holds(rows.place))
        back = windows * len(at) // len(span.windows())
        for name in names:
            column = rows.features[name].copy()
            column[at] = rows.features[name][at - back]
            rows = rows.with_feature(name, column)
        return replace(traffic, rows=rows)

    return change


def joined_wrongly(names: tuple[str, ...], share: float) -> Change:
    """Send a share of the rows with the values of another row of the same window."""

    def change(traffic: Traffic, span: Span, rng: Generator) -> Traffic:
        rows = traffic.rows
        wrong = np.arange(len(rows.ids))
        chosen = hit(rows, span, None) & (rng.random(len(wrong)) < share)
        for window in span.windows():
            inside = np.flatnonzero(chosen & (rows.place.astype(int) == window))
            wrong[inside] = rng.permutation(inside)
        for name in names:
            rows = rows.with_feature(name, rows.features[name][wrong])
        return replace(traffic, rows=rows)

    return change


def drifting(name: str, sds_a_window: float) -> Change:
    """Let a feature rise a little with every window."""

    def change(traffic: Traffic, span: Span, _: Generator) -> Traffic:
        rows = traffic.rows
        column = rows.features[name]
        sd = np.nanstd(column[rows.place < span.first])
        windows = np.floor(rows.place) - span.first + 1
        rise = np.where(span.holds(rows.place), sds_a_window * sd * windows, 0.0)
        return replace(traffic, rows=rows.with_feature(name, column + rise))

    return change


def new_feature(name: str) -> Change:
    """Send a feature that nobody has seen before."""

    def change(traffic: Traffic, span: Span, rng: Generator) -> Traffic:
        inside = span.holds(traffic.rows.place)
        column = np.where(inside, rng.normal(size=len(inside)), np.nan)
        return replace(traffic, rows=traffic.rows.with_feature(name, column))

    return change


def under_another_name(old: str, new: str) -> Change:
    """Send a feature under a name that nobody has seen before."""

    def change(traffic: Traffic, span: Span, _: Generator) -> Traffic:
        rows = traffic.rows
        inside = span.holds(rows.place)
        column = rows.features[old]
        rows = rows.with_feature(old, np.where(inside, np.nan, column))
        return replace(traffic, rows=rows.with_feature(new, np.where(inside, column, np.nan)))

    return change


def leaking(name: str) -> Change:
    """Deal a feature's values so that late flights have the greatest, window by window."""

    def change(traffic: Traffic, span: Span, rng: Generator) -> Traffic:
        rows = traffic.rows
        late = dict(zip(traffic.labels.ids.tolist(), traffic.labels.values.tolist(), strict=True))
        label = np.array([late.get(row_id, 0) for row_id in rows.ids.tolist()])
        column = rows.features[name].copy()
        for window in span.windows():
            inside = np.flatnonzero(rows.place.astype(int) == window)
            order = inside[np.argsort(label[inside] + rng.random(len(inside)) / 2)]
            column[order] = np.sort(column[inside])
        return replace(traffic, rows=rows.with_feature(name, column))

    return change


def _fault(name: str, names: tuple[str, ...], change: Change, rescored: bool = True) -> Fault:
    return Fault(name, change, "values", names, rescored=rescored)


def _one(name: str, column: str, spoil: Spoil, where: Where | None = None) -> Fault:
    whole = values(column, spoil, where)
    return _fault(f"{column}: {name}", (column,), whole, rescored="as text" not in name)


FAULTS: Final = (
    _one("x 1000", "distance", scaled(1000)),
    _fault("distance: x 1000, in the log only", ("distance",),
           values("distance", scaled(1000)), rescored=False),
    _one("x 0.4536", "distance", scaled(0.4536)),
    _one("°F to °C", "temp", scaled(5 / 9, -160 / 9)),
    _one("°F to °C at one airport", "temp", scaled(5 / 9, -160 / 9), AT_LGA),
    _one("hPa to inHg at one airport", "pressure", scaled(0.02953), AT_LGA),
    _one("offset of 5 hPa", "pressure", scaled(1, 5.0)),
    _one("sign flipped", "temp", scaled(-1)),
    _fault("temp, humid: swapped", ("temp", "humid"), swapped("temp", "humid")),
    _fault("wind_speed, visib: swapped", ("wind_speed", "visib"), swapped("wind_speed", "visib")),
    _one("0 fills in for 20%", "humid", filled_in(0)),
    _one("-999 fills in for 20%", "wind_speed", filled_in(-999)),
    _one("mean fills in for 20%", "temp", in_some(0.2, of_before(np.mean))),
    _one("a known category fills in for 20%", "dest", in_some(0.2, constant("ATL"))),
    _one("missing in 30%", "temp", in_some(0.3, constant(np.nan))),
    _one("missing in 30%", "carrier", in_some(0.3, constant(None))),
    _one("missing for one carrier", "humid", constant(np.nan), BY_UA),
    _fault("weather: all missing at one airport", WEATHER,
           columns(WEATHER, constant(np.nan), AT_LGA)),
    _one("no longer sent", "visib", constant(np.nan)),
    _fault("wind_speed: sent as windSpeed", ("wind_speed", "windSpeed"),
           under_another_name("wind_speed", "windSpeed")),
    _fault("a new feature comes", ("gate",), new_feature("gate"), rescored=False),
    _one("a category renamed", "carrier", renamed("UA", "United")),
    _one("a new category in 5%", "dest", in_some(0.05, constant("XXX"))),
    _one("in small letters", "carrier", lower_case),
    _one("mix shifted, 10% move to another", "hour", in_some(0.1, constant("18"))),
    _one("constant at the median", "pressure", of_before(np.median)),
    _one("constant at the median", "distance", of_before(np.median)),
    _one("stuck at the last value", "temp", of_before(last)),
    _one("stuck at the last value at one airport", "humid", of_before(last), AT_LGA),
    _fault("weather: stale by one window", WEATHER, stale(WEATHER, 1)),
    _fault("temp: stale by one window", ("temp",), stale(("temp",), 1)),
    _one("decimals cut off", "humid", truncated),
    _one("rounded to 10s", "temp", rounded(10)),
    _one("a third rounded to 500s", "distance", in_some(1 / 3, rounded(500))),
    _one("capped at the upper quartile", "wind_speed", clipped(0.75)),
    _one("noise of 1 sd", "humid", noisy(1.0)),
    _one("1% x 100", "distance", in_some(0.01, scaled(100))),
    _one("log-normal factors", "humid", heavy_tailed),
    _one("dealt to other rows", "distance", permuted),
    _one("dealt to other rows", "temp", permuted),
    _fault("weather: that of another row", WEATHER, joined_wrongly(WEATHER, 1.0)),
    _fault("weather: that of another row in 30%", WEATHER, joined_wrongly(WEATHER, 0.3)),
    _one("numbers as text", "pressure", as_text),
    _one("numbers as text in 5%", "visib", in_some(0.05, as_text)),
    _one("missing comes as 'null'", "dest", in_some(0.1, constant("null"))),
    _fault("humid: rises by 0.02 sd a window", ("humid",), drifting("humid", 0.02)),
    _fault("precip: tells the label", ("precip",), leaking("precip"), rescored=False),
)  # fmt: skip
