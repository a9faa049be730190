"""Window reports: what one closed window held and what was made of it."""

from collections.abc import Mapping, Sequence
from typing import Literal

import msgspec

from tidegauge.schemas.cloudevents import headers, stable_id
from tidegauge.schemas.outcomes import LabelCounts
from tidegauge.schemas.windows import (
    WINDOW_TYPE,
    ColumnReport,
    Evaluation,
    SliceReport,
    WindowReport,
)
from tidegauge.streams.monitor.records import Output
from tidegauge.streams.monitor.series.watched import PROMISED_WINDOWS, PROVISIONAL_WINDOWS
from tidegauge.streams.monitor.verdict.monitor import Monitor

State = Literal["learning", "provisional", "watching"]


def state_of(monitor: Monitor) -> State:
    """Return how much a monitor's verdicts are worth yet."""
    windows = monitor.reference_windows
    if windows < PROMISED_WINDOWS:
        return "learning"
    return "provisional" if windows < PROVISIONAL_WINDOWS else "watching"


def window_report(
    monitor: Monitor,
    columns: Mapping[str, ColumnReport],
    window: Evaluation | None = None,
    since_deployment: Evaluation | None = None,
    adwin: Mapping[str, float] | None = None,
    labels: LabelCounts | None = None,
    slices: Sequence[SliceReport] = (),
) -> Output:
    """Return the report of the window that closes; its id follows from monitor and window.

    Of outcomes ``window`` has its metrics.
    """
    origin, bounds = monitor.origin, monitor.bounds
    assert origin.source != "labels"  # their windows are those of outcomes
    report = WindowReport(
        model=origin.model,
        version=origin.version,
        source=origin.source,
        window=bounds.index,
        state=state_of(monitor),
        gathered=monitor.gathered,
        needed=monitor.needed,
        first_ts_ms=bounds.first_ts_ms,
        last_ts_ms=bounds.last_ts_ms,
        first_offset=bounds.first_offset,
        last_offset=bounds.last_offset,
        rows=bounds.rows,
        late=bounds.late,
        early=bounds.early,
        observed=monitor.observed,
        columns=dict(columns),
        series=monitor.series(),
        slices=list(slices),
        not_watched=monitor.not_watched(),
        **({} if window is None else msgspec.structs.asdict(window)),
        since_deployment=since_deployment,
        adwin=dict(adwin or {}),
        labels=labels,
    )
    head = headers(
        id=stable_id(origin.model, origin.version, origin.uri, bounds.index, bounds.last_offset),
        type=WINDOW_TYPE,
        source=origin.uri,
        subject=origin.model,
        time_ms=bounds.last_ts_ms,
    )
    return Output("windows", origin.model.encode(), msgspec.json.encode(report), head)
