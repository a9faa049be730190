"""The monitors that follow from one partition's journal: of outcomes, and of labels."""

from collections.abc import Mapping

from tidegauge.schemas.outcomes import (
    Corrections,
    LabelReport,
    Outcomes,
    PredictionReport,
)
from tidegauge.streams.monitor.control.control import Control, control
from tidegauge.streams.monitor.intake.messages import Key
from tidegauge.streams.monitor.join.join import MAX_STORES
from tidegauge.streams.monitor.records import Output, Source
from tidegauge.streams.monitor.verdict.comparison import VersionComparison
from tidegauge.streams.monitor.verdict.incidents import Origin
from tidegauge.streams.monitor.verdict.label_watch import LabelWatch
from tidegauge.streams.monitor.verdict.outcome_monitor import OutcomeMonitor
from tidegauge.streams.monitor.verdict.prediction_watch import PredictionWatch


class OutcomeMonitors:
    """Folds pairs into the monitor of their model version, reports of labels into their model's.

    Parameters
    ----------
    topics
        Whose offsets do not depend on who owned what.
    partition, partitions
        Which of how many.
    spread
        Whether a model version's rows lie in several partitions.
    """

    def __init__(
        self,
        topics: Mapping[Source, str],
        partition: int,
        partitions: int,
        spread: Mapping[Key, bool],
    ) -> None:
        self._predictions = topics["predictions"]
        self.topic, self.partition, self.partitions = topics["labels"], partition, partitions
        self.controls: dict[Key, Control] = {}
        self.monitors: dict[Key, OutcomeMonitor] = {}
        self.label_watches: dict[str, LabelWatch] = {}  # by model
        self.prediction_watches: dict[Key, PredictionWatch] = {}
        self.comparisons: dict[str, VersionComparison] = {}  # by model
        self.moved: set[Key] = set()  # what has changed of since the last snapshot
        self._spread = spread

    def fold(self, pairs: Outcomes) -> list[Output]:
        """Fold pairs of one model version."""
        key = pairs.model, pairs.version
        self.moved.add(key)
        self.prediction_watch(key).take_pairs(pairs)
        monitor = self.monitor(key)
        self._compare(pairs, monitor)
        return monitor.fold_pairs(pairs)

    def _compare(self, pairs: Outcomes, monitor: OutcomeMonitor) -> None:
        """Let pairs take part in the comparison of versions, if the spec asks for one."""
        compared, model = monitor.spec.compare, pairs.model
        if compared is None:
            self.comparisons.pop(model, None)
            return
        held = self.comparisons.get(model)
        if held is None or held.spec != compared:
            held = self.comparisons[model] = VersionComparison(compared)
        self.moved.add((model, ""))
        held.take(pairs, monitor.spec)
        monitor.comparison = held if pairs.version == compared.challenger else None

    def fold_report(self, report: Corrections | LabelReport | PredictionReport) -> list[Output]:
        """Fold what became of a model's labels, or how many predictions a version has.

        Windows whose labels were corrected are reported anew with what became of the next labels.
        """
        if isinstance(report, Corrections):
            for key in (key for key in self.monitors if key[0] == report.model):
                self.moved.add(key)
                self.monitors[key].correct(report)
            return []
        if isinstance(report, PredictionReport):
            key = report.model, report.version
            self.moved.add(key)
            return self.prediction_watch(key).take(report)
        model = report.model
        watch = self.label_watch(model)
        added = watch.take(report)
        if added is None:
            return []
        self.moved.add((model, ""))
        if model in self.comparisons:
            self.comparisons[model].settle()
        for key, monitor in self.monitors.items():
            if key[0] == model:
                monitor.count(added)
                self.moved.add(key)
        outputs = watch.judge(report)
        for key in sorted(key for key in self.monitors if key[0] == model):
            outputs += self.monitors[key].revised()
        for key in sorted(key for key in self.prediction_watches if key[0] == model):
            self.moved.add(key)
            outputs += self.prediction_watches[key].take_labels(report)
        return outputs

    def prediction_watch(self, key: Key) -> PredictionWatch:
        """Return what watches a model version's predictions."""
        if key not in self.prediction_watches:
            watch = PredictionWatch(*key, self._predictions, self.partition)
            self.prediction_watches[key] = watch
        return self.prediction_watches[key]

    def watch(self, key: Key, new: Control) -> list[Output]:
        """Watch a model version by a new control; what was open under the old one is closed."""
        self.moved.add(key)
        adopted = new.adopts(self.controls.get(key))
        self.controls[key] = new
        if adopted is not None:
            if key in self.monitors:
                self.monitors[key].adopt(adopted)
            return []
        old = self.monitors.pop(key, None)
        if old is None:
            return []
        self.monitor(key).inherit(old)
        return old.supersede()

    def monitor(self, key: Key) -> OutcomeMonitor:
        """Return the monitor of a model version, a new one where there was none."""
        if key not in self.monitors:
            found = self.controls.get(key) or control(key[0], None, None)
            policy = found.spec.retraining
            origin = Origin(*key, "outcomes", self.topic, self.partition, policy, 0)
            share = 1 / self.partitions if self._spread.get(key) else 1.0
            self.monitors[key] = OutcomeMonitor(origin, found, share)
        return self.monitors[key]

    def label_watch(self, model: str) -> LabelWatch:
        """Return what watches a model's labels; beyond the bound the quietest is forgotten."""
        watches = self.label_watches
        if model not in watches:
            if len(watches) >= MAX_STORES:
                quietest = min(watches, key=lambda name: (watches[name].last_offset, name))
                del watches[quietest]
                self.moved.add((quietest, ""))
            watches[model] = LabelWatch(model, self.topic, self.partition)
        return watches[model]
