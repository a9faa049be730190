"""Pairs of prediction and label as rows of a block: numbers, and classes where they are some."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from tidegauge.schemas.monitors import MonitorSpec, feature_of
from tidegauge.schemas.outcomes import Outcomes
from tidegauge.streams.monitor.intake.block import NO_IDS, Block, Codes, Flags, Floats, encode
from tidegauge.streams.monitor.intake.classes import OTHERS
from tidegauge.streams.monitor.intake.dictionary import MISSING, Dictionary, as_text

DELAY = "delay_ms"  # column: by how much a label came after its prediction
NUMBERS = ("label", "score", DELAY, "probability")
ID = "id"  # column: what stands for the id, where labels may be corrected
SHARE = "p:"  # what the columns of classes' probabilities begin with
CLASSES = ("label", "class")
ID_BITS = 52  # of an id's hash, so that it is exact as a float
BY = "by "  # before the name of a feature by which pairs are sliced
Texts = Sequence[str | None]


def outcome_rows(pairs: Outcomes, spec: MonitorSpec) -> Block:
    """Return pairs as rows.

    Of a class the label is whether it is right, the score its probability (1 if none was said),
    and the probability that of the label's class. What cannot be compared, a number with text, has
    no label: it is among the rows, and in no figure.
    """
    rows, nobody = len(pairs.ids), [None] * len(pairs.ids)
    labels, scores = np.array(pairs.labels), np.array(pairs.predictions)
    delays_ms = np.array(pairs.ts_ms) - np.array(pairs.prediction_ts_ms)
    probabilities = np.array(pairs.probabilities or nobody, np.float64)
    true: Texts = pairs.label_classes or nobody
    classes: Texts = pairs.classes or nobody
    if spec.positive is not None and (pairs.classes or pairs.label_classes):
        labels, scores = _binary(spec.positive, (labels, scores, probabilities), true, classes)
        true, classes = nobody, nobody
    elif spec.task == "multiclass" or pairs.classes or pairs.label_classes:
        true, classes = _as_classes(labels, scores, true, classes, spec.task == "multiclass")
        among = np.array([one is not None for one in classes], np.bool_)
        right = np.array([own == one for own, one in zip(true, classes, strict=True)], np.float64)
        numeric = np.array([one is None for one in pairs.classes or nobody], np.bool_)
        comparable = np.array([one is None for one in pairs.label_classes or nobody], np.bool_)
        labels = np.where(among, right, np.where(comparable, labels, np.nan))
        scores = np.where(among & numeric, 1.0, scores)
    by = [feature_of(own) for own in spec.slices]
    values = [pairs.slices.get(feature, nobody) for feature in by]
    numbers = [[None if isinstance(one, str) else one for one in column] for column in values]
    texts = [[one if isinstance(one, str) else None for one in column] for column in values]
    dictionaries = tuple(Dictionary() for _ in (*CLASSES, *by))
    shares = {} if classes is nobody else pairs.class_probabilities
    identified = [ID] if spec.labels.corrections is not None else []
    return Block(
        np.array(pairs.label_offsets, np.int64),
        np.array(pairs.ts_ms, np.int64),
        NO_IDS,
        np.column_stack(
            [
                *(labels, scores, delays_ms, probabilities),
                *(np.array(own, np.float64) for own in numbers),
                *(codes_of(pairs.ids) for _ in identified),
                *(np.array(own, np.float64) for own in shares.values()),
            ]
        ),
        (*NUMBERS, *(BY + name for name in by), *identified, *(SHARE + name for name in shares)),
        encode((true, classes, *texts), dictionaries, rows),
        (*CLASSES, *(BY + name for name in by)),
        dictionaries,
    )


def codes_of(ids: Iterable[str]) -> Floats:
    """Return what stands for ids among numbers.

    >>> codes_of(["a", "b", "a"]).astype(int) % 1000
    array([404, 556, 404])
    """
    digests = (hashlib.blake2b(id_.encode(), digest_size=8).digest() for id_ in ids)
    return np.array([int.from_bytes(own) >> (64 - ID_BITS) for own in digests], np.float64)


def _as_classes(
    labels: Floats, scores: Floats, true: Texts, classes: Texts, always: bool
) -> tuple[Texts, Texts]:
    """Return labels and predictions as text wherever the prediction is a class, or all are."""
    of_labels, of_scores = as_text(labels.tolist()), as_text(scores.tolist())
    both = zip(true, classes, of_labels, of_scores, strict=True)
    found = [
        (label or said, own or score) if always or own else (None, None)
        for label, own, said, score in both
    ]
    return [label for label, _ in found], [own for _, own in found]


def _binary(
    positive: str, numbers: tuple[Floats, Floats, Floats], true: Texts, classes: Texts
) -> tuple[Floats, Floats]:
    """Return labels of 0 or 1, and as scores the probability of the positive class, of two."""
    labels, scores, probabilities = numbers
    is_text = np.array([one is not None for one in true], np.bool_)
    is_true = np.array([one == positive for one in true], np.bool_)
    by_class = np.array([one is not None for one in classes], np.bool_)
    says_so = np.array([one == positive for one in classes], np.bool_)
    of_label = np.where(is_true & ~np.isnan(probabilities), probabilities, 1 - scores)
    said = np.where(says_so, scores, of_label)
    return np.where(is_text, is_true, labels), np.where(by_class, said, scores)


@dataclass(frozen=True, slots=True)
class ClassPairs:
    """The rows of a block whose prediction and label are classes."""

    among: Flags  # which rows
    codes: Codes  # of their labels and predictions, shape (rows among them, 2)
    dictionaries: tuple[Dictionary, ...]
    right: Floats
    confidence: Floats  # probability of the predicted class; NaN where none was said
    probabilities: Floats  # of the label's class
    names: tuple[str, ...]  # of the classes whose probabilities are known
    shares: Floats  # these, shape (rows among them, names)

    @property
    def labels(self) -> list[str]:
        """The class that each label is."""
        values = self.dictionaries[0].values
        return [values[code] for code in self.codes[:, 0].tolist()]

    @property
    def squared_errors(self) -> Floats:
        """The distance of the probabilities from the truth, squared: Brier's; NaN of none."""
        found: Floats = np.nansum(self.shares**2, axis=1) - 2 * self.probabilities + 1
        return found

    def cells(self) -> list[tuple[tuple[str, str], int]]:
        """Return how many rows have each label and prediction, in the order of their first rows.

        Not those of which the class is not known, as the model has too many.
        """
        found, first, rows = np.unique(self.codes, axis=0, return_index=True, return_counts=True)
        own = []
        for at in np.argsort(first).tolist():
            label, predicted = (
                d.values[c] for d, c in zip(self.dictionaries, found[at].tolist(), strict=True)
            )
            if OTHERS not in (label, predicted):
                own.append(((label, predicted), int(rows[at])))
        return own


def class_pairs(block: Block) -> ClassPairs | None:
    """Return the pairs of classes among rows; None if there is none."""
    if CLASSES != block.categorical[: len(CLASSES)]:  # of an earlier version's snapshot
        return None
    codes = block.codes[:, : len(CLASSES)]
    among = (codes != MISSING).all(axis=1)
    if not among.any():
        return None
    probabilities, scores = block.number("probability")[among], block.number("score")[among]
    columns = [at for at, name in enumerate(block.names) if name.startswith(SHARE)]
    return ClassPairs(
        among,
        codes[among],
        block.dictionaries[: len(CLASSES)],
        block.number("label")[among],
        np.where(np.isnan(probabilities), np.nan, scores),
        probabilities,
        tuple(block.names[at].removeprefix(SHARE) for at in columns),
        block.numbers[among][:, columns],
    )
