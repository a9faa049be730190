"""Window reports: what one closed window held and what was made of it."""

from collections.abc import Mapping, Sequence
from math import isnan
from typing import Literal

import msgspec
import numpy as np

from tidegauge.detectors.statistics.columns import ColumnStatistics
from tidegauge.schemas.cloudevents import headers, stable_id
from tidegauge.schemas.outcomes import LabelCounts
from tidegauge.schemas.windows import WINDOW_TYPE, ColumnReport, WindowReport
from tidegauge.streams.monitor.records import Output
from tidegauge.streams.monitor.series.series import PROMISED_WINDOWS, PROVISIONAL_WINDOWS
from tidegauge.streams.monitor.verdict.incidents import Origin
from tidegauge.streams.monitor.verdict.judge import Judge
from tidegauge.streams.monitor.windows.window import Window

State = Literal["learning", "provisional", "watching"]


def column_reports(names: Sequence[str], statistics: ColumnStatistics) -> dict[str, ColumnReport]:
    """Return the figures of each number in the window."""
    s = statistics
    table = np.stack([s.count, s.missing, s.mean, s.sd, s.low, s.high]).T.tolist()
    return {
        name: ColumnReport(
            count=int(count),
            missing=int(missing),
            **{
                field: None if isnan(value) else value
                for field, value in zip(("mean", "sd", "low", "high"), figures, strict=True)
            },
        )
        for name, (count, missing, *figures) in zip(names, table, strict=True)
    }


def state_of(judge: Judge | None) -> State:
    """Return how much a monitor's verdicts are worth yet."""
    windows = judge.reference_windows if judge is not None else 0
    if windows < PROMISED_WINDOWS:
        return "learning"
    return "provisional" if windows < PROVISIONAL_WINDOWS else "watching"


def window_report(
    origin: Origin,
    window: Window,
    observed: int,
    columns: Mapping[str, ColumnReport],
    judge: Judge | None,
    metrics: Mapping[str, float | None] | None = None,
    adwin: Mapping[str, float] | None = None,
    labels: LabelCounts | None = None,
) -> Output:
    """Return the report of a closed window; its id follows from the monitor and the window."""
    assert origin.source != "labels"  # their windows are those of outcomes
    report = WindowReport(
        model=origin.model,
        version=origin.version,
        source=origin.source,
        window=window.index,
        state=state_of(judge),
        first_ts_ms=window.first_ts_ms,
        last_ts_ms=window.last_ts_ms,
        first_offset=window.first_offset,
        last_offset=window.last_offset,
        rows=window.rows,
        late=window.late,
        early=window.early,
        observed=observed,
        columns=dict(columns),
        series=judge.report() if judge is not None else {},
        metrics=dict(metrics or {}),
        adwin=dict(adwin or {}),
        labels=labels,
    )
    source = f"/tidegauge/{origin.source}/{origin.partition}"
    head = headers(
        id=stable_id(origin.model, origin.version, source, window.index, window.last_offset),
        type=WINDOW_TYPE,
        source=source,
        subject=origin.model,
        time_ms=window.last_ts_ms,
    )
    return Output("windows", origin.model.encode(), msgspec.json.encode(report), head)
