"""Classification or regression: what the pairs show, and the loss that goes with it."""

from typing import Literal

import msgspec
import numpy as np

from tidegauge.streams.monitor.intake.block import Flags, Floats

Task = Literal["classification", "regression"]
EPSILON = 1e-15  # River's bound on probabilities in the log loss
ROUNDING = 1e-6  # by which a probability may lie outside 0 to 1: softmax in float32 does
MOST = 0.99  # of the pairs: no single value decides


class TaskTally(msgspec.Struct):
    """What the labels and scores so far have looked like."""

    pairs: int = 0
    binary: int = 0  # labels that are 0 or 1, with a score that is a probability

    def add(self, labels: Floats, scores: Floats) -> None:
        """Take further pairs."""
        self.pairs += len(labels)
        self.binary += int(np.count_nonzero(is_binary(labels, scores)))

    @property
    def task(self) -> Task:
        """What nearly all of them are.

        >>> tally = TaskTally()
        >>> tally.add(np.array([0.0, 1.0, 3.5]), np.array([0.2, 0.7, 0.5]))
        >>> tally.task
        'regression'
        """
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
