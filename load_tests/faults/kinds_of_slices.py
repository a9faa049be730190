"""Faults of one airport or one carrier, where a spec names the slices that rows are of."""

import re
from dataclasses import replace
from typing import Final

import msgspec

from load_tests.faults.data import WINDOWS, Form, dependent
from load_tests.faults.registry import FAULTS as ALL
from tidegauge.streams.demo.flights import Flights

ONE: Final = re.compile("one (airport|origin|carrier)")
FAULTS: Final = tuple(fault for fault in ALL if ONE.search(fault.name))


def sliced(flights: Flights, seed: int, windows: int = WINDOWS) -> Form:
    """Return the dependent form, watched by a spec that names two slices."""
    form = dependent(flights, seed, windows)
    spec = msgspec.structs.replace(form.spec, slices=["origin", "carrier"])
    return replace(form, name="sliced", spec=spec)
