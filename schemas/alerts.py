"""Alerts: one incident, told when it starts, when it goes on, when it is resolved.

Topic ``alerts``, key: model, CloudEvents 1.0 in binary mode, type ``io.tidegauge.alert.v1``.
"""

from typing import Annotated, Literal

import msgspec

from tidegauge.schemas.events import Count, Millis, Version

Kind = Literal["drift", "performance", "quality"]
Severity = Literal["warning", "critical"]

ALERT_TYPE = "io.tidegauge.alert.v1"


class Figure(msgspec.Struct, frozen=True, kw_only=True):
    """What a quantity was in the reference and is now."""

    reference: float | None
    current: float | None


class SeriesAlarm(msgspec.Struct, frozen=True, kw_only=True):
    """One watched statistic that moved, and by how much."""

    series: str  # "rank(temp)", "missing(temp)", "loss"
    feature: str  # "temp", "score", "loss"
    statistic: str  # rank, missing, loss, ...: see docs/messages.md
    detector: str  # mixture, adwin, page_hinkley, blatant, …: see docs/messages.md
    direction: Literal["up", "down"]
    effect: float  # in standard deviations of reference rows, signed
    gate: float  # the least effect that is told
    value: Figure  # of what people know: the mean, the share
    since_ms: Millis  # event time of the estimated change
    told_ms: Millis  # event time at which it was told
    evidence: float | None = None  # log E of the mixture e-detector
    threshold: float | None = None  # what log E had to exceed
    resolved_ms: Millis | None = None
    level_ms: Millis | None = None  # start of the level it is compared with; None: the reference
    is_return: bool = False  # now it is nearer to the reference than to that level
    settled_ms: Millis | None = None  # start of the level it has kept: it is over as a new normal
    slice: str = ""  # of which rows alone, as "country = DE"; empty: of all
    task: str = ""  # of loss and error: classification or regression
    examples: list[str] = []  # unseen categories, the main reason of rejections, why labels miss


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """The records behind it: ``topic[partition]``, first to last offset."""

    topic: str
    partition: Count
    first_offset: Count
    last_offset: Count
    windows: Count  # how many closed windows since the estimated change
    rows: Count  # rows in the window that decided


class Alert(msgspec.Struct, frozen=True, kw_only=True):
    """Body of an alert. All messages of one incident share ``incident``."""

    incident: Annotated[str, msgspec.Meta(max_length=64)]
    revision: Count  # 1, 2, … within the incident
    status: Literal["firing", "ongoing", "resolved"]
    kind: Kind
    severity: Severity
    provisional: bool  # the reference has fewer than 90 windows: see docs
    model: Annotated[str, msgspec.Meta(max_length=200)]
    version: Version
    title: str  # one sentence for people
    advice: str  # what to do
    since_ms: Millis
    told_ms: Millis
    resolved_ms: Millis | None = None
    labelled_ms: Millis | None = None  # nine in ten predictions before have labels; of outcomes
    cause: str = ""  # that it looks like: unit, stuck, lost, ...: see docs/messages.md
    series: list[SeriesAlarm]  # largest effect first, 50 at most
    more_series: Count = 0  # that moved as well and are not listed
    context: dict[str, Figure] = {}  # figures that help, such as the mean label and the mean score
    evidence: Evidence
    reference_windows: Count
    cooldown_ms: Count | None = None  # set where the model's policy wants retraining for this
    shortened: bool = False  # whether it was too large, and is without series and context
