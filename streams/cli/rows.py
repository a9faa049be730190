"""Rows of a file with their times, ids and labels, and which of them cannot be used."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from tidegauge.streams.cli import columns as read
from tidegauge.streams.cli.bad_rows import BadRows, Bools
from tidegauge.streams.cli.cells import Floats
from tidegauge.streams.cli.options import Columns
from tidegauge.streams.monitor.intake.messages import AHEAD_MS


@dataclass(slots=True)
class Rows:
    """Rows in the order of the file.

    Parameters
    ----------
    own
        ``row`` (its place in the file), ``id``, ``ts_ms``, ``prediction``, ``label``, ``due_ms``
        (when the label is known; null where there is none).
    features
        A column a feature.
    left_out
        Columns that are no features.
    bad, bad_labels
        Which rows, and the labels of which rows, cannot be used. They are among the rows still.
    """

    own: pa.Table
    features: pa.Table
    left_out: list[str]
    bad: BadRows
    bad_labels: BadRows


class Clock:
    """When rows and labels will be sent: in the order of their times, at a rate."""

    def __init__(self, now_ms: float, rate: float) -> None:
        self.now_ms, self.step_ms = now_ms, 1000 / rate if rate else 0.0

    def made_up(self, rows: int, label_delay_ms: int) -> Floats:
        """Return times for rows that have none: the last label is known when it is sent."""
        last_ms = self.now_ms + self.step_ms * rows - label_delay_ms
        ms: Floats = np.floor(last_ms - np.arange(rows - 1, -1, -1) * (self.step_ms or 1000.0))
        return ms

    def latest(self, due_ms: Floats, ts_ms: Floats) -> Floats:
        """Return the latest time that a worker takes of what is due between these rows."""
        rows_before = np.searchsorted(np.sort(ts_ms), due_ms)
        return np.asarray(self.now_ms + AHEAD_MS + self.step_ms * rows_before, np.float64)


def read_rows(table: pa.Table, columns: Columns, now_ms: float, rate: float) -> Rows:
    """Return the rows of a table; those that cannot be used are counted, and still among them."""
    rows = table.num_rows
    bad, bad_labels = BadRows(rows), BadRows(rows)
    clock = Clock(now_ms, rate)
    if columns.time is None:
        ts_ms = clock.made_up(rows, columns.label_delay_ms)
    else:
        ts_ms = read.times(table, columns.time, bad)
        bad.add(np.isnan(ts_ms), columns.time, "a time", [None] * rows)
        read.check_times(ts_ms, clock.latest(ts_ms, ts_ms), table, columns.time, bad)
    first_ms = 0 if np.isnan(ts_ms).all() else int(np.nanmin(ts_ms))
    prediction: Any = pa.nulls(rows)
    if columns.prediction is not None:
        prediction = read.predicted(table, columns.prediction, "a number as prediction", bad)
        bad.add(read.is_null(prediction), columns.prediction, "a prediction", [None] * rows)
    label: Any = pa.nulls(rows)
    due_ms = np.full(rows, np.nan)
    if columns.label is not None:
        label = read.predicted(table, columns.label, "a label as number, true or false", bad_labels)
        due_ms = _due(table, columns, ts_ms, ~read.is_null(label), clock, bad_labels)
    own = {
        "row": np.arange(rows),
        "id": read.ids(table, columns.id, first_ms, bad),
        "ts_ms": _whole(ts_ms),
        "prediction": prediction,
        "label": label,
        "due_ms": _whole(due_ms),
    }
    features, left_out = read.features(table, columns, bad)
    return Rows(pa.table(own), features, left_out, bad, bad_labels)


def _due(
    table: pa.Table, columns: Columns, ts_ms: Floats, known: Bools, clock: Clock, bad: BadRows
) -> Floats:
    """Return when each label is known, NaN where there is none."""
    if columns.label_time is None:
        due_ms = np.where(known, ts_ms + columns.label_delay_ms, np.nan)
        late = due_ms > clock.latest(due_ms, ts_ms)
        known_at = _whole(due_ms).cast(pa.timestamp("ms", "UTC"))
        told = "a label that is known by now, or a day later at most (see --label-delay)"
        bad.add(late, str(columns.label), told, known_at)
        return due_ms
    due_ms = read.times(table, columns.label_time, bad, pa.array(known))
    bad.add(np.isnan(due_ms) & known, columns.label_time, "the label's time", [None] * len(known))
    read.check_times(due_ms, clock.latest(due_ms, ts_ms), table, columns.label_time, bad)
    return due_ms


def _whole(values: Floats) -> Any:
    """Return whole numbers, null for NaN."""
    return pa.array(values, from_pandas=True).cast(pa.int64(), safe=False)
