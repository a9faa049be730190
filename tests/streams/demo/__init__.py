"""The demo's year and model, read and trained once for all tests."""

from functools import cache

from tidegauge.streams.demo.flights import Flights, read_flights
from tidegauge.streams.demo.model import FlightModel
from tidegauge.streams.demo.traffic import split


@cache
def year() -> Flights:
    """Return the whole of 2013."""
    return read_flights()


@cache
def trained() -> FlightModel:
    """Return the model trained on January to March."""
    reference, _ = split(year())
    return FlightModel.fit(reference)
