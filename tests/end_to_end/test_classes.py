"""Classes through a real Kafka: metrics are scikit-learn's, of a real set with delayed labels."""

from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from sklearn import metrics as sklearn
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression

from tests.end_to_end.workers import Sender, bodies, group
from tests.streams.monitor.logs import NOON_MS
from tidegauge import Producer
from tidegauge.schemas.monitors import Metric, MonitorSpec, WindowSpec
from tidegauge.schemas.topics import TopicNames
from tidegauge.schemas.windows import WindowReport
from tidegauge.streams.monitor.windows.metrics import OF_TASK

TRAINED = 600  # digits; the others are predicted
ROWS = 1100
DELAY_MS = 2 * 86_400_000
METRICS = [name for name in get_args(Metric) if name in OF_TASK["multiclass"]]


def digits() -> tuple[Any, Any]:
    """Return the labels of handwritten digits, and the probabilities that a model gives."""
    images, labels = load_digits(return_X_y=True)
    model = LogisticRegression(max_iter=300).fit(images[:TRAINED] / 16, labels[:TRAINED])
    own = slice(TRAINED, TRAINED + ROWS)
    return labels[own], model.predict_proba(images[own] / 16)


def expected(labels: Any, probabilities: Any) -> dict[str, float]:
    said = probabilities.argmax(axis=1)
    found: dict[str, float] = {
        "accuracy": sklearn.accuracy_score(labels, said),
        "balanced_accuracy": sklearn.balanced_accuracy_score(labels, said),
        "kappa": sklearn.cohen_kappa_score(labels, said),
        "mcc": sklearn.matthews_corrcoef(labels, said),
        "log_loss": sklearn.log_loss(labels, probabilities, labels=range(10)),
    }
    for average in ("macro", "weighted"):
        areas = {"multi_class": "ovr", "average": average, "labels": range(10)}
        found[f"roc_auc_{average}"] = sklearn.roc_auc_score(labels, probabilities, **areas)
    found["brier"] = sklearn.brier_score_loss(labels, probabilities, labels=range(10))
    for metric in ("precision", "recall", "f1"):
        score = getattr(sklearn, f"{metric}_score")
        for average in ("macro", "micro", "weighted"):
            found[f"{metric}_{average}"] = score(labels, said, average=average, zero_division=0)
    return found


def test_metrics_of_delayed_labels_equal_scikit_learn(
    brokers: str, prefix: str, topics: TopicNames, tmp_path: Path
) -> None:
    labels, probabilities = digits()
    spec = MonitorSpec(model="digits", windows=WindowSpec(rows=100), metrics=METRICS)
    Sender(brokers).apply(topics, spec)
    with group(brokers, prefix, tmp_path) as workers:
        workers.until_ready(workers.start("first"))
        with Producer(brokers, model="digits", prefix=prefix) as producer:
            for n, row in enumerate(probabilities.tolist()):
                said = {str(digit): p for digit, p in enumerate(row)}
                producer.prediction(f"image-{n}", said, {"ink": float(n % 7)}, NOON_MS + n)
        assert producer.counts.sent == ROWS
        workers.until_settled()
        workers.workers[-1].kill()  # what waits for its label is read again
        workers.until_ready(workers.start("second"))
        with Producer(brokers, model="digits", prefix=prefix) as producer:
            for n, label in enumerate(labels.tolist()):
                producer.label(f"image-{n}", str(label), NOON_MS + n + DELAY_MS)
        workers.until_settled()
    reports = [w for w in bodies(brokers, topics.windows, WindowReport) if w.source == "outcomes"]
    assert [w.window for w in reports] == list(range(ROWS // 100))
    for window in reports:
        told, stop = window.since_deployment, 100 * (window.window + 1)
        assert told is not None and window.rests_on is not None
        for own, found in ((slice(stop), told), (slice(stop - 100, stop), window)):
            assert found.rests_on is not None
            assert (found.rests_on.pairs, found.rests_on.left_out) == (
                own.stop - (own.start or 0),
                0,
            )
            assert found.rests_on.delay_ms == pytest.approx(DELAY_MS, rel=0.05)
            for name, value in expected(labels[own], probabilities[own]).items():
                near = 0.002 if name.startswith("roc_auc") else 1e-9  # probabilities may be tied
                assert found.metrics[name] == pytest.approx(value, abs=near), (name, own)
                low, high = found.intervals[name]
                assert low <= value <= high
    deployed = reports[-1].since_deployment
    assert deployed is not None and 0.8 < (deployed.metrics["accuracy"] or 0) < 0.99
    assert np.isfinite(deployed.metrics["ece"] or np.nan)
