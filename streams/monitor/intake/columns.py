"""Which features of a model are watched, and as what; typed decoders generated from that."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from operator import attrgetter
from typing import Any, Literal

import msgspec

from tidegauge.schemas.events import Id, Millis, Name, Number, Value, Version
from tidegauge.schemas.monitors import FeatureSpec

MAX_WATCHED = 200  # features of one model; the rest is counted as not watched
SCORE = "score"  # the number that is the model's own
MAX_NAME = 200  # characters of a feature's name; one with a longer name is not watched
RowSource = Literal["predictions", "features"]


@dataclass(frozen=True, slots=True)
class Columns:
    """The watched features; a boolean counts as a number, 0 or 1."""

    numeric: tuple[str, ...]
    categorical: tuple[str, ...]


def infer(rows: Sequence[Mapping[str, Value]], declared: Mapping[str, FeatureSpec]) -> Columns:
    """Return the columns that a model's first rows show, where the spec does not say.

    A feature is what most of its values are; one without any value is left out, and so is one
    whose name no typed decoder can have.

    >>> infer([{"amount": 1.5, "country": "DE"}, {"amount": None, "country": "FR"}], {})
    Columns(numeric=('amount',), categorical=('country',))
    """
    kinds: dict[str, Counter[bool]] = {name: Counter() for name in declared if name != SCORE}
    for row in rows:
        for name, value in row.items():
            if value is not None and name != SCORE:
                kinds.setdefault(name, Counter())[isinstance(value, str)] += 1
    numeric: list[str] = []
    categorical: list[str] = []
    for name, seen in kinds.items():
        if name in declared:
            said = declared[name].type
            is_text = None if said == "ignore" else said == "categorical"
        else:
            is_text = seen[True] > seen[False] if seen else None
        full = len(numeric) + len(categorical) >= MAX_WATCHED
        if is_text is not None and not full and is_readable(name):
            (categorical if is_text else numeric).append(name)
    return Columns(tuple(numeric), tuple(categorical))


def is_readable(name: str) -> bool:
    r"""Return whether a feature can have this name: msgspec compares names as they stand in JSON.

    >>> is_readable("größe"), is_readable("a\\b"), is_readable('"')
    (True, False, False)
    """
    return len(name) <= MAX_NAME and msgspec.json.encode(name)[1:-1] == name.encode()


@dataclass(frozen=True, slots=True)
class Decoders:
    """How one model version's rows and frames are read, with types checked."""

    row_type: type[Any]
    row: Callable[[bytes], Any]
    frame: Callable[[bytes], Any]
    numbers: Callable[[Any], tuple[Any, ...]]  # of a row's or frame's features
    categories: Callable[[Any], tuple[Any, ...]]
    names: tuple[str, ...]  # of the numbers, with that of the score where there is one
    categorical: tuple[str, ...]


@lru_cache(maxsize=4096)
def decoders(source: RowSource, columns: Columns) -> Decoders:
    """Return the decoders of a source for these columns.

    >>> columns = Columns(("amount",), ("country",))
    >>> row = b'{"model": "m", "id": "1", "ts_ms": 0, "features": {"country": "DE", "amount": 2}}'
    >>> read = decoders("features", columns)
    >>> read.numbers(read.row(row).features), read.categories(read.row(row).features)
    ((2.0,), ('DE',))
    """
    names = {f"n{i}": name for i, name in enumerate(columns.numeric)}
    names |= {f"c{i}": name for i, name in enumerate(columns.categorical)}

    def features(number: Any, text: Any) -> Any:
        fields = [(f, number if f[0] == "n" else text, None) for f in names]
        return msgspec.defstruct("Features", fields, rename=names, gc=False)

    row_features = features(Number | None, str | None)
    frame_features = features(list[Number | None] | None, list[str | None] | None)
    head: list[Any] = [("model", Name), ("version", Version, "")]
    # A row has no ids: with them it is a frame, however short, whichever path reads it.
    no_ids = ("ids", msgspec.UnsetType, msgspec.UNSET)
    row: list[Any] = [*head, ("id", Id), ("ts_ms", Millis), no_ids]
    frame: list[Any] = [*head, ("ids", list[Id]), ("ts_ms", list[Millis])]
    if source == "predictions":
        row += [("prediction", Number)]
        frame += [("predictions", list[Number])]
        row += [("features", row_features, msgspec.field(default_factory=row_features))]
        frame += [("features", frame_features, msgspec.field(default_factory=frame_features))]
    else:  # without features it is a message of another kind
        row += [("features", row_features)]
        frame += [("features", frame_features)]
    row_type = msgspec.defstruct("Row", row, kw_only=True, gc=False)
    frame_type = msgspec.defstruct("Frame", frame, kw_only=True)
    return Decoders(
        row_type,
        msgspec.json.Decoder(row_type).decode,
        msgspec.json.Decoder(frame_type).decode,
        _getter([f for f in names if f[0] == "n"]),
        _getter([f for f in names if f[0] == "c"]),
        columns.numeric + ((SCORE,) if source == "predictions" else ()),
        columns.categorical,
    )


def _getter(fields: list[str]) -> Callable[[Any], tuple[Any, ...]]:
    """Return the fields of a struct as a tuple, whatever their number."""
    if not fields:
        return lambda features: ()
    get = attrgetter(*fields)
    return get if len(fields) > 1 else lambda features: (get(features),)
