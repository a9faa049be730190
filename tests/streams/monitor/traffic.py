"""A model nobody described: a frame of rows a window, with a fault from some window on."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tidegauge.schemas.monitors import MonitorSpec, ReferenceSpec, WindowSpec
from tidegauge.streams.monitor.lookup import Lookup
from tidegauge.streams.monitor.offline import OfflineLog
from tidegauge.streams.monitor.records import Source

ROWS = 50  # a window, and a frame
REFERENCE = 40  # windows
MINUTE_MS = 60_000
SPEC = MonitorSpec(
    model="m", windows=WindowSpec(rows=ROWS), reference=ReferenceSpec(windows=REFERENCE)
)
Floats = NDArray[np.float64]


@dataclass
class Rows:
    """Columns of one frame, to be spoilt in place by a fault."""

    amount: Any
    age: Any
    country: Any
    vip: Any
    score: Any
    label: Any


Fault = Callable[[Rows, np.random.Generator], None]
Lateness = Callable[[Rows, np.random.Generator], Any]  # windows that each label is late by


def in_time(rows: Rows, rng: np.random.Generator) -> Any:
    """Let each label come a second after its prediction."""
    return np.zeros(ROWS, np.int64)


@dataclass
class Traffic:
    """Appends frames of predictions, and of their labels, to a log."""

    log: OfflineLog
    seed: int
    labelled: bool = False
    regression: bool = False
    lateness: Lateness = in_time
    sent: int = 0
    waiting: dict[int, list[tuple[str, float]]] = field(default_factory=dict)  # labels, by window
    records: list[tuple[Source, bytes]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._rng = np.random.default_rng(self.seed)

    def send(self, windows: int, *faults: Fault) -> "Traffic":
        """Send this many windows, spoilt by the faults."""
        for _ in range(windows):
            self._send_one(faults)
        return self

    def _send_one(self, faults: tuple[Fault, ...]) -> None:
        rng = self._rng
        score = np.round(rng.beta(2, 5, ROWS), 4)
        if self.regression:
            score = np.round(rng.normal(100, 20, ROWS), 3)
        truth = score + rng.normal(0, 5, ROWS) if self.regression else rng.random(ROWS) < score
        rows = Rows(
            np.round(rng.normal(50, 10, ROWS), 3).astype(object),
            rng.integers(18, 90, ROWS).astype(object),
            rng.choice(["DE", "FR", "PL"], ROWS, p=[0.5, 0.3, 0.2]).astype(object),
            (rng.random(ROWS) < 0.3).astype(object),
            score.astype(object),
            truth.astype(float),
        )
        for fault in faults:
            fault(rows, rng)
        ids = [f"{self.sent}-{n}" for n in range(ROWS)]
        at = self.sent * MINUTE_MS
        columns = {
            "amount": rows.amount, "age": rows.age, "country": rows.country, "vip": rows.vip,
        }  # fmt: skip
        frame = {
            "model": "m",
            "ids": ids,
            "ts_ms": [at + n for n in range(ROWS)],
            "features": {name: list(values) for name, values in columns.items()},
            "predictions": list(rows.score),
        }
        self._append("predictions", frame)
        if self.labelled:
            late = self.lateness(rows, rng).tolist()
            for id_, label, windows in zip(ids, rows.label.tolist(), late, strict=True):
                self.waiting.setdefault(self.sent + windows, []).append((id_, label))
            if due := self.waiting.pop(self.sent, []):
                head = {"model": "m", "ts_ms": [at + 1000 + n for n in range(len(due))]}
                own_ids, labels = zip(*due, strict=True)
                self._append("labels", head | {"ids": own_ids, "labels": labels})
        self.sent += 1

    def _append(self, source: Source, frame: dict[str, Any]) -> None:
        value = json.dumps(frame, default=lambda number: number.item()).encode()
        self.records.append((source, value))
        self.log.append(source, b"m", value, timestamp=1 << 41)

    def alerts(self) -> list[dict[str, Any]]:
        """Return the alerts told so far."""
        return self._bodies("alerts")

    def reports(self, source: str = "predictions") -> list[dict[str, Any]]:
        """Return the reports of the windows of a source."""
        return [report for report in self._bodies("windows") if report["source"] == source]

    def retraining(self) -> list[dict[str, Any]]:
        """Return the requests to retrain."""
        return self._bodies("retraining")

    def _bodies(self, topic: str) -> list[dict[str, Any]]:
        return [json.loads(o.value or b"") for o in self.log.outputs if o.topic == topic]


def traffic(seed: int, spec: MonitorSpec | None = SPEC, **options: Any) -> Traffic:
    """Return traffic of a new log."""
    return Traffic(OfflineLog(Lookup([spec] if spec is not None else [])), seed, **options)


def share(rng: np.random.Generator, part: float) -> NDArray[np.bool_]:
    """Return a mask of about this part of a frame's rows."""
    return np.asarray(rng.random(ROWS) < part)


def amounts_up(rows: Rows, rng: np.random.Generator) -> None:
    """Raise a number by its standard deviation."""
    rows.amount = rows.amount + 10


def amounts_down(rows: Rows, rng: np.random.Generator) -> None:
    """Lower a number by its standard deviation."""
    rows.amount = rows.amount - 10


def new_country(rows: Rows, rng: np.random.Generator) -> None:
    """Let a category appear that the reference does not have."""
    rows.country[share(rng, 0.2)] = "XX"


def no_age(rows: Rows, rng: np.random.Generator) -> None:
    """Let a number go missing."""
    rows.age[share(rng, 0.3)] = None


def no_country(rows: Rows, rng: np.random.Generator) -> None:
    """Let a category go missing."""
    rows.country[share(rng, 0.3)] = None


def wrong_unit(rows: Rows, rng: np.random.Generator) -> None:
    """Let some numbers come in another unit."""
    mask = share(rng, 0.1)
    rows.amount[mask] = rows.amount[mask] * 100


def scores_up(rows: Rows, rng: np.random.Generator) -> None:
    """Raise the scores."""
    rows.score = rows.score * 0.7 + 0.3


def labels_turned(rows: Rows, rng: np.random.Generator) -> None:
    """Let labels say the opposite in some rows."""
    mask = share(rng, 0.4)
    rows.label[mask] = 1 - rows.label[mask]


def labels_off(rows: Rows, rng: np.random.Generator) -> None:
    """Let the labels of a regression spread."""
    rows.label += rng.normal(0, 15, ROWS)
