"""Predictions and labels that are classes, from records to reports."""

import json
import random
from collections.abc import Sequence
from typing import Any, get_args

import numpy as np
import orjson
import pytest
from numpy.typing import NDArray
from sklearn import metrics as sklearn

from tests.streams.monitor.crashes import PLACES, Broker, CrashError, Place, Worker, script
from tests.streams.monitor.driver import Driver, assert_equal, by_monitor, comparable, published
from tests.streams.monitor.logs import NOON_MS, Logs, frame, row
from tidegauge.arrow_frames import dumps
from tidegauge.frames import clean, encode
from tidegauge.schemas.events import MAX_CLASSES
from tidegauge.schemas.monitors import Metric, MonitorSpec, ReferenceSpec, WindowSpec
from tidegauge.schemas.outcomes import PredictionReport
from tidegauge.streams.monitor.intake.classes import OTHERS, Classes, Said
from tidegauge.streams.monitor.intake.texts import Texts
from tidegauge.streams.monitor.join.arrivals import Arrivals
from tidegauge.streams.monitor.join.join import Join
from tidegauge.streams.monitor.lookup import Lookup
from tidegauge.streams.monitor.offline import LoggedRecord, OfflineLog, learn_reference
from tidegauge.streams.monitor.records import Source
from tidegauge.streams.monitor.windows.metrics import OF_TASK
from tidegauge.transport import headers

NAMES = ("cat", "dog", "emu")
SPEC = MonitorSpec(
    model="m",
    windows=WindowSpec(rows=50),
    reference=ReferenceSpec(windows=40),
    metrics=[name for name in get_args(Metric) if name in OF_TASK["multiclass"]],
)
Floats = NDArray[np.float64]


class Animals:
    """Rows of three classes, with the probabilities that the model says."""

    def __init__(self, rows: int, seed: int = 1, sharp: float = 4.0) -> None:
        rng = np.random.default_rng(seed)
        self.true = rng.choice(3, rows, p=[0.6, 0.3, 0.1])
        raw = rng.gumbel(size=(rows, 3)) + sharp * np.eye(3)[self.true] * rng.random((rows, 1))
        odds = np.round(np.exp(raw) / np.exp(raw).sum(axis=1, keepdims=True), 6)
        self.probabilities = odds / odds.sum(axis=1, keepdims=True)
        self.classes = self.probabilities.argmax(axis=1)

    def said(self, at: int) -> dict[str, float]:
        return dict(zip(NAMES, self.probabilities[at].tolist(), strict=True))


def label(id_: str, ts_ms: int, value: Any) -> bytes:
    return json.dumps({"model": "m", "id": id_, "ts_ms": ts_ms, "label": value}).encode()


def prediction(at: int, value: Any) -> bytes:
    return row("m", f"r{at}", 1000 * at, {"x": float(at % 7)}, value)


def sent(
    predictions: Sequence[Any],
    labels: Sequence[Any],
    spec: MonitorSpec = SPEC,
    frames: bool = False,
) -> OfflineLog:
    """Return the log of predictions, and of labels 500 s later; of each second hundred before."""
    log = OfflineLog(Lookup([spec]))
    rows = [prediction(at, value) for at, value in enumerate(predictions)]
    told = [label(f"r{at}", 1000 * (at + 500), value) for at, value in enumerate(labels)]
    for start in range(0, len(rows), 100):
        part = slice(start, start + 100)
        by_source: tuple[tuple[Source, list[bytes]], ...] = (
            ("predictions", rows[part]),
            ("labels", told[part]),
        )
        for source, values in by_source if start % 200 else reversed(by_source):
            for value in [frame(values)] if frames else values:
                log.append(source, b"m", value, timestamp=1 << 41)
    return log


def reports(log: OfflineLog, source: str = "outcomes") -> list[dict[str, Any]]:
    bodies = [json.loads(o.value or b"") for o in log.outputs if o.topic == "windows"]
    return [body for body in bodies if body["source"] == source]


def rejected(log: OfflineLog) -> list[bytes | None]:
    return [
        value
        for o in log.outputs
        if o.topic == "rejected"
        for name, value in o.headers
        if name.endswith("exception.message")
    ]


def of_sklearn(true: Any, classes: Any, probabilities: Floats | None = None) -> dict[str, float]:
    found: dict[str, float] = {
        "accuracy": sklearn.accuracy_score(true, classes),
        "balanced_accuracy": sklearn.balanced_accuracy_score(true, classes),
        "mcc": sklearn.matthews_corrcoef(true, classes),
        "kappa": sklearn.cohen_kappa_score(true, classes),
    }
    for name in ("precision", "recall", "f1"):
        metric = getattr(sklearn, f"{name}_score")
        for average in ("macro", "micro", "weighted"):
            found[f"{name}_{average}"] = metric(true, classes, average=average)
    if probabilities is not None:
        found["log_loss"] = sklearn.log_loss(true, probabilities)
        found["brier"] = sklearn.brier_score_loss(true, probabilities)
        for average in ("macro", "weighted"):
            found[f"roc_auc_{average}"] = sklearn.roc_auc_score(
                true, probabilities, multi_class="ovr", average=average
            )
    return found


def check(told: dict[str, Any], expected: dict[str, float], rows: int) -> None:
    for name, value in expected.items():
        near = 0.002 if name.startswith("roc_auc") else 1e-9  # probabilities may be tied
        assert told["metrics"][name] == pytest.approx(value, abs=near), name
        low, high = told["intervals"][name]
        assert low <= value <= high, name
    assert (told["rests_on"]["pairs"], told["rests_on"]["left_out"]) == (rows, 0)


@pytest.mark.parametrize("frames", [False, True])
@pytest.mark.parametrize("with_probabilities", [False, True])
def test_metrics_of_classes_equal_scikit_learn(frames: bool, with_probabilities: bool) -> None:
    own = Animals(1000)
    predictions = [
        own.said(n) if with_probabilities else NAMES[own.classes[n]] for n in range(1000)
    ]
    log = sent(predictions, [NAMES[n] for n in own.true], frames=frames)
    assert rejected(log) == []
    found = reports(log)
    assert len(found) == 20
    said = own.probabilities if with_probabilities else None
    deployed = found[-1]["since_deployment"]
    check(deployed, of_sklearn(own.true, own.classes, said), 1000)
    assert (deployed["metrics"]["log_loss"] is None) == (not with_probabilities)
    last = slice(950, None)
    check(found[-1], of_sklearn(own.true[last], own.classes[last]), 50)
    assert deployed["rests_on"]["delay_ms"] == pytest.approx(500_000, rel=0.05)


def test_a_class_that_was_not_named_has_no_probability() -> None:
    log = sent([{"cat": 0.9}, {"dog": 1.0}] * 100, ["cat", "emu"] * 100)
    told = reports(log)[-1]
    expected = -(np.log(0.9) + np.log(1e-15)) / 2
    assert told["metrics"]["log_loss"] == pytest.approx(expected)
    assert told["metrics"]["accuracy"] == 0.5


def test_the_calibration_of_classes_is_that_of_the_predicted_one() -> None:
    own = Animals(1000)
    log = sent([own.said(n) for n in range(1000)], [NAMES[n] for n in own.true])
    told = reports(log)[-1]["since_deployment"]
    confidence, right = own.probabilities.max(axis=1), own.classes == own.true
    bins = np.minimum((10 * confidence).astype(int), 9)
    gaps = [right[bins == n].sum() - confidence[bins == n].sum() for n in range(10)]
    assert told["metrics"]["ece"] == pytest.approx(np.abs(gaps).sum() / 1000, abs=1e-9)
    assert sum(one["rows"] for one in told["reliability"]) == 1000


@pytest.mark.parametrize("turned", [False, True])
def test_a_class_is_the_same_as_text_and_as_a_number(turned: bool) -> None:
    own = Animals(500)
    as_text = [str(n) for n in own.classes]
    labels: list[Any] = own.true.tolist()
    if turned:
        probabilities = [
            {str(k): v for k, v in enumerate(own.probabilities[n])} for n in range(500)
        ]
        log = sent(json.loads(json.dumps(probabilities)), labels)
    else:
        log = sent(as_text, labels)
    said = own.probabilities if turned else None
    check(reports(log)[-1]["since_deployment"], of_sklearn(own.true, own.classes, said), 500)


def test_numbers_are_classes_where_the_task_says_so() -> None:
    own = Animals(500)
    spec = MonitorSpec(
        **{f: getattr(SPEC, f) for f in SPEC.__struct_fields__} | {"task": "multiclass"}
    )
    log = sent(own.classes.tolist(), own.true.tolist(), spec)
    check(reports(log)[-1]["since_deployment"], of_sklearn(own.true, own.classes), 500)


@pytest.mark.parametrize("how", ["scores", "classes", "probabilities"])
def test_labels_as_text_may_name_a_positive_one(how: str) -> None:
    rng = np.random.default_rng(2)
    scores = np.round(rng.random(500), 3)
    true = rng.random(500) < scores
    predictions = {
        "scores": scores.tolist(),
        "classes": ["bad" if s >= 0.5 else "good" for s in scores],
        "probabilities": [{"good": 1 - s, "bad": s} for s in scores.tolist()],
    }[how]
    spec = MonitorSpec(
        model="m",
        windows=WindowSpec(rows=50),
        positive="bad",
        metrics=["f1", "accuracy", "log_loss"],
    )
    log = sent(predictions, ["bad" if one else "good" for one in true], spec)
    told = reports(log)[-1]["since_deployment"]
    assert told["metrics"]["f1"] == pytest.approx(sklearn.f1_score(true, scores >= 0.5))
    assert told["rests_on"]["left_out"] == 0
    if how != "classes":
        assert told["metrics"]["log_loss"] == pytest.approx(sklearn.log_loss(true, scores))


def test_pairs_of_a_number_and_text_are_counted_as_left_out() -> None:
    rng = np.random.default_rng(2)
    scores = np.round(rng.random(500), 3).tolist()
    labels: list[Any] = [float(rng.random() < s) for s in scores]
    labels[::10] = ["?"] * 50
    told = reports(sent(scores, labels, MonitorSpec(model="m", windows=WindowSpec(rows=50))))[-1]
    assert told["since_deployment"]["rests_on"]["left_out"] == 50
    assert set(told["metrics"]) == {"accuracy", "f1", "precision", "recall", "roc_auc", "log_loss"}


def test_beyond_the_bound_classes_are_one_and_counted_as_left_out() -> None:
    classes = Classes()
    codes = classes.enter([f"c{n}" for n in range(MAX_CLASSES + 5)])
    assert len(classes) == MAX_CLASSES
    assert len(set(codes[-6:].tolist())) == 1
    assert [*classes][codes[-1]] == OTHERS
    assert classes.enter(["c3", "new"]).tolist() == [codes[3], codes[-1]]
    texts = [f"c{n}" for n in range(MAX_CLASSES + 100)]
    told = reports(sent(texts, texts))[-1]["since_deployment"]
    assert told["rests_on"]["left_out"] == 101
    assert told["metrics"]["accuracy"] == 1


def test_a_version_keeps_to_numbers_or_classes() -> None:
    log = sent(["cat"] * 150 + [0.5, {"cat": 0.5}, {"cat": 1.5}, {}, ""], [])
    assert [str(reason).count("prediction") for reason in rejected(log)] == [1, 1, 1, 1]
    log = sent([0.5] * 150 + ["cat", {"cat": 0.5}], [])
    assert len(rejected(log)) == 2


def test_a_new_predicted_class_is_told() -> None:
    own = Animals(3000)
    predictions = [NAMES[n] for n in own.classes]
    predictions[2500:] = ["yak" if n % 5 == 0 else p for n, p in enumerate(predictions[2500:])]
    log = sent(predictions, [])
    assert reports(log, "predictions")[-1]["columns"]["score"]["unseen"] > 5
    alerts = [json.loads(o.value or b"") for o in log.outputs if o.topic == "alerts"]
    assert any("yak" in json.dumps(alert) for alert in alerts)


@pytest.mark.parametrize("with_probabilities", [False, True])
def test_a_model_that_becomes_wrong_is_told(with_probabilities: bool) -> None:
    good, bad = Animals(2500, 1, 8.0), Animals(1000, 2, 0.5)
    predictions: list[Any] = [NAMES[n] for own in (good, bad) for n in own.classes]
    if with_probabilities:
        predictions = [own.said(n) for own in (good, bad) for n in range(len(own.true))]
    log = sent(predictions, [NAMES[n] for own in (good, bad) for n in own.true])
    alerts = [json.loads(o.value or b"") for o in log.outputs if o.topic == "alerts"]
    fired = [alert for alert in alerts if alert["kind"] == "performance"]
    assert fired
    assert {s["series"] for alert in fired for s in alert["series"]} >= {"loss", "error"}
    assert any("of predicted classes are wrong" in json.dumps(alert) for alert in fired)


def test_a_reference_of_classes_can_be_published() -> None:
    own = Animals(2500)
    rows: list[tuple[Any, bytes]] = []
    for at in range(2500):
        rows.append(("predictions", prediction(at, NAMES[own.classes[at]])))
        rows.append(("labels", label(f"r{at}", 1000 * at, NAMES[own.true[at]])))
    reference = learn_reference(SPEC, "", rows)
    assert reference.task == "multiclass"
    assert reference.categorical["score"].shares["cat"] == pytest.approx(0.55, abs=0.1)
    log = OfflineLog(Lookup([SPEC, reference]))
    for source, value in rows[:400]:
        log.append(source, b"m", value, timestamp=1 << 41)
    assert rejected(log) == []
    assert {w["state"] for w in reports(log)} == {"provisional"}


def logs(rows: int = 600) -> Logs:
    """Return logs of rows and frames of two versions, one of them with probabilities."""
    own, found, chance = Animals(rows), Logs(), random.Random(1)
    for start in range(0, rows, 100):
        labels = [
            label(f"r{n}", NOON_MS + n, NAMES[own.true[n]] if n % 9 else "emu")
            for n in range(start, start + 100)
        ]
        for version in ("1", "2"):
            values = [
                row(
                    "m", f"r{n}", NOON_MS + n, {"x": 1.0},
                    own.said(n) if version == "2" else NAMES[own.classes[n]], version,
                )
                for n in range(start, start + 100)
            ]  # fmt: skip
            while values:
                size = chance.choice((1, 1, 5))
                piece, values = values[:size], values[size:]
                found.add("predictions", frame(piece) if size > 1 else piece[0], b"m")
        for value in labels:
            found.add("labels", value, b"m")
        found.run(*(("labels", "predictions") if start == 300 else ("predictions", "labels")))
    return found


@pytest.mark.parametrize("cuts", [[0], [0, 7, 13, 31], list(range(50))])
def test_cuts_of_batches_change_no_bit(cuts: list[int]) -> None:
    specs = {"m": SPEC}
    whole, parts = Driver(specs, as_objects=True).run(logs()), Driver(specs).run(logs(), cuts)
    assert_equal(by_monitor(parts.outputs), by_monitor(whole.outputs))
    assert comparable(parts.partition.snapshot()) == comparable(whole.partition.snapshot())


@pytest.mark.parametrize("seed", range(6))
def test_a_crash_changes_no_pair_and_no_window(seed: int) -> None:
    found, chance = logs(), random.Random(seed)
    steps = script(found, {})
    calm, torn = (Broker({**{s: list(r) for s, r in found.records.items()}}) for _ in range(2))
    Worker(calm, steps, {"m": SPEC}, random.Random(0)).run()
    places: dict[int, Place] = {2 + seed: PLACES[seed % len(PLACES)]}
    for crash_at in (places, {5: PLACES[(seed + 1) % len(PLACES)]}, {}):
        worker = Worker(torn, steps, {"m": SPEC}, chance, crash_at)
        try:
            worker.run()
        except CrashError:
            continue
    windows = [
        {(o.headers[0], o.value) for o in broker.outputs if o.topic == "windows"}
        for broker in (torn, calm)
    ]
    assert windows[0] == windows[1] and len(windows[0]) > 20


def test_what_waits_stays_within_its_bytes_when_classes_become_many() -> None:
    join, bound = Join(max_bytes=1_000_000), 1_000_000
    for step, classes in enumerate([2] * 30 + [200] * 20 + [3] * 10):
        said = {f"c{n}": 1 / classes for n in range(classes)}
        predictions = Said.of([said] * 200)
        ids = Texts.of([f"{step}-{n}" for n in range(200)])
        rows = np.arange(200) + 200 * step
        came = Arrivals(
            ("",), np.zeros(200, np.int64), ids, rows, rows, predictions.table, predictions.names
        )
        found = join.add_predictions("m", came, 86_400_000)
        assert [one for one in found if not isinstance(one, PredictionReport)] == []
        store = join.stores["m"]
        assert store.size <= bound
        assert sum(held.nbytes for held in store.predictions.values()) < 2.5 * bound
    assert len(store) == pytest.approx(bound / (100 + 10 * 200), rel=0.05)
    assert join.counts.forgotten == 12_000 - len(store)


@pytest.mark.parametrize("format", ["json", "arrow"])
@pytest.mark.parametrize("value", ["cat", {"cat": 0.75, "dog": 0.25}])
def test_what_the_client_sends_is_what_a_worker_reads(format: str, value: Any) -> None:
    rows = [clean(("predictions", f"r{n}", n, {"x": 1.5}, value)) for n in range(150)]
    labels = [clean(("labels", f"r{n}", n, {}, "dog")) for n in range(150)]
    write = dumps if format == "arrow" else orjson.dumps
    driver = Driver({"m": SPEC})
    sources: tuple[tuple[Source, Any], ...] = (("predictions", rows), ("labels", labels))
    for source, own in sources:
        ((payload, count),) = encode("m", "", source, own, write)
        assert count == 150
        driver.fold(source, [LoggedRecord(0, NOON_MS, b"m", payload, headers(payload))])
    driver.feed_back()
    told = published(driver.outputs, "windows")[-1]
    assert (told["source"], told["metrics"]["accuracy"]) == ("outcomes", 0.0)
    assert not [output for output in driver.outputs if output.topic == "rejected"]
