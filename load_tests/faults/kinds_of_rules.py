"""Faults that break rules of a spec, and hardly anything else: too few rows, or too near."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

import msgspec

from load_tests.faults.data import WINDOWS, Form, independent
from load_tests.faults.fault import Fault, values
from load_tests.faults.kinds_of_values import Spoil, constant, in_some
from tidegauge.schemas.monitors import FeatureSpec
from tidegauge.streams.demo.flights import Flights

LIMITS: Final[Mapping[str, Mapping[str, Any]]] = {
    "humid": {"min": 0, "max": 100},
    "carrier": {"pattern": "[A-Z0-9]{2}", "required": True},
    "origin": {"allowed": ["EWR", "JFK", "LGA"]},
}
CHECKS: Final = ("visib >= 1 or humid >= 60", "precip <= 0.01 or humid >= 30")


def declared(flights: Flights, seed: int, windows: int = WINDOWS) -> Form:
    """Return the independent form, watched by a spec that declares what its rows keep."""
    form = independent(flights, seed, windows)
    features = msgspec.convert(LIMITS, dict[str, FeatureSpec])
    spec = msgspec.structs.replace(form.spec, features=features, checks=[*CHECKS])
    return replace(form, name="declared", spec=spec)


def _one(name: str, column: str, spoil: Spoil) -> Fault:
    return Fault(f"{column}: {name}", values(column, spoil), "values", (column,))


FAULTS: Final = (
    _one("1% is 104", "humid", in_some(0.01, constant(104.0))),
    _one("missing in 1%", "carrier", in_some(0.01, constant(None))),
    _one("fog in 2%, in dry air, too", "visib", in_some(0.02, constant(0.25))),
)
