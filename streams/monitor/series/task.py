"""Classification, of two or more classes, or regression: what pairs show, and what loss it has."""

from typing import Literal

import msgspec
import numpy as np

from tidegauge.streams.monitor.intake.block import Flags, Floats

Task = Literal["classification", "multiclass", "regression"]
EPSILON = 1e-15  # River's bound on probabilities in the log loss
ROUNDING = 1e-6  # by which a probability may lie outside 0 to 1: softmax in float32 does
MOST = 0.99  # of the pairs: no single value decides


class TaskTally(msgspec.Struct):
    """What the labels and scores so far have looked like."""

    pairs: int = 0
    binary: int = 0  # labels that are 0 or 1, with a score that is a probability
    classes: int = 0  # predictions and labels that are classes

    def add(self, labels: Floats, scores: Floats, classes: int = 0) -> None:
        """Take further pairs of numbers, and so many of classes."""
        self.pairs += len(labels) + classes
        self.classes += classes
        self.binary += int(np.count_nonzero(is_binary(labels, scores)))

    @property
    def task(self) -> Task:
        """What nearly all of them are.

        >>> tally = TaskTally()
        >>> tally.add(np.array([0.0, 1.0, 3.5]), np.array([0.2, 0.7, 0.5]))
        >>> tally.task
        'regression'
        """
        if 2 * self.classes > self.pairs:
            return "multiclass"
        return "classification" if self.binary >= MOST * self.pairs else "regression"


def is_binary(labels: Floats, scores: Floats) -> Flags:
    """Return which pairs have a label of 0 or 1 and a score from 0 to 1."""
    probability = (scores >= -ROUNDING) & (scores <= 1 + ROUNDING)
    found: Flags = ((labels == 0) | (labels == 1)) & probability
    return found


def losses(labels: Floats, scores: Floats, task: str) -> Floats:
    """Return the log loss of each pair of a classification, the absolute error of a regression.

    A label that is not 0 or 1, or a score outside 0 to 1, has no log loss: NaN.

    >>> losses(np.array([1.0, 0.0, 2.0]), np.array([0.5, 0.5, 0.5]), "classification").round(3)
    array([0.693, 0.693,   nan])
    """
    if task == "regression":
        return np.abs(labels - scores)
    p = np.clip(scores, EPSILON, 1 - EPSILON)
    loss = -np.where(labels == 1, np.log(p), np.log1p(-p))
    return np.where(is_binary(labels, scores), loss, np.nan)


def class_losses(right: Floats, probabilities: Floats) -> Floats:
    """Return the log loss of each pair of classes; without probabilities 0 if it is right, else 1.

    >>> class_losses(np.array([1.0, 0.0, 0.0]), np.array([0.5, 0.5, np.nan])).round(3)
    array([0.693, 0.693, 1.   ])
    """
    log_losses = -np.log(np.clip(probabilities, EPSILON, 1.0))
    return np.where(np.isnan(probabilities), 1.0 - right, log_losses)
