"""Predictions that come twice, and those that have no label though it is time."""

import json
from typing import Any

import msgspec
import numpy as np
import pytest

from tidegauge.streams.monitor.offline import OfflineLog
from tidegauge.streams.monitor.verdict.prediction_watch import (
    PredictionWatch,
    PredictionWatchState,
)

MINUTE_MS = 60_000
ROWS = 500  # a minute, and a frame
WHOLE = 45  # minutes by which both shares are learned


class Stream:
    """A model of which a part of the predictions gets labels, minutes later."""

    def __init__(self, labelled: float = 1.0, again: float = 0.0, seed: int = 3) -> None:
        self.log, self.rng, self.minute = OfflineLog(), np.random.default_rng(seed), 0
        self.labelled, self.again = labelled, again
        self.due: dict[int, list[tuple[str, float]]] = {}

    def send(self, minutes: int, labels: bool = True) -> "Stream":
        """Send so many minutes of predictions, and of the labels that are due."""
        for _ in range(minutes):
            self._send_one(labels)
            self.minute += 1
        return self

    def _send_one(self, labels: bool) -> None:
        ids = [f"{self.minute}-{row}" for row in range(ROWS)]
        ids = [
            f"{self.minute - 1}-{row}" if twice else ids[row]
            for row, twice in enumerate(self.rng.random(ROWS) < self.again)
        ]
        scores = self.rng.random(ROWS)
        truth = (self.rng.random(ROWS) < scores).astype(float).tolist()
        at = self.minute * MINUTE_MS
        self._append("predictions", at, ids, features={"x": scores.tolist()}, predictions=scores)
        late = self.rng.integers(1, 4, ROWS).tolist()
        for id_, label, after, has in zip(
            ids, truth, late, (self.rng.random(ROWS) < self.labelled).tolist(), strict=True
        ):
            if has and self.is_sent(label):
                self.due.setdefault(self.minute + after, []).append((id_, label))
        due = self.due.pop(self.minute, [])
        if labels and due:
            names, values = zip(*due, strict=True)
            self._append("labels", at, list(names), labels=np.array(values))

    def is_sent(self, label: float) -> bool:
        """Return whether a label of this value is sent at all."""
        return True

    def _append(self, source: Any, at: int, ids: list[str], **columns: Any) -> None:
        head = {"model": "m", "ids": ids, "ts_ms": [at + n for n in range(len(ids))]}
        body = json.dumps(head | columns, default=lambda values: values.tolist())
        self.log.append(source, b"m", body.encode(), timestamp=1 << 41)

    def told(self) -> list[dict[str, Any]]:
        """Return the alarms that were told."""
        bodies = [json.loads(o.value or b"") for o in self.log.outputs if o.topic == "alerts"]
        return [
            own | {"title": body["title"], "advice": body["advice"], "since_ms": body["since_ms"]}
            for body in bodies
            if body["revision"] == 1
            for own in body["series"]
            if own["statistic"] in ("unlabelled", "resent")
        ]

    @property
    def watch(self) -> PredictionWatch:
        """What watches the predictions."""
        return self.log.partition.outcomes.prediction_watch(("m", ""))


def test_half_of_the_labels_lost_is_told_with_the_share_and_since_when() -> None:
    stream = Stream().send(WHOLE + 20)
    assert stream.told() == []
    stream.labelled = 0.5
    stream.send(20)
    (told,) = stream.told()
    assert (told["statistic"], told["direction"]) == ("unlabelled", "up")
    assert "of the predictions have no label when it is time (reference " in told["title"]
    assert told["value"]["current"] == pytest.approx(0.5, abs=0.1)
    assert told["since_ms"] == pytest.approx((WHOLE + 20) * MINUTE_MS, abs=MINUTE_MS)
    assert told["advice"].startswith("Look at what sends the labels: they are lost, or late")


def test_labels_that_stop_are_told_while_predictions_go_on() -> None:
    stream = Stream().send(WHOLE + 20).send(20, labels=False)
    (told,) = stream.told()
    assert (told["statistic"], told["direction"]) == ("unlabelled", "up")
    assert told["value"]["current"] > 0.3, "some came before"


def test_labels_that_are_not_read_yet_are_not_missing() -> None:
    stream = Stream().send(WHOLE + 20)
    stream.log.partition.labels_are_read(False)
    stream.send(20, labels=False)
    assert stream.told() == []


def test_labels_of_one_class_that_are_late_are_told() -> None:
    class Late(Stream):
        def is_sent(self, label: float) -> bool:
            return self.minute < WHOLE + 20 or label == 0

    (told,) = Late().send(WHOLE + 50).told()
    assert (told["statistic"], told["direction"]) == ("unlabelled", "up")
    assert told["value"]["current"] == pytest.approx(0.5, abs=0.1)


@pytest.mark.parametrize("labelled", [0.03, 0.5, 1.0])
def test_predictions_of_which_only_some_ever_get_labels_are_quiet(labelled: float) -> None:
    assert Stream(labelled, seed=8).send(WHOLE + 150).told() == []


def test_predictions_that_come_twice_are_told_and_a_few_as_ever_are_not() -> None:
    stream = Stream(labelled=0.0, again=0.02).send(WHOLE + 60)
    assert stream.told() == []
    stream.again = 0.15
    stream.send(10)
    (told,) = stream.told()
    assert (told["statistic"], told["direction"]) == ("resent", "up")
    assert "of the predictions have an id that came before (reference 2" in told["title"]
    assert "sends predictions twice" in told["advice"]


def test_a_snapshot_goes_on_where_it_was() -> None:
    whole, cut = Stream(0.8, 0.01), Stream(0.8, 0.01)
    whole.send(WHOLE + 7)
    cut.send(WHOLE + 7)
    state = msgspec.msgpack.encode(cut.watch.state())
    watch = PredictionWatch("m", "", "predictions", 0)
    watch.load(msgspec.msgpack.decode(state, type=PredictionWatchState))
    assert msgspec.msgpack.encode(watch.state()) == state
    cut.log.partition.outcomes.prediction_watches["m", ""] = watch
    whole.labelled = cut.labelled = 0.4
    assert whole.send(20).told() == cut.send(20).told() != []
