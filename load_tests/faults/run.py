"""Runs every fault on both forms of the data, and the null runs without any."""

import multiprocessing
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Final

import msgspec
import numpy as np

from load_tests.faults.data import FAULTY, REFERENCE, Form
from load_tests.faults.fault import Fault
from load_tests.faults.kinds_of_rows import lost
from load_tests.faults.told import Finding, Listener, Said, compare
from load_tests.faults.traffic import Span, Traffic, messages

KEPT: Final = (1.0, 0.3, 0.1)  # of the rows, in null runs

Make = Callable[..., Form]  # of a seed, and of how many windows
NO_FAULT: Final = Fault("none", lambda traffic, *_: traffic, "rows")

_forked: dict[str, tuple[Listener, Sequence[Callable[[], Traffic]]]] = {}


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


def findings(make: Make, faults: Sequence[Fault], seeds: int, processes: int) -> Iterator[Finding]:
    """Yield what is told of each fault in one form, with each seed."""
    for seed in range(seeds):
        form = make(seed)
        spoilt = [partial(spoil, fault, form, seed) for fault in (NO_FAULT, *faults)]
        twin, *said = heard(form, spoilt, processes)
        for fault, with_it in zip(faults, said, strict=True):
            yield compare(fault, form, seed, with_it, twin)


def nulls(make: Make, seeds: int, processes: int, windows: int) -> Iterator[Null]:
    """Yield what is told where rows or weeks are dealt anew, and only their number changes."""
    for seed in range(seeds):
        form = make(seed, windows)
        by_rows = form.spec.windows is not None and form.spec.windows.rows is not None
        shares = KEPT[:1] if by_rows else KEPT
        thinned = [partial(thin, form, share, seed) for share in shares]
        for share, said in zip(shares, heard(form, thinned, processes), strict=True):
            yield null(form, share, seed, said)


def heard(form: Form, traffics: Sequence[Callable[[], Traffic]], processes: int) -> Iterator[Said]:
    """Yield what is said of each traffic, all of which are the form's until the fault begins.

    That part is read once; each traffic goes on from there in a process forked for it alone.
    """
    listener = Listener(form)
    listener.hear(messages(form.traffic, until=FAULTY.first))
    with multiprocessing.get_context("fork").Pool(
        processes, _forked.update, [{"": (listener, traffics)}], maxtasksperchild=1
    ) as pool:
        yield from pool.imap(_go_on, range(len(traffics)))


def _go_on(which: int) -> Said:
    listener, traffics = _forked[""]
    listener.hear(messages(traffics[which](), since=FAULTY.first))
    return listener.said


def spoil(fault: Fault, form: Form, seed: int) -> Traffic:
    """Return the form's traffic with the fault in it."""
    rng = np.random.default_rng([seed, zlib.crc32(fault.name.encode())])
    traffic = fault.change(form.traffic, FAULTY, rng)
    if not fault.rescored:
        return traffic
    inside = FAULTY.holds(traffic.rows.place)
    scores = traffic.rows.scores.copy()
    scores[inside] = form.score(traffic.rows.take(inside))
    return replace(traffic, rows=replace(traffic.rows, scores=scores))


def thin(form: Form, share: float, seed: int) -> Traffic:
    """Return the form's traffic, of which from some day on only a share of the rows comes."""
    to_the_end = Span(FAULTY.first, form.windows + 1)
    return lost(1 - share)(form.traffic, to_the_end, np.random.default_rng(seed))


def null(form: Form, kept: float, seed: int, said: Said) -> Null:
    """Return how much was told."""
    begin = int(FAULTY.first) if kept < 1 else REFERENCE
    news = list(said.news(begin))
    return Null(
        form=form.name,
        kept=kept,
        seed=seed,
        windows=form.windows - begin,
        incidents=len({alert.incident for _, alert, _ in news}),
        series=[alarm.series for _, _, alarms in news for alarm in alarms],
    )
