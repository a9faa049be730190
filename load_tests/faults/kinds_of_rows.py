"""Faults in which rows come, when, and under which id."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from load_tests.faults.fault import Change, Fault, Where, hit
from load_tests.faults.traffic import Ints, Rows, Span, Traffic

HOUR_MS: Final = 3_600_000


def lost(share: float, where: Where | None = None) -> Change:
    """Lose a share of the rows, and their labels with them."""

    def change(traffic: Traffic, span: Span, rng: Generator) -> Traffic:
        gone = hit(traffic.rows, span, where) & (rng.random(len(traffic.rows.ids)) < share)
        return without(traffic, gone)

    return change


def without(traffic: Traffic, gone: NDArray[np.bool_]) -> Traffic:
    """Return the traffic without some rows and their labels."""
    ids = set(traffic.rows.ids[gone].tolist())
    kept = np.array([row_id not in ids for row_id in traffic.labels.ids.tolist()])
    return replace(traffic, rows=traffic.rows.take(~gone), labels=traffic.labels.take(kept))


def silent(windows: int) -> Change:
    """Send neither rows nor labels for the first windows, nor later the labels of these rows."""

    def change(traffic: Traffic, span: Span, _: Generator) -> Traffic:
        quiet = Span(span.first, min(span.first + windows, span.last))
        heard = traffic.labels.take(~quiet.holds(traffic.labels.place))
        return without(replace(traffic, labels=heard), quiet.holds(traffic.rows.place))

    return change


def repeated(share: float, where: Where | None = None, later: int = 0) -> Change:
    """Send a share of the rows twice, one after the other or so many windows later."""

    def change(traffic: Traffic, span: Span, rng: Generator) -> Traffic:
        rows = traffic.rows
        again = hit(rows, span, where) & (rng.random(len(rows.ids)) < share)
        at = np.concatenate([np.arange(len(again)), np.flatnonzero(again)])
        place = np.concatenate([rows.place, rows.place[again] + later])
        order = np.argsort(place, kind="stable")
        return replace(traffic, rows=replace(rows.take(at[order]), place=place[order]))

    return change


def held_up(windows: float) -> Change:
    """Send all rows so much later than they were made."""

    def change(traffic: Traffic, span: Span, _: Generator) -> Traffic:
        rows = traffic.rows
        place = rows.place + np.where(hit(rows, span, None), windows, 0.0)
        order = np.argsort(place, kind="stable")
        return replace(traffic, rows=replace(rows.take(order), place=place[order]))

    return change


def ids_of_others(share: float) -> Change:
    """Give a share of the rows the id of the row before."""

    def change(traffic: Traffic, span: Span, rng: Generator) -> Traffic:
        rows = traffic.rows
        wrong = np.flatnonzero(hit(rows, span, None) & (rng.random(len(rows.ids)) < share))
        ids = rows.ids.copy()
        ids[wrong] = rows.ids[wrong - 1]
        return replace(traffic, rows=replace(rows, ids=ids))

    return change


def late_by(shift: Callable[[Traffic, Rows], Ints], where: Where | None = None) -> Change:
    """Set the event times of rows back."""

    def change(traffic: Traffic, span: Span, _: Generator) -> Traffic:
        rows = traffic.rows
        inside = hit(rows, span, where)
        ts_ms = rows.ts_ms.copy()
        ts_ms[inside] -= shift(traffic, rows.take(inside))
        return replace(traffic, rows=replace(rows, ts_ms=ts_ms))

    return change


def hours(count: float) -> Callable[[Traffic, Rows], Ints]:
    """Return so many hours for each row."""
    return lambda _, rows: np.full(len(rows.ids), int(count * HOUR_MS))


def in_seconds(_: Traffic, rows: Rows) -> Ints:
    """Return for each row how far a time in seconds lies before the same in milliseconds."""
    return rows.ts_ms - rows.ts_ms // 1000


def a_window(traffic: Traffic, rows: Rows) -> Ints:
    """Return for each row how long ago the same place of the window before it was."""
    return rows.ts_ms - traffic.clock.ms_at(rows.place - 1)


def _fault(name: str, change: Change, columns: tuple[str, ...] = (), **more: Any) -> Fault:
    return Fault(name, change, "rows", columns, **more)


def faults_of_rows(one: str, its: str, other: str, value: str) -> tuple[Fault, ...]:
    """Return all of them, in the slices where ``one`` is ``its`` and ``other`` is ``value``."""
    lost_one, lost_other = Where(one, its), Where(other, value)
    return (
        _fault(f"one {one} lost", lost(1.0, lost_one), (one,)),
        _fault(f"one {other} lost to 30%", lost(0.7, lost_other), (other,)),
        _fault(f"one {one} sent twice", repeated(1.0, lost_one), (one,)),
        _fault("all rows sent twice", repeated(1.0)),
        _fault("a third of the rows sent again a window later", repeated(1 / 3, later=1)),
        _fault("half of the rows lost", lost(0.5)),
        _fault("a fifth of the rows under the id of another", ids_of_others(0.2)),
        _fault("all rows held up for a quarter of a window", held_up(0.25)),
        _fault("clock an hour back", late_by(hours(1))),
        _fault("clock a window back", late_by(a_window)),
        _fault(f"clock a window back at one {other}", late_by(a_window, lost_other), (other,)),
        _fault(f"times in seconds at one {other}", late_by(in_seconds, lost_other), (other,)),
        _fault("silence of 8 windows", silent(8)),
    )


FAULTS: Final = faults_of_rows("carrier", "UA", "origin", "LGA")
