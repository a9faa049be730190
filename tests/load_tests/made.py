"""Small traffic that looks like the flights, made for tests."""

import numpy as np

from load_tests.faults.data import BUDGET, REFERENCE, WINDOWS, Form
from load_tests.faults.traffic import MODEL, Clock, Labels, Rows, Traffic
from tidegauge.schemas.monitors import MonitorSpec, ReferenceSpec, WindowSpec
from tidegauge.streams.demo.flights import NUMBERS
from tidegauge.streams.demo.model import FlightModel

MINUTE_MS = 60_000
WORDS = {
    "carrier": ["UA", "EV", "B6"],
    "origin": ["LGA", "EWR"],
    "hour": ["6", "18"],
    "dest": ["ATL", "LAX", "BOS"],
}


def traffic(windows: int, rows: int, seed: int = 0) -> Traffic:
    """Return so many windows of so many rows, a minute apart; labels come 20 rows later."""
    rng = np.random.default_rng(seed)
    count = windows * rows
    ids = np.array([f"id-{n}" for n in range(count)], dtype=object)
    place = np.arange(count) / rows
    clock = Clock(np.arange(count) * MINUTE_MS, place)
    scores = rng.beta(2, 5, count)
    numbers = {name: rng.normal(50, 10, count) for name in NUMBERS}
    words = {name: rng.choice(np.array(of, object), count) for name, of in WORDS.items()}
    sent = Rows(ids, clock.ts_ms, place, {**numbers, **words}, scores, scores / 2)
    ts_ms = clock.ts_ms + 20 * MINUTE_MS
    late = (rng.random(count) < scores).astype(np.int64)
    return Traffic(sent, Labels(ids, ts_ms, clock.place_at(ts_ms), late), clock)


def form(rows: int) -> Form:
    """Return a form of such traffic, with the windows of the real ones."""

    model = FlightModel(
        centre=np.full(len(NUMBERS), 50.0),
        spread=np.full(len(NUMBERS), 10.0),
        levels={},
        weights=np.array([-1.0, *[0.2] * len(NUMBERS)]),
    )
    spec = MonitorSpec(
        model=MODEL,
        windows=WindowSpec(rows=rows),
        reference=ReferenceSpec(windows=REFERENCE),
        false_alarms=BUDGET,
    )
    return Form("independent", traffic(WINDOWS + 1, rows), WINDOWS, model, spec)
