import json
import math
import re
from datetime import date, datetime, timedelta
from decimal import Decimal
from enum import Enum, IntEnum, StrEnum
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tidegauge.frames as frames_module
from tests.tidegauge.transports import Tape
from tidegauge import Producer
from tidegauge.frames import MAX_FEATURES, clean, encode, plain
from tidegauge.schemas import events

FRAMES: dict[str, Any] = {
    "predictions": events.PredictionFrame,
    "labels": events.LabelFrame,
    "features": events.FeatureFrame,
}


whole = st.integers(-(2**53), 2**53)  # beyond, the wire is exact and the schemas' float64 is not
numbers = st.floats(-1e100, 1e100) | st.sampled_from([math.nan, math.inf, -math.inf])
values = st.none() | st.booleans() | numbers | whole | st.text(max_size=5)
rows = st.lists(
    st.tuples(
        st.text(min_size=1, max_size=8),
        st.integers(0, 2**47),
        st.dictionaries(st.text(max_size=2), values, max_size=4),
        st.floats(-1e100, 1e100) | st.booleans(),
    ),
    min_size=1,
    max_size=8,
)


def test_a_number_that_a_worker_would_reject_is_refused_here() -> None:
    with pytest.raises(ValueError, match="must lie within"):
        plain(1.1e100)


@given(rows, st.sampled_from(sorted(FRAMES)), st.sampled_from([1, 200, 10_000]))
def test_all_frames_decode_under_the_schemas_and_hold_the_rows_in_order(
    rows: list[tuple[str, int, dict[str, Any], float]], topic: str, limit: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(frames_module, "MAX_BYTES", limit)
        frames = encode("fraud", "3", topic, [clean((topic, *row)) for row in rows])
    found = []
    for payload, count in frames:
        frame = msgspec.json.decode(payload, type=FRAMES[topic])
        assert count == len(frame.ids) and (count == 1 or len(payload) <= limit)
        for n, key in enumerate(frame.ids):
            columns = getattr(frame, "features", {}).items()
            features = {name: column[n] for name, column in columns if column[n] is not None}
            value = getattr(frame, topic)[n] if topic != "features" else None
            found.append((key, frame.ts_ms[n], features, value))
    assert found == [
        (key, ts_ms, present(features) if topic != "labels" else {}, value)
        for key, ts_ms, features, value in (
            (*row[:3], row[3] if topic != "features" else None) for row in rows
        )
    ]


def present(features: dict[str, Any]) -> dict[str, Any]:
    """Return what of the features is not missing."""
    return {
        name: value
        for name, value in features.items()
        if value is not None and not (isinstance(value, float) and not math.isfinite(value))
    }


def test_rows_with_ever_new_features_stay_below_the_limit_of_the_wire() -> None:
    many = [
        clean(("predictions", f"req-{row}", 0, {f"{row}-{n}": 1 for n in range(900)}, 0.5))
        for row in range(5)
    ]
    frames = [
        msgspec.json.decode(payload) for payload, _ in encode("fraud", "", "predictions", many)
    ]
    assert all(len(frame["features"]) <= MAX_FEATURES for frame in frames)
    assert sum(len(frame["ids"]) for frame in frames) == len(many)


class NAType:
    """As pandas has it, which is not installed with the client's tests."""

    def __bool__(self) -> bool:
        raise TypeError("boolean value of NA is ambiguous")


class NaTType:
    def __float__(self) -> float:
        raise TypeError("float() argument must be a string or a real number, not 'NaTType'")


NAMES = {
    "np": np, "pd": SimpleNamespace(NA=NAType(), NaT=NaTType()), "Decimal": Decimal,
    "Enum": Enum, "IntEnum": IntEnum, "StrEnum": StrEnum, "uuid4": uuid4,
    "date": date, "datetime": datetime, "timedelta": timedelta,
}  # fmt: skip
PAGE = (Path(__file__).parent.parent.parent / "docs" / "sending.md").read_text(encoding="utf-8")
TABLE = PAGE.partition("<!-- values -->\n")[2].partition("\n\n")[0].splitlines()[2:]
CASES = [
    (part.strip(), given, sent.strip())
    for _, part, cell, sent, _ in (line.split("|") for line in TABLE)
    for given in re.findall(r"`(.+?)`", cell)
]


@pytest.mark.parametrize(("part", "given", "sent"), CASES)
def test_what_becomes_of_a_value_is_what_the_documentation_says(
    part: str, given: str, sent: str, tape: Tape, caplog: pytest.LogCaptureFixture
) -> None:
    value = eval(given, NAMES)  # our own documentation
    row: dict[str, Any] = {"id": "req-1", "prediction": 0.5, "features": {}, "ts_ms": 0}
    row |= {"features": {"name": value}} if part == "feature" else {part: value}
    with Producer(model="fraud", transport=lambda: tape) as producer:
        producer.prediction(**row)
    if sent.startswith("fails"):
        assert producer.failed == 1 and "1 rows failed" in caplog.text
        assert {"feature": "feature 'name'"}.get(part, part.removesuffix("s")) in caplog.text
        return
    frame, expected = tape.frame(), json.loads(sent.split("`")[1])
    found = {
        "feature": frame["features"].get("name"),
        "features": [frame["features"]],
        "prediction": frame["predictions"],
        "id": frame["ids"],
        "ts_ms": frame["ts_ms"],
    }[part]
    assert found == [expected] and type(found[0]) is type(expected)
    assert caplog.text == ""


def test_the_table_of_values_is_found() -> None:
    assert len(CASES) > 60


class Awkward:
    """A foreign object that raises whatever it likes."""

    def item(self) -> float:
        raise RuntimeError("a Tensor with 2 elements cannot be converted to Scalar")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (np.longdouble(1.5), 1.5),
        (np.timedelta64("NaT", "s"), None),
        (np.array(3), 3),
        (np.array([None]), None),
        (Fraction(3, 2), 1.5),
        ("ä", "ä"),
    ],
)
def test_a_value_travels_as_the_plain_value_it_stands_for(value: Any, expected: Any) -> None:
    found = plain(value)
    assert found == expected and type(found) is type(expected)


@pytest.mark.parametrize(
    "value",
    [
        np.timedelta64(5, "ns"), np.array("2026-11-01", "M8[ns]"), np.array([]), Decimal("sNaN"),
        Fraction(10**400), np.longdouble("1e4000"), 1j, object(), Awkward(),
    ],
)  # fmt: skip
def test_a_value_without_one_meaning_is_refused_with_what_to_send(value: Any) -> None:
    with pytest.raises(TypeError, match=rf"got {type(value).__name__}: send what you mean by it"):
        plain(value)
