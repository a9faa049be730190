"""The join from its definition: look through everything that came, again and again."""

from typing import NamedTuple


class Event(NamedTuple):
    """A prediction or a label, as it came."""

    is_label: bool
    id: str
    ts_ms: int
    offset: int


def pairs(events: list[Event], horizon_ms: int) -> list[tuple[str, int, int]]:
    """Return id, offset of the prediction and of the label of each pair, in order of making.

    The first prediction of an id stands; the first label within the horizon meets it. Of labels
    that came before their prediction the first is kept.
    """
    predictions: dict[str, Event] = {}
    waiting: dict[str, Event] = {}
    found: dict[str, tuple[str, int, int]] = {}
    for event in events:
        other = predictions.get(event.id) if event.is_label else waiting.get(event.id)
        if event.is_label and event.id in found:
            continue
        if event.is_label and other is None:
            waiting.setdefault(event.id, event)
        elif not event.is_label and event.id in predictions:
            continue
        else:
            if not event.is_label:
                predictions[event.id] = event
                waiting.pop(event.id, None)
            if other is not None and abs(other.ts_ms - event.ts_ms) <= horizon_ms:
                prediction, label = (other, event) if event.is_label else (event, other)
                found[event.id] = (event.id, prediction.offset, label.offset)
    return list(found.values())
