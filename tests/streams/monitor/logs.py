"""Rows, frames and labels as producers send them, and one busy log of several models."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tidegauge.schemas.monitors import MonitorSpec, ReferenceSpec, RetrainingSpec, WindowSpec
from tidegauge.streams.monitor.offline import LoggedRecord
from tidegauge.streams.monitor.records import SOURCES, Source

NOON_MS = 1_700_000_000_000
Features = Mapping[str, Any]


def row(
    model: str, id_: str, ts_ms: int, features: Features, prediction: Any = None, version: str = ""
) -> bytes:
    """Return a row of ``predictions``, or of ``features`` where there is no prediction."""
    found: dict[str, Any] = {"model": model, "id": id_, "ts_ms": ts_ms, "features": features}
    if prediction is not None:
        found["prediction"] = prediction
    return json.dumps(found | ({"version": version} if version else {})).encode()


def label(model: str, id_: str, ts_ms: int, value: float) -> bytes:
    """Return a row of ``labels``."""
    return json.dumps({"model": model, "id": id_, "ts_ms": ts_ms, "label": value}).encode()


def frame(rows: Sequence[bytes]) -> bytes:
    """Return single rows of one model as a frame."""
    loose = [json.loads(value) for value in rows]
    found: dict[str, Any] = {k: v for k, v in loose[0].items() if k in ("model", "version")}
    found["ids"] = [one["id"] for one in loose]
    found["ts_ms"] = [one["ts_ms"] for one in loose]
    for single, many in (("prediction", "predictions"), ("label", "labels")):
        if single in loose[0]:
            found[many] = [one[single] for one in loose]
    if "features" in loose[0]:
        names = {name for one in loose for name in one["features"]}
        found["features"] = {
            name: [one["features"].get(name) for one in loose] for name in sorted(names)
        }
    return json.dumps(found).encode()


@dataclass
class Logs:
    """The input logs of one partition, and the order in which a worker meets their parts."""

    records: dict[Source, list[LoggedRecord]] = field(
        default_factory=lambda: {source: [] for source in SOURCES}
    )
    runs: list[tuple[Source, int]] = field(default_factory=list)  # up to this offset, in turn

    def add(
        self, source: Source, value: bytes | None, key: bytes | None = b"fraud", at: int = NOON_MS
    ) -> None:
        """Append a record."""
        log = self.records[source]
        log.append(LoggedRecord(len(log), at, key, value, [("trace", b"7")]))

    def run(self, *sources: Source) -> None:
        """Let the worker meet what was appended by now, source by source."""
        self.runs += [(source, len(self.records[source])) for source in sources]


SPECS = {
    "fraud": MonitorSpec(
        model="fraud",
        windows=WindowSpec(rows=20),
        reference=ReferenceSpec(windows=3),
        slices=["country", "amount"],
        retraining=RetrainingSpec(blatant=True),
    ),
    "house": MonitorSpec(
        model="house",
        windows=WindowSpec(every="1s"),
        reference=ReferenceSpec(windows=5),
        retraining=RetrainingSpec(blatant=True),
    ),
}
JUNK: tuple[bytes | None, ...] = (
    None,
    b"",
    b"{",
    b"\xff\xfe",
    b"[]",
    b'{"model": "fraud"}',
    b'{"model": "fraud", "id": "x", "ts_ms": -1, "prediction": 0.5, "label": 1}',
    b'{"model": "fraud", "id": "x", "ts_ms": 1e99, "prediction": 0.5, "label": 1}',
    b'{"model": "fraud", "id": "x", "ts_ms": 5, "prediction": [1], "label": [1]}',
    b'{"model": "fraud", "ids": [], "ts_ms": [], "predictions": [], "labels": []}',
    b'{"model": "fraud", "ids": ["x"], "ts_ms": [], "predictions": [1], "labels": [1]}',
    b'{"model": "fraud", "id": "x", "ts_ms": 9999999999999, "prediction": 0.5, "label": 1}',
)


class _Busy:
    """Writes the busy log."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.logs = Logs()
        self.counts: dict[str, int] = {}
        self.unlabelled: dict[str, list[tuple[str, int, float]]] = {"fraud": [], "house": []}

    def fraud(self, version: str, late: bool) -> bytes:
        """Return a scored row; some features are missing, after a while one always is."""
        n = self.counts[version] = self.counts.get(version, 0) + 1
        id_, rng = f"{version}-{n}", self.rng
        features: dict[str, Any] = {"amount": round(float(rng.normal(10, 2)), 3)}
        features["country"] = str(rng.choice(["DE", "FR", "PL"]))
        features["vip"] = bool(rng.random() < 0.3)
        if n > 200:
            features["amount"] = None
        if n > 230:
            features["country"] = "XX"
        score = round(float(rng.random()), 3)
        ts_ms = NOON_MS + 50 * n - (5000 if late else 0)
        self.unlabelled["fraud"].append((id_, ts_ms, score))
        return row("fraud", id_, ts_ms, features, score, version)

    def house(self, late: bool) -> bytes:
        """Return a row of a regression, whose labels go far off after a while."""
        n = self.counts["house"] = self.counts.get("house", 0) + 1
        price = round(float(self.rng.normal(300, 30)), 2)
        ts_ms = NOON_MS + 70 * n - (4000 if late else 0)
        self.unlabelled["house"].append((f"h{n}", ts_ms, price))
        return row("house", f"h{n}", ts_ms, {"area": price / 3}, price)

    def labels(self, model: str) -> list[bytes]:
        """Return labels of some rows that have none yet."""
        waiting, self.unlabelled[model] = self.unlabelled[model], []
        found = []
        for id_, ts_ms, score in waiting:
            if self.rng.random() < 0.2:
                continue
            truth = float(self.rng.random() < score) if model == "fraud" else score + 2
            if model == "house" and int(id_[1:]) > 140:
                truth += 500
            found.append(label(model, id_, ts_ms + 900, truth))
        return found

    def append(self, source: Source, values: list[bytes], model: str) -> None:
        """Append rows, some as frames, some twice, some spoilt, with junk between."""
        rng = self.rng
        while values:
            size = int(rng.integers(1, 8)) if rng.random() < 0.3 else 1
            piece, values = values[:size], values[size:]
            value = frame(piece) if len(piece) > 1 else piece[0]
            if len(piece) > 2 and rng.random() < 0.3:
                spoilt = json.loads(value)
                spoilt["ts_ms"][1] = "then"
                value = json.dumps(spoilt).encode()
            self.logs.add(source, value, model.encode())
            if rng.random() < 0.03:
                self.logs.add(source, value, model.encode())
            if rng.random() < 0.05:
                self.logs.add(source, JUNK[int(rng.integers(len(JUNK)))], b"?")


def busy_logs(seed: int, rounds: int = 9) -> Logs:
    """Return logs in which much happens; some labels come before their predictions."""
    busy = _Busy(seed)
    rng = busy.rng
    for turn in range(rounds):
        early = busy.labels("fraud") if turn == 4 else []
        for _ in range(30):
            kind = rng.random()
            late = bool(rng.random() < 0.05)
            if kind < 0.4:
                busy.append("predictions", [busy.fraud("1", late)], "fraud")
            elif kind < 0.8:
                rows = [busy.fraud("2", late) for _ in range(int(rng.integers(1, 5)))]
                busy.append("predictions", rows, "fraud")
            else:
                rows = [busy.house(late) for _ in range(int(rng.integers(1, 9)))]
                busy.append("predictions", rows, "house")
            features = {"balance": float(rng.normal()), "tier": str(rng.choice(["a", "b"]))}
            value = row("fraud", f"f{turn}", NOON_MS + turn, features, version="1")
            busy.append("features", [value], "fraud")
        busy.append("labels", early + busy.labels("fraud"), "fraud")
        busy.append("labels", busy.labels("house"), "house")
        if turn == 5:
            busy.logs.run("labels", "predictions", "features")
        else:
            busy.logs.run("predictions", "features", "labels")
    return busy.logs
