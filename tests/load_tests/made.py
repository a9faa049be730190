"""Small traffic that looks like the flights and the diamonds, made for tests."""

import numpy as np

from load_tests.faults import diamonds
from load_tests.faults.data import WINDOWS, Form, watched
from load_tests.faults.traffic import Clock, Floats, Labels, Rows, Traffic
from tidegauge.schemas.monitors import WindowSpec
from tidegauge.streams.demo.flights import NUMBERS

MINUTE_MS = 60_000
WORDS = {
    "carrier": ["UA", "EV", "B6"],
    "origin": ["LGA", "EWR"],
    "hour": ["6", "18"],
    "dest": ["ATL", "LAX", "BOS"],
    "cut": ["Ideal", "Good", "Very Good"],
    "color": ["D", "G"],
    "clarity": ["SI1", "VS2", "VS1"],
}


def traffic(windows: int, rows: int, seed: int = 0) -> Traffic:
    """Return so many windows of so many rows, a minute apart; labels come 20 rows later."""
    rng = np.random.default_rng(seed)
    count = windows * rows
    ids = np.array([f"id-{n}" for n in range(count)], dtype=object)
    place = np.arange(count) / rows
    clock = Clock(np.arange(count) * MINUTE_MS, place)
    scores = rng.beta(2, 5, count)
    numbers = {name: rng.normal(50, 10, count) for name in (*NUMBERS, *diamonds.NUMBERS)}
    words = {name: rng.choice(np.array(of, object), count) for name, of in WORDS.items()}
    sent = Rows(ids, clock.ts_ms, place, {**numbers, **words}, scores, scores / 2)
    ts_ms = clock.ts_ms + 20 * MINUTE_MS
    late = (rng.random(count) < scores).astype(np.float64)
    return Traffic(sent, Labels(ids, ts_ms, clock.place_at(ts_ms), late), clock)


def form(rows: int) -> Form:
    """Return a form of such traffic, with the windows of the real ones."""

    def score(rows: Rows) -> Floats:
        """Return the score of a model that looks at one number."""
        return 1 / (1 + np.exp(1 - rows.features["temp"] / 50))

    return Form(
        "independent", traffic(WINDOWS + 1, rows), WINDOWS, score, watched(WindowSpec(rows=rows))
    )
