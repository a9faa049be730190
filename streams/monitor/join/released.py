"""Predictions that were held until their types were known join as if they had not been."""

from collections.abc import Mapping
from operator import itemgetter

from tidegauge.streams.monitor.join.arrivals import Arrivals, Key
from tidegauge.streams.monitor.join.join import Join, Pair


def join_predictions(
    join: Join, model: str, arrived: Arrivals, released: Mapping[Key, int], horizon_ms: int
) -> list[Pair]:
    """Join the predictions of one model; return the pairs they make.

    ``released`` says up to which offset a version's were held. Their labels may have come
    meanwhile; they pair in their own order, as they would have.
    """
    found: list[Pair] = []
    ends = {version: end for (name, version), end in released.items() if name == model}
    rest, held = arrived, dict[str, Arrivals]()
    if ends:
        was_held = [p.offset <= ends.get(p.version, -1) for p in arrived.predictions]
        rest = arrived.where([not was for was in was_held])
        held = dict(arrived.where(was_held).by_version())
    for version, end in sorted(ends.items(), key=itemgetter(1)):
        before = sum(p.offset < end for p in rest.predictions)
        found += join.add_predictions(model, rest.cut(0, before), horizon_ms)
        if version in held:
            found += join.add_released(model, version, held[version], horizon_ms)
        rest = rest.cut(before, len(rest))
    return found + join.add_predictions(model, rest, horizon_ms)
