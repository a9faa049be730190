"""Which features of a model are watched, and as what; typed decoders generated from that."""

from collections import Counter
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from operator import attrgetter
from typing import Any, Literal

import msgspec

from tidegauge.schemas.events import (
    Class,
    Finite,
    Id,
    Millis,
    Name,
    Number,
    Predicted,
    Probabilities,
    Value,
    Version,
)
from tidegauge.schemas.monitors import FeatureSpec
from tidegauge.streams.monitor.intake.awaited import NULL, Kind

MAX_WATCHED = 200  # features of one model; the rest is counted as not watched
SCORE = "score"  # the number that is the model's own; a category where it predicts classes
MAX_NAME = 200  # characters of a feature's name; one with a longer name is not watched
Code = Finite | int | bool | str  # of a category
RowSource = Literal["predictions", "features"]


@dataclass(frozen=True, slots=True)
class Columns:
    """The watched features; a boolean counts as a number, 0 or 1."""

    numeric: tuple[str, ...]
    categorical: tuple[str, ...]
    coded: tuple[str, ...] = ()  # categorical ones that are declared so: numbers count as text

    @property
    def has_classes(self) -> bool:
        """Whether the model predicts classes, and not numbers."""
        return SCORE in self.categorical

    @property
    def texts(self) -> tuple[str, ...]:
        """The categorical features."""
        return tuple(name for name in self.categorical if name != SCORE)

    def plus(self, kinds: Mapping[str, Kind], declared: Container[str]) -> "Columns":
        """Return these columns and further ones behind them."""
        numeric, categorical = (
            tuple(name for name, kind in kinds.items() if kind == own)
            for own in ("numeric", "categorical")
        )
        coded = tuple(name for name in categorical if name in declared)
        return Columns(self.numeric + numeric, self.categorical + categorical, self.coded + coded)


def infer(
    rows: Sequence[Mapping[str, Value | Predicted]], declared: Mapping[str, FeatureSpec]
) -> Columns:
    """Return the columns that a model's first rows show, where the spec does not say.

    A feature is what it is declared to be, else what most of its values are. One without any value
    is left out, and so is one whose name no typed decoder can have. What is predicted stands among
    them as the score; it is a category where it is mostly classes.

    >>> infer([{"amount": 1.5, "country": "DE"}, {"amount": None, "country": "FR"}], {})
    Columns(numeric=('amount',), categorical=('country',), coded=())
    """
    texts: dict[str, Counter[bool]] = {name: Counter() for name in declared}
    for row in rows:
        for name, value in row.items():
            if value is not None:
                texts.setdefault(name, Counter())[isinstance(value, str | dict)] += 1
    seen = [name for name, values in texts.items() if values]
    kinds: dict[str, Kind] = {}
    for name in eligible(seen, declared)[:MAX_WATCHED]:
        is_text = texts[name][True] > texts[name][False]
        if name in declared:
            is_text = declared[name].type == "categorical"
        kinds[name] = "categorical" if is_text else "numeric"
    if SCORE in texts and texts[SCORE][True] > texts[SCORE][False]:
        kinds[SCORE] = "categorical"
    return Columns((), ()).plus(kinds, declared)


def eligible(names: Iterable[str], declared: Mapping[str, FeatureSpec]) -> list[str]:
    """Return which names features can be watched by, each once.

    Not the score, which is the model's own, nor what the spec ignores.
    """
    ignored = {name for name, spec in declared.items() if spec.type == "ignore"} | {SCORE}
    return [name for name in dict.fromkeys(names) if name not in ignored and is_readable(name)]


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
    columns: Columns
    awaited: tuple[str, ...]  # features without a column
    shown: Callable[[Any], tuple[msgspec.Raw, ...]]  # what a row's or frame's features say of them
    nothing: tuple[msgspec.Raw, ...]  # what they say where there is no value


@lru_cache(maxsize=4096)
def decoders(source: RowSource, columns: Columns, awaited: tuple[str, ...] = ()) -> Decoders:
    """Return the decoders of a source for these columns.

    Features that are ``awaited`` make no difference to what can be read: of them the bytes alone
    are taken.

    >>> columns = Columns(("amount",), ("country",))
    >>> row = b'{"model": "m", "id": "1", "ts_ms": 0, "features": {"country": "DE", "amount": 2}}'
    >>> read = decoders("features", columns)
    >>> read.numbers(read.row(row).features), read.categories(read.row(row).features)
    ((2.0,), ('DE',))
    """
    names = {f"n{i}": name for i, name in enumerate(columns.numeric)}
    names |= {f"c{i}": name for i, name in enumerate(columns.texts)}
    raw = {f"a{i}": name for i, name in enumerate(awaited)}

    def features(number: Any, text: Any, code: Any) -> Any:
        fields: list[Any] = [
            (f, number if f[0] == "n" else code if name in columns.coded else text, None)
            for f, name in names.items()
        ]
        fields += [(f, msgspec.Raw, NULL) for f in raw]
        return msgspec.defstruct("Features", fields, rename=names | raw, gc=False)

    row_features = features(Number | None, str | None, Code | None)
    frame_features = features(
        list[Number | None] | None, list[str | None] | None, list[Code | None] | None
    )
    head: list[Any] = [("model", Name), ("version", Version, "")]
    # A row has no ids: with them it is a frame, however short, whichever path reads it.
    no_ids = ("ids", msgspec.UnsetType, msgspec.UNSET)
    row: list[Any] = [*head, ("id", Id), ("ts_ms", Millis), no_ids]
    frame: list[Any] = [*head, ("ids", list[Id]), ("ts_ms", list[Millis])]
    if source == "predictions":
        predicted: Any = Class | Probabilities if columns.has_classes else Number
        row += [("prediction", predicted)]
        frame += [("predictions", list[predicted])]
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
        columns.numeric + ((SCORE,) if source == "predictions" and not columns.has_classes else ()),
        columns,
        awaited,
        _getter([*raw]),
        (NULL,) * len(awaited),
    )


def _getter(fields: list[str]) -> Callable[[Any], tuple[Any, ...]]:
    """Return the fields of a struct as a tuple, whatever their number."""
    if not fields:
        return lambda features: ()
    get = attrgetter(*fields)
    return get if len(fields) > 1 else lambda features: (get(features),)
