"""Corrected labels, and a challenger beside its champion, through a real Kafka."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn import metrics as sklearn

from tests.end_to_end.workers import Sender, bodies, group
from tests.streams.monitor.logs import NOON_MS
from tidegauge import Producer
from tidegauge.schemas.monitors import CompareSpec, LabelSpec, MonitorSpec, WindowSpec
from tidegauge.schemas.topics import TopicNames
from tidegauge.schemas.windows import WindowReport

ROWS, WINDOW, FLIPPED = 500, 100, (3, 150, 151)
SPEC = MonitorSpec(
    model="fraud",
    windows=WindowSpec(rows=WINDOW),
    task="classification",
    metrics=["accuracy", "log_loss"],
    labels=LabelSpec(corrections="7d"),
    compare=CompareSpec(champion="1", challenger="2"),
)


def requests() -> tuple[Any, dict[str, Any]]:
    """Return labels, and the scores that two versions give."""
    rng = np.random.default_rng(7)
    chance = rng.beta(1, 2, ROWS)
    noise = {"1": 0.2, "2": 0.05}
    scores = {
        version: np.round(np.clip(chance + rng.normal(0, sd, ROWS), 0.01, 0.99), 3)
        for version, sd in noise.items()
    }
    return (rng.random(ROWS) < chance).astype(int), scores


def test_corrected_labels_and_a_comparison_outlast_a_worker_that_is_killed(
    brokers: str, prefix: str, topics: TopicNames, tmp_path: Path
) -> None:
    labels, scores = requests()
    Sender(brokers).apply(topics, SPEC)
    with group(brokers, prefix, tmp_path) as workers:
        workers.until_ready(workers.start("first"))
        for version, own in scores.items():
            with Producer(brokers, model="fraud", version=version, prefix=prefix) as producer:
                for n, score in enumerate(own.tolist()):
                    producer.prediction(f"r{n}", score, {"amount": float(n % 7)}, NOON_MS + n)
        workers.until_settled()
        with Producer(brokers, model="fraud", prefix=prefix) as producer:
            for n in range(300):
                producer.label(f"r{n}", int(labels[n]), NOON_MS + 60_000 + n)
        workers.until_settled()
        workers.workers[-1].kill()
        with Producer(brokers, model="fraud", prefix=prefix) as producer:
            for n in FLIPPED:
                producer.label(f"r{n}", 1 - int(labels[n]), NOON_MS + 90_000 + n)
            for n in range(300, ROWS):
                producer.label(f"r{n}", int(labels[n]), NOON_MS + 60_000 + n)
        workers.until_ready(workers.start("second"))
        workers.until_settled()
    told = [w for w in bodies(brokers, topics.windows, WindowReport) if w.source == "outcomes"]
    first = {(w.version, w.window): w for w in told if not w.revised}
    revised = {(w.version, w.window): w for w in told if w.revised}
    assert {*first} == {(v, n) for v in ("1", "2") for n in range(ROWS // WINDOW)}
    assert {*revised} == {(v, n) for v in ("1", "2") for n in (0, 1)}
    corrected = labels.copy()
    corrected[[*FLIPPED]] = 1 - corrected[[*FLIPPED]]
    for (version, window), report in revised.items():
        own = slice(WINDOW * window, WINDOW * (window + 1))
        for found, true in ((report, corrected), (first[version, window], labels)):
            accuracy = sklearn.accuracy_score(true[own], scores[version][own] >= 0.5)
            loss = sklearn.log_loss(true[own], scores[version][own])
            assert found.metrics == pytest.approx({"accuracy": accuracy, "log_loss": loss})
    losses = {v: -np.where(labels == 1, np.log(p), np.log1p(-p)) for v, p in scores.items()}
    last = first["2", ROWS // WINDOW - 1].comparison
    assert last is not None
    deployed = last.since_deployment
    assert deployed.pairs >= ROWS - 2 * WINDOW
    apart = (losses["2"] - losses["1"])[: deployed.pairs]
    assert deployed.difference == pytest.approx(apart.mean())
    assert deployed.interval is not None
    assert deployed.interval[0] < apart.mean() < deployed.interval[1]
