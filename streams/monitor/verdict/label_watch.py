"""Tells when labels find no prediction, come more than once or are corrected, and what to do."""

import msgspec

from tidegauge.schemas.monitors import RetrainingSpec, WindowSpec
from tidegauge.schemas.outcomes import LabelCounts, LabelReport
from tidegauge.streams.monitor.records import Output
from tidegauge.streams.monitor.series.view import Known, Labels
from tidegauge.streams.monitor.verdict.incidents import Origin
from tidegauge.streams.monitor.verdict.monitor import Monitor, MonitorState
from tidegauge.streams.monitor.verdict.nil_cohort import BLOCK, FINE, FIRST, SECOND, NilCohort
from tidegauge.streams.monitor.words import cut, duration

SECONDS = (500, 2000)  # by such a factor times are apart of which one is in seconds


class LabelWatchState(msgspec.Struct):
    """What is remembered of one model's reports, for the snapshot."""

    counts: LabelCounts
    last_offset: int
    judged: LabelCounts
    monitor: MonitorState


class LabelWatch:
    """Judges the shares of one model's labels that find no prediction, or name an id again.

    And of those that correct an earlier one.

    A window is 100 labels or more of which it is known what became of them. All follows from the
    journal's reports.

    Parameters
    ----------
    model
        Whose labels these are, whatever the version.
    topic, partition
        Where the labels lie.
    """

    def __init__(self, model: str, topic: str, partition: int) -> None:
        self.model = model
        self.counts = LabelCounts()  # by the latest report
        self.last_offset = -1
        self._judged = LabelCounts()  # at the end of the last window
        origin = Origin(model, "", "labels", topic, partition, RetrainingSpec(), 0)
        self._fates, self._known = (NilCohort(model, topic, reads) for reads in (Labels, Known))
        cohorts = self._fates, self._known
        self.monitor = Monitor(origin, self._fates.spec, WindowSpec(rows=BLOCK), cohorts)

    def take(self, report: LabelReport) -> LabelCounts | None:
        """Return what a report adds; None for a second one of the same labels."""
        if report.last_offset <= self.last_offset:
            return None
        added, self.counts = difference(report.counts, self.counts), report.counts
        bounds = self.monitor.bounds
        bounds.last_offset = self.last_offset = report.last_offset
        bounds.last_ts_ms = report.timestamp_ms
        if not bounds.rows and not bounds.index:
            bounds.first_ts_ms = report.timestamp_ms
        return added

    def judge(self, report: LabelReport) -> list[Output]:
        """Return the alerts that a report gives rise to, once it is taken."""
        added, bounds = difference(self.counts, self._judged), self.monitor.bounds
        missed = added.unpaired + added.beyond_horizon
        bounds.rows = missed + added.paired + added.duplicate + added.corrected
        if bounds.rows < BLOCK:
            return []
        outputs: list[Output] = []
        wrong = missed + added.duplicate + added.corrected
        if wrong or self._fates.watch or self._known.watch:
            fates, known = self.monitor.window.parts
            fine = added.paired + added.corrected
            self._fates.count(fates, {FIRST: missed, SECOND: added.duplicate, FINE: fine})
            rest = bounds.rows - added.corrected
            self._known.count(known, {FIRST: added.corrected, FINE: rest})
            outputs = self.monitor.close({"unpaired": explain(report, added)})
        else:  # nothing to count, and nothing to judge it by
            self.monitor.window.bounds = bounds.following()
        if not self.monitor.incidents.open:
            self._fates.rest()
            self._known.rest()
        self._judged, bounds = self.counts, self.monitor.bounds
        bounds.first_offset, bounds.first_ts_ms = bounds.last_offset + 1, bounds.last_ts_ms
        return outputs

    def state(self) -> LabelWatchState:
        """Return what a snapshot needs."""
        return LabelWatchState(self.counts, self.last_offset, self._judged, self.monitor.state())

    def load(self, state: LabelWatchState) -> None:
        """Take back the state of the same model."""
        self.counts, self.last_offset = state.counts, state.last_offset
        self._judged = state.judged
        if len(state.monitor.cohorts) == 1:  # of an earlier version
            state.monitor.cohorts.append(self._known.state())
            state.monitor.window.parts.append(self._known.begin().state())
        self.monitor.load(state.monitor)


def difference(now: LabelCounts, before: LabelCounts) -> LabelCounts:
    """Return what was counted in between; a former owner may have counted otherwise, not less."""
    names = LabelCounts.__struct_fields__
    return LabelCounts(**{n: max(0, getattr(now, n) - getattr(before, n)) for n in names})


def explain(report: LabelReport, added: LabelCounts) -> list[str]:
    """Return why most of the labels found no prediction, and what to do about it."""
    model = cut(report.model)
    if added.beyond_horizon > added.unpaired:
        return _explain_times(report.label_ts_ms, report.prediction_ts_ms)
    if not report.predictions and added.other_key:
        return [
            f"their key is {cut(repr(report.key))}, say, while predictions are keyed by the model, "
            "and this partition has none of it",
            f"Send the labels of {model} with the key {model}: a label meets its prediction only "
            "in the same partition.",
        ]
    if not report.predictions:
        return [
            "this partition has no prediction of the model",
            f"Send predictions and labels of {model} with the same key, from clients that map keys "
            "to partitions alike.",
        ]
    return [
        f"no prediction has an id such as {cut(repr(report.id))}",
        f"Send with each label of {model} the id that its prediction had.",
    ]


def _explain_times(label_ms: int, prediction_ms: int) -> list[str]:
    side = "before" if label_ms < prediction_ms else "after"
    apart = f"their ts_ms lies {duration(abs(label_ms - prediction_ms))} {side} the predictions'"
    low, high = SECONDS
    for whose, small, large in (
        ("labels", label_ms, prediction_ms),
        ("predictions", prediction_ms, label_ms),
    ):
        if low * small < large < high * small:
            return [
                f"{apart}: it looks like seconds where milliseconds are expected",
                f"Send ts_ms of {whose} in milliseconds since 1970, and these {whose} again.",
            ]
    return [
        f"{apart}, beyond the horizon",
        "Check both clocks; if labels may take that long, raise labels.horizon in the spec.",
    ]
