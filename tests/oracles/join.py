"""The join from its definition: look through everything that came, again and again."""

from typing import NamedTuple


class Event(NamedTuple):
    """A prediction or a label, as it came."""

    is_label: bool
    id: str
    ts_ms: int
    offset: int  # in its own log
    version: str = ""  # of a prediction


class Found(NamedTuple):
    """A pair: version, id, offset of the prediction and of the label."""

    version: str
    id: str
    prediction: int
    label: int


def pairs(events: list[Event], horizon_ms: int) -> set[Found]:
    """Return the pairs of two logs, however these were read side by side.

    The first prediction of a version and id meets the first label of the id, if they lie within
    the horizon of each other.
    """
    labels: dict[str, Event] = {}
    predictions: dict[tuple[str, str], Event] = {}
    for event in events:
        if event.is_label:
            labels.setdefault(event.id, event)
        else:
            predictions.setdefault((event.version, event.id), event)
    return {
        Found(version, id_, prediction.offset, labels[id_].offset)
        for (version, id_), prediction in predictions.items()
        if id_ in labels and abs(labels[id_].ts_ms - prediction.ts_ms) <= horizon_ms
    }
