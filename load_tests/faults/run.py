"""Runs every fault on both forms of the data, and the null runs without any."""

import multiprocessing
import zlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import lru_cache
from typing import Final, NamedTuple

import msgspec
import numpy as np

from load_tests.faults.data import (
    FAULTY,
    REFERENCE,
    WINDOWS,
    Form,
    by_day,
    dependent,
    independent,
)
from load_tests.faults.fault import Fault
from load_tests.faults.kinds_of_rows import lost
from load_tests.faults.registry import FAULTS
from load_tests.faults.told import Finding, Said, compare, listen
from load_tests.faults.traffic import Span, Traffic
from tidegauge.streams.demo.flights import Flights, read_flights

FORMS: Final[dict[str, Callable[..., Form]]] = {
    "independent": independent,
    "dependent": dependent,
    "by day": by_day,
}
KEPT: Final = (1.0, 0.3, 0.1)  # of the rows, in null runs


class Null(msgspec.Struct, frozen=True, kw_only=True):
    """What was told where nothing was wrong with any value.

    Parameters
    ----------
    kept
        Share of the rows that still come, from ``FAULTY.first`` on.
    windows
        How many were judged.
    series
        What was told, once for each alarm.
    """

    form: str
    kept: float
    seed: int
    windows: int
    incidents: int
    series: list[str]


class Task(NamedTuple):
    """One run: of a fault, or null."""

    form: str
    seed: int
    fault: str | None = None
    kept: float = 1.0
    windows: int = WINDOWS


def tasks(seeds: int, null_seeds: int, null_windows: int) -> list[Task]:
    """Return all the runs, those of one form and seed beside each other."""
    faulty = [
        Task(form, seed, fault.name)
        for form in ("independent", "dependent")
        for seed in range(seeds)
        for fault in FAULTS
    ]
    null = [
        Task(form, seed, None, kept, null_windows)
        for form in FORMS
        for seed in range(null_seeds)
        for kept in (KEPT if form != "independent" else KEPT[:1])
    ]
    return faulty + null


def results(wanted: list[Task], processes: int) -> Iterator[Finding | Null]:
    """Yield what came of each run, in their order."""
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        yield from pool.imap(run, wanted, chunksize=4)


def run(task: Task) -> Finding | Null:
    """Run one task."""
    form = formed(task.form, task.seed, task.windows)
    if task.fault is None:
        return null(form, task)
    fault = next(fault for fault in FAULTS if fault.name == task.fault)
    said = listen(form, spoilt(fault, form, task.seed))
    return compare(fault, form, task.seed, said, twin(task.form, task.seed))


def spoilt(fault: Fault, form: Form, seed: int) -> Traffic:
    """Return the form's traffic with the fault in it."""
    rng = np.random.default_rng([seed, zlib.crc32(fault.name.encode())])
    traffic = fault.change(form.traffic, FAULTY, rng)
    if not fault.rescored:
        return traffic
    inside = FAULTY.holds(traffic.rows.place)
    scores = traffic.rows.scores.copy()
    scores[inside] = form.score(traffic.rows.take(inside))
    return replace(traffic, rows=replace(traffic.rows, scores=scores))


def null(form: Form, task: Task) -> Null:
    """Return what is told where rows are dealt anew and only their number changes."""
    begin = FAULTY.first if task.kept < 1 else REFERENCE
    traffic = lost(1 - task.kept)(
        form.traffic, Span(begin, task.windows + 1), np.random.default_rng(task.seed)
    )
    news = [told for told in listen(form, traffic).news() if told[0] >= begin]
    return Null(
        form=task.form,
        kept=task.kept,
        seed=task.seed,
        windows=task.windows - begin,
        incidents=len({alert.incident for _, alert, _ in news}),
        series=[alarm.series for _, _, alarms in news for alarm in alarms],
    )


@lru_cache(maxsize=1)
def flights() -> Flights:
    """Return the year of flights."""
    return read_flights()


@lru_cache(maxsize=2)
def formed(form: str, seed: int, windows: int) -> Form:
    """Return a form of the flights."""
    return FORMS[form](flights(), seed, windows)


@lru_cache(maxsize=2)
def twin(form: str, seed: int) -> Said:
    """Return what is said of the same run without a fault."""
    made = formed(form, seed, WINDOWS)
    return listen(made, made.traffic)
