"""Faults in scores and labels, and worlds that change."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from load_tests.faults.fault import Change, Fault, labels, merged, scores
from load_tests.faults.kinds_of_rows import HOUR_MS, without
from load_tests.faults.traffic import Labels, Rows, Span, Traffic

Spoil = Callable[[Labels, Rows, Generator], Labels]


def flipped(share: float) -> Spoil:
    """Turn a share of the labels round."""

    def spoil(labels: Labels, _: Rows, rng: Generator) -> Labels:
        chosen = rng.random(len(labels.ids)) < share
        return replace(labels, values=np.where(chosen, 1 - labels.values, labels.values))

    return spoil


def lost(share: float, value: int | None = None) -> Spoil:
    """Lose a share of the labels, or of those of one class."""

    def spoil(labels: Labels, _: Rows, rng: Generator) -> Labels:
        of_class = (labels.values == value) | (value is None)
        return labels.take(~(of_class & (rng.random(len(labels.ids)) < share)))

    return spoil


def delayed(hours: float, value: int | None = None) -> Spoil:
    """Let labels, or those of one class, come later."""

    def spoil(labels: Labels, _: Rows, __: Generator) -> Labels:
        of_class = (labels.values == value) | (value is None)
        return replace(labels, ts_ms=labels.ts_ms + np.where(of_class, int(hours * HOUR_MS), 0))

    return spoil


def corrected(share: float) -> Spoil:
    """Send a share of the labels again an hour later, with the other value."""

    def spoil(labels: Labels, _: Rows, rng: Generator) -> Labels:
        again = labels.take(rng.random(len(labels.ids)) < share)
        again = replace(again, ts_ms=again.ts_ms + HOUR_MS, values=1 - again.values)
        return merged(labels, again)

    return spoil


def by_another_rule(share: float) -> Spoil:
    """Deal the labels of a share of the rows so that low scores come out late, as many as were."""

    def spoil(labels: Labels, rows: Rows, rng: Generator) -> Labels:
        chosen = np.flatnonzero(rng.random(len(labels.ids)) < share)
        value = labels.values.copy()
        window = rows.place.astype(int)[chosen]
        for each in np.unique(window):
            inside = chosen[window == each]
            unlikely_first = inside[np.argsort(rows.scores[inside] + rng.random(len(inside)) / 4)]
            value[unlikely_first] = -np.sort(-labels.values[inside])
        return replace(labels, values=value)

    return spoil


def scaled_labels(factor: float) -> Spoil:
    """Multiply labels."""
    return lambda labels, *_: replace(labels, values=labels.values * factor)


def later_for(carrier: str, share: float) -> Spoil:
    """Let a share of one carrier's punctual flights be late."""

    def spoil(labels: Labels, rows: Rows, rng: Generator) -> Labels:
        worse = (rows.features["carrier"] == carrier) & (rng.random(len(labels.ids)) < share)
        return replace(labels, values=np.where(worse, 1, labels.values))

    return spoil


def fewer_negatives(share: float) -> Change:
    """Let a share of the rows whose label is 0 not take place."""

    def change(traffic: Traffic, span: Span, rng: Generator) -> Traffic:
        punctual = set(traffic.labels.ids[traffic.labels.values == 0].tolist())
        of_class = np.array([row_id in punctual for row_id in traffic.rows.ids.tolist()])
        chosen = rng.random(len(of_class)) < share
        return without(traffic, of_class & chosen & span.holds(traffic.rows.place))

    return change


def half_for_all(rows: Rows, _: Generator) -> Any:
    """Return one score for everybody."""
    return np.full(len(rows.ids), 0.5)


def dealt(rows: Rows, rng: Generator) -> NDArray[np.float64]:
    """Deal the scores to other rows of their window."""
    window = rows.place.astype(int)
    order = np.lexsort((rng.random(len(window)), window))
    by_window = np.argsort(window, kind="stable")
    new = np.empty(len(order))
    new[by_window] = rows.scores[order]
    return new


def _scores(name: str, spoil: Callable[[Rows, Generator], Any]) -> Fault:
    return Fault(f"score: {name}", scores(spoil), "scores", ("score",))


def _labels(name: str, spoil: Spoil, real: bool = False) -> Fault:
    return Fault(f"labels: {name}", labels(spoil), "labels", real=real)


FAULTS: Final = (
    _scores("0.5 for all", half_for_all),
    _scores("dealt to other rows", dealt),
    _scores("inverted", lambda rows, _: 1 - rows.scores),
    _scores("that of an older model", lambda rows, _: rows.older),
    _scores("in per cent", lambda rows, _: 100 * rows.scores),
    _labels("5% flipped", flipped(0.05)),
    _labels("10% flipped", flipped(0.10)),
    _labels("positives lost", lost(1.0, 1)),
    _labels("half of the positives lost", lost(0.5, 1)),
    _labels("positives two days late", delayed(48, 1)),
    _labels("all a day late", delayed(24)),
    _labels("all lost", lost(1.0)),
    _labels("half lost", lost(0.5)),
    _labels("10% sent again with the other value", corrected(0.10)),
    Fault("half of the punctual flights gone", fewer_negatives(0.5), "labels", real=True),
    _labels("those of half of the flights follow another rule", by_another_rule(0.5), real=True),
    _labels("30% more late flights of one carrier", later_for("EV", 0.3), real=True),
)  # fmt: skip
