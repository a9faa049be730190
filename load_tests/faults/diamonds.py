"""A set that nothing was tuned on: 53,940 diamonds and their prices, as traffic (a regression)."""

import csv
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any, Final

import numpy as np

from load_tests.faults.data import REFERENCE, WINDOWS, Form, places, watched
from load_tests.faults.fault import Fault, Where, labels, scores, values
from load_tests.faults.kinds_of_outcomes import by_another_rule, dealt, delayed, lost, scaled_labels
from load_tests.faults.kinds_of_rows import faults_of_rows
from load_tests.faults.kinds_of_values import (
    Spoil,
    as_text,
    clipped,
    columns,
    constant,
    drifting,
    filled_in,
    heavy_tailed,
    in_some,
    joined_wrongly,
    last,
    leaking,
    lower_case,
    new_feature,
    noisy,
    of_before,
    permuted,
    renamed,
    rounded,
    scaled,
    stale,
    swapped,
    truncated,
    under_another_name,
)
from load_tests.faults.traffic import Clock, Column, Floats, Labels, Rows, Traffic
from tidegauge.schemas.monitors import WindowSpec

PACKAGE: Final = "plotnine"  # only its file is read
NUMBERS: Final = ("carat", "depth", "table", "x", "y", "z")
CATEGORIES: Final = ("cut", "color", "clarity")
SIZES: Final = ("x", "y", "z")
ROWS: Final = 300  # in a window
MINUTE_MS: Final = 60_000
LABEL_AFTER: Final = 30  # rows
START_MS: Final = 1_700_000_000_000

Diamonds = Mapping[str, Column]


def read_diamonds() -> Diamonds | None:
    """Return the columns, or None where the package that has them is not installed."""
    try:
        package = distribution(PACKAGE)
    except PackageNotFoundError:
        return None
    with Path(str(package.locate_file(f"{PACKAGE}/data/diamonds.csv"))).open(newline="") as text:
        rows = list(csv.DictReader(text))
    numbers = {name: np.array([float(row[name]) for row in rows]) for name in (*NUMBERS, "price")}
    return {
        **numbers,
        **{name: np.array([row[name] for row in rows], object) for name in CATEGORIES},
    }


@dataclass(frozen=True, eq=False)
class PriceModel:
    """Least squares on the logarithm of the price; what is missing counts as average."""

    centre: Floats
    levels: Mapping[str, list[str]]
    weights: Floats

    @classmethod
    def fit(cls, features: Diamonds, price: Floats, names: tuple[str, ...]) -> "PriceModel":
        """Fit on some of the numbers and on all categories."""
        centre = np.array([features[name].mean() for name in names])
        levels = {name: sorted(set(features[name].tolist()))[1:] for name in CATEGORIES}
        unfitted = cls(centre, levels, np.zeros(0))
        weights, *_ = np.linalg.lstsq(unfitted.design(features, names), np.log(price))
        return cls(centre, levels, np.asarray(weights, np.float64))

    def design(self, features: Diamonds, names: tuple[str, ...]) -> Floats:
        """Return a row of inputs for each diamond."""
        numbers = [
            np.nan_to_num(features[name].astype(np.float64) - centre)
            for name, centre in zip(names, self.centre, strict=True)
        ]
        flags = [features[name] == level for name, of in self.levels.items() for level in of]
        return np.column_stack([np.ones(len(numbers[0])), *numbers, *flags]).astype(np.float64)

    def price(self, names: tuple[str, ...], features: Diamonds) -> Floats:
        """Return the prices; no input makes them larger than a number can be."""
        return np.exp(np.clip(self.design(features, names) @ self.weights, -20, 20))


def shuffled_diamonds(diamonds: Diamonds, seed: int, windows: int = WINDOWS) -> Form:
    """Deal the diamonds anew: independent windows of 300, a minute between two rows."""
    count = min((windows + 1) * ROWS, len(diamonds["price"]))
    windows = count // ROWS - 1
    dealt = np.random.default_rng(seed).permutation(len(diamonds["price"]))[:count]
    features = {name: diamonds[name][dealt] for name in (*NUMBERS, *CATEGORIES)}
    price = diamonds["price"][dealt]
    clock = Clock(START_MS + MINUTE_MS * np.arange(count), places(np.arange(count) // ROWS))
    known = {name: column[: REFERENCE * ROWS] for name, column in features.items()}

    def fitted(names: tuple[str, ...]) -> Callable[[Diamonds], Floats]:
        model = PriceModel.fit(known, price[: REFERENCE * ROWS], names)
        return partial(model.price, names)

    now, older = fitted(NUMBERS), fitted(("carat",))
    ids = np.array([f"diamond-{row}" for row in dealt.tolist()], dtype=object)
    rows = Rows(ids, clock.ts_ms, clock.place, features, now(features), older(features))
    ts_ms = clock.ts_ms + LABEL_AFTER * MINUTE_MS
    arrived = Labels(ids, ts_ms, clock.place_at(ts_ms), price)
    return Form(
        "diamonds",
        Traffic(rows, arrived, clock),
        windows,
        lambda rows: now(rows.features),
        watched(WindowSpec(rows=ROWS)),
    )


def _of(part: Any, names: tuple[str, ...], change: Any, what: str, **more: Any) -> Fault:
    return Fault(f"{', '.join(names)}: {what}", change, part, names, **more)


def _one(what: str, name: str, spoil: Spoil, where: Where | None = None) -> Fault:
    rescored = spoil is not as_text
    return _of("values", (name,), values(name, spoil, where), what, rescored=rescored)


IDEAL: Final = Where("cut", "Ideal")
FAULTS: Final = (
    _one("x 0.1", "x", scaled(0.1)),
    _one("x 0.2", "carat", scaled(0.2)),
    _one("x 25.4 for one cut", "z", scaled(25.4), Where("cut", "Good")),
    _one("offset of 1 point", "depth", scaled(1, 1.0)),
    _one("sign flipped", "y", scaled(-1)),
    _of("values", ("x", "y"), swapped("x", "y"), "swapped", rescored=True),
    _of("values", ("depth", "table"), swapped("depth", "table"), "swapped", rescored=True),
    _one("0 fills in for 20%", "depth", filled_in(0)),
    _one("-999 fills in for 20%", "table", filled_in(-999)),
    _one("mean fills in for 20%", "y", in_some(0.2, of_before(np.mean))),
    _one("a known category fills in for 20%", "clarity", in_some(0.2, constant("VS2"))),
    _one("missing in 10%", "carat", in_some(0.1, constant(np.nan))),
    _one("missing for one cut", "table", constant(np.nan), IDEAL),
    _of("values", SIZES, columns(SIZES, constant(np.nan), IDEAL), "missing for one cut",
        rescored=True),
    _one("no longer sent", "z", constant(np.nan)),
    _of("values", ("table", "Table"), under_another_name("table", "Table"), "sent as Table"),
    _of("values", ("price_usd",), new_feature("price_usd"), "comes as new"),
    _one("a category renamed", "cut", renamed("Very Good", "VeryGood")),
    _one("a new category in 5%", "color", in_some(0.05, constant("K"))),
    _one("in small letters", "clarity", lower_case),
    _one("mix shifted, 10% move to another", "color", in_some(0.1, constant("G"))),
    _one("constant at the median", "depth", of_before(np.median)),
    _one("stuck at the last value", "carat", of_before(last)),
    _one("stuck at the last value for one cut", "y", of_before(last), IDEAL),
    _of("values", SIZES, stale(SIZES, 1), "stale by one window", rescored=True),
    _one("decimals cut off", "carat", truncated),
    _one("rounded to 5s", "table", rounded(5)),
    _one("a third rounded to halves", "x", in_some(1 / 3, rounded(0.5))),
    _one("capped at the upper quartile", "carat", clipped(0.75)),
    _one("noise of 1 sd", "depth", noisy(1.0)),
    _one("1% x 100", "carat", in_some(0.01, scaled(100))),
    _one("log-normal factors", "z", heavy_tailed),
    _one("dealt to other rows", "carat", permuted),
    _one("dealt to other rows", "table", permuted),
    _of("values", SIZES, joined_wrongly(SIZES, 0.3), "those of another row in 30%",
        rescored=True),
    _one("numbers as text", "depth", as_text),
    _of("values", ("table",), drifting("table", 0.02), "rises by 0.02 sd a window",
        rescored=True),
    _of("values", ("depth",), leaking("depth"), "tells the label"),
    *faults_of_rows("color", "G", "cut", "Ideal"),
    _of("scores", ("score",), scores(lambda rows, _: np.full(len(rows.ids), 2400.0)),
        "one for all"),
    _of("scores", ("score",), scores(dealt), "dealt to other rows"),
    _of("scores", ("score",), scores(lambda rows, _: rows.scores / 1000), "in thousands"),
    _of("scores", ("score",), scores(lambda rows, _: rows.older), "that of an older model"),
    Fault("labels: all ten hours late", labels(delayed(10)), "labels"),
    Fault("labels: all lost", labels(lost(1.0)), "labels"),
    Fault("labels: half lost", labels(lost(0.5)), "labels"),
    Fault("labels: 10% higher", labels(scaled_labels(1.1)), "labels", real=True),
    Fault("labels: half follow another rule", labels(by_another_rule(0.5)), "labels", real=True),
)  # fmt: skip
