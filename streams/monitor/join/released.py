"""Predictions that were held until their types were known join as if they had not been."""

from collections.abc import Mapping
from operator import itemgetter

import numpy as np

from tidegauge.streams.monitor.join.arrivals import Arrivals, Key
from tidegauge.streams.monitor.join.join import Found, Join


def join_predictions(
    join: Join, model: str, arrived: Arrivals, released: Mapping[Key, int], horizon_ms: int
) -> list[Found]:
    """Join the predictions of one model; return the pairs they make, and reports.

    ``released`` says up to which offset a version's were held. Their labels may have come
    meanwhile; they pair in their own order, as they would have.
    """
    found: list[Found] = []
    ends = {version: end for (name, version), end in released.items() if name == model}
    rest, held = arrived, dict[str, Arrivals]()
    if ends:
        until = np.array([ends.get(version, -1) for version in arrived.versions])
        was_held = arrived.offsets <= until[arrived.version]
        rest, held = arrived.where(~was_held), dict(arrived.where(was_held).by_version())
    for version, end in sorted(ends.items(), key=itemgetter(1)):
        before = int(np.count_nonzero(rest.offsets < end))
        found += join.add_predictions(model, rest.where(slice(before)), horizon_ms)
        if version in held:
            found += join.add_released(model, version, held[version], horizon_ms)
        rest = rest.where(slice(before, None))
    return found + join.add_predictions(model, rest, horizon_ms)
