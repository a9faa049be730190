"""Where quantities of pairs have their column: those of every report, then of further series."""

from collections.abc import Sequence

import numpy as np

from tidegauge.streams.monitor.intake.block import Floats
from tidegauge.streams.monitor.series.registry import SERIES
from tidegauge.streams.monitor.series.task import class_losses, losses
from tidegauge.streams.monitor.series.view import Pairs
from tidegauge.streams.monitor.windows.outcome_rows import ClassPairs

KNOWN = ("loss", "error", "label", "score")  # of every report
LOSS_COLUMNS = {"classification": "log_loss", "regression": "absolute_error"}  # by task
LIKE = {"multiclass": "classification"}  # tasks that share the columns of another
OUTCOME_COLUMNS = ("log_loss", "absolute_error", "error", "label", "score")


def outcome_table(labels: Floats, scores: Floats, classes: ClassPairs | None = None) -> Floats:
    """Return both losses, label - score, label and score, shape (rows, 5)."""
    both = [losses(labels, scores, task) for task in LOSS_COLUMNS]
    table = np.column_stack([*both, labels - scores, labels, scores])
    if classes is not None:
        loss, wrong = class_losses(classes.right, classes.probabilities), 1 - classes.right
        table[classes.among, :3] = np.column_stack([loss, np.full(len(loss), np.nan), wrong])
    return table


def further_series() -> list[str]:
    """Return the series of pairs that need columns of their own."""
    return [n for n, series in SERIES.items() if Pairs in series.reads and n not in KNOWN]


class OutcomeColumns:
    """The columns of a cohort of pairs.

    Parameters
    ----------
    further
        Series that have a column for each task, as it may not be known yet.

    Examples
    --------
    >>> OutcomeColumns([]).places("regression")
    {'loss': 1, 'error': 2, 'label': 3, 'score': 4}
    """

    def __init__(self, further: Sequence[str]) -> None:
        self.further = list(further)
        self.width = len(OUTCOME_COLUMNS) + len(LOSS_COLUMNS) * len(further)

    def table(
        self,
        labels: Floats,
        scores: Floats,
        delays_ms: Floats,
        classes: ClassPairs | None = None,
    ) -> Floats:
        """Return the quantities of pairs, shape (rows, width)."""
        own = outcome_table(labels, scores, classes)
        if not self.further:
            return own
        views = [Pairs(labels, scores, task, delays_ms) for task in LOSS_COLUMNS]
        further = [SERIES[name].quantity(view) for view in views for name in self.further]
        return np.concatenate([own, *further], axis=1)

    def places(self, task: str) -> dict[str, int]:
        """Return in which column each series is, for a task."""
        task = LIKE.get(task, task)
        names = {name: LOSS_COLUMNS[task] if name == "loss" else name for name in KNOWN}
        own = {name: OUTCOME_COLUMNS.index(column) for name, column in names.items()}
        first = len(OUTCOME_COLUMNS) + [*LOSS_COLUMNS].index(task) * len(self.further)
        return own | {name: first + at for at, name in enumerate(self.further)}
