"""What pairs say whose prediction or label is a class: which, whether it is right, how probable."""

from typing import Any, NamedTuple

import numpy as np

from tidegauge.streams.monitor.intake.block import Floats
from tidegauge.streams.monitor.intake.classes import (
    Classes,
    coded,
    codes_of,
    heads,
    is_class,
    width_of,
)
from tidegauge.streams.monitor.intake.dictionary import as_text


class Classified(NamedTuple):
    """Pairs as columns of numbers, with the classes beside them; None and NaN where there is none.

    A predicted class has as its score its probability, 1 if none was said, and as its label
    whether it is right. So does a label that is a class.
    """

    scores: Floats
    labels: Floats
    predicted: Any  # texts, as objects
    true: Any
    probabilities: Floats  # of the label's class
    shares: Floats  # probability of every class, shape (rows, classes); NaN where none was said


def classified(classes: Classes, labels: Floats, table: Floats) -> Classified:
    """Return pairs whose labels and scores may be codes of classes.

    >>> classes = Classes()
    >>> scores, labels = coded(classes.enter(["cat", "dog"])), coded(classes.enter(["cat", "cat"]))
    >>> found = classified(classes, labels, scores)
    >>> found.labels.tolist(), found.predicted.tolist(), found.true.tolist()
    ([1.0, 0.0], ['cat', 'dog'], ['cat', 'cat'])
    """
    scores, unknown = heads(table), np.full(len(labels), np.nan)
    by_class = is_class(scores)
    if not (by_class.any() or is_class(labels).any()):
        nobody = np.full(len(labels), None)
        return Classified(scores, labels, nobody, nobody, unknown, np.empty((len(labels), 0)))
    labels = _as_classes(classes, labels, by_class)
    named = is_class(labels)
    right = np.where(named, (labels == scores).astype(np.float64), labels)
    confidence, likely = (_probabilities(table, own, by_class) for own in (scores, labels))
    sure = np.where(np.isnan(confidence), 1.0, confidence)
    return Classified(
        np.where(by_class, sure, scores), right, classes.named(scores), classes.named(labels),
        np.where(named, likely, np.nan), table.reshape(len(table), -1)[:, 1:],
    )  # fmt: skip


def _as_classes(classes: Classes, labels: Floats, by_class: Any) -> Floats:
    """Return labels that are classes where predictions are: a number counts by its text."""
    numbers = np.flatnonzero(by_class & ~is_class(labels))
    if not len(numbers):
        return labels
    labels = labels.copy()
    texts = [text or "" for text in as_text(labels[numbers].tolist())]
    labels[numbers] = coded(classes.enter(texts))
    return labels


def _probabilities(table: Floats, values: Floats, by_class: Any) -> Floats:
    """Return the probability that each row gives to a class; 0 if it names others alone."""
    found = np.full(len(values), np.nan)
    if width_of(table) == 1:
        return found
    rows = np.flatnonzero(by_class & ~np.isnan(table[:, 1:]).all(axis=1))
    columns = 1 + codes_of(values[rows])
    there = columns < width_of(table)
    own = np.zeros(len(rows))
    own[there] = np.nan_to_num(table[rows[there], columns[there]], nan=0.0)
    found[rows] = own
    return found
