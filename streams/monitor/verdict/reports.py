"""Window reports: what one closed window held and what was made of it."""

from collections.abc import Mapping
from typing import Literal, TypedDict, Unpack

import msgspec

from tidegauge.schemas.cloudevents import headers, stable_id
from tidegauge.schemas.outcomes import LabelCounts
from tidegauge.schemas.windows import (
    WINDOW_TYPE,
    ColumnReport,
    Comparison,
    Evaluation,
    OutcomeSlice,
    SliceGap,
    SliceReport,
    WeakSlice,
    WindowReport,
)
from tidegauge.streams.monitor.records import Output
from tidegauge.streams.monitor.series.watched import PROMISED_WINDOWS, PROVISIONAL_WINDOWS
from tidegauge.streams.monitor.verdict.monitor import Monitor
from tidegauge.streams.monitor.windows.bounds import Bounds

State = Literal["learning", "provisional", "watching"]


def state_of(monitor: Monitor) -> State:
    """Return how much a monitor's verdicts are worth yet."""
    windows = monitor.reference_windows
    if windows < PROMISED_WINDOWS:
        return "learning"
    return "provisional" if windows < PROVISIONAL_WINDOWS else "watching"


class Further(TypedDict, total=False):
    """What a report may say beside the figures of columns and series."""

    slices: list[SliceReport]
    outcome_slices: list[OutcomeSlice]
    gaps: list[SliceGap]
    weak_slices: list[WeakSlice]
    since_deployment: Evaluation
    adwin: dict[str, float]
    labels: LabelCounts | None
    comparison: Comparison | None


def window_report(
    monitor: Monitor,
    columns: Mapping[str, ColumnReport],
    window: Evaluation | None = None,
    bounds: Bounds | None = None,
    revised: int = 0,
    **further: Unpack[Further],
) -> Output:
    """Return the report of the window that closes; its id follows from monitor and window.

    Of outcomes ``window`` has its metrics. A report that is ``revised`` so many times by now is of
    a window that closed before, and says nothing of its series: what was told of them stands.
    """
    origin, bounds = monitor.origin, bounds or monitor.bounds
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
        ticked=bounds.ticked,
        early=bounds.early,
        observed=monitor.observed,
        columns=dict(columns),
        series={} if revised else monitor.series(),
        not_watched=monitor.not_watched(),
        **({} if window is None else msgspec.structs.asdict(window)),
        revised=revised,
        **further,
    )
    places = bounds.index, bounds.last_offset, *((revised,) if revised else ())
    head = headers(
        id=stable_id(origin.model, origin.version, origin.uri, *places),
        type=WINDOW_TYPE,
        source=origin.uri,
        subject=origin.model,
        time_ms=bounds.last_ts_ms,
    )
    return Output("windows", origin.model.encode(), msgspec.json.encode(report), head)
