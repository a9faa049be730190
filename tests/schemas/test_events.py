"""Rows and frames go through JSON unchanged, and what is wrong is named by its path."""

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tidegauge.schemas.events import (
    FeatureFrame,
    Features,
    Label,
    LabelFrame,
    Prediction,
    PredictionFrame,
)

few = settings(derandomize=True, deadline=None, max_examples=60)
text = st.text(st.characters(codec="utf-8"), min_size=1, max_size=20)
number = st.floats(-1e100, 1e100) | st.booleans()
value = number | text | st.none()
millis = st.integers(0, 253_402_300_799_999)
head: dict[str, st.SearchStrategy[Any]] = {"model": text, "version": text}
one = head | {"id": text, "ts_ms": millis}
many = head | {"ids": st.lists(text, max_size=3), "ts_ms": st.lists(millis, max_size=3)}
features = st.dictionaries(text, value, max_size=3)
columns = st.dictionaries(text, st.lists(value, max_size=3), max_size=3)
MESSAGES: dict[type[Any], dict[str, st.SearchStrategy[Any]]] = {
    Prediction: one | {"prediction": number, "features": features},
    Features: one | {"features": features},
    Label: one | {"label": number},
    PredictionFrame: many | {"predictions": st.lists(number, max_size=3), "features": columns},
    FeatureFrame: many | {"features": columns},
    LabelFrame: many | {"labels": st.lists(number, max_size=3)},
}


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: message.__name__)
@few
@given(data=st.data())
def test_a_message_comes_back_as_it_went(message: type[Any], data: st.DataObject) -> None:
    sent = message(**{name: data.draw(found) for name, found in MESSAGES[message].items()})
    assert msgspec.json.decode(msgspec.json.encode(sent), type=message) == sent


def test_unknown_fields_are_kept_out() -> None:
    value = b'{"model": "m", "id": "1", "ts_ms": 0, "label": 1, "comment": {"by": "me"}}'
    assert msgspec.json.decode(value, type=Label) == Label(model="m", id="1", ts_ms=0, label=1)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"model": ""}, r"length >= 1 - at `\$.model`"),
        ({"model": "m" * 201}, r"length <= 200 - at `\$.model`"),
        ({"id": ""}, r"length >= 1 - at `\$.id`"),
        ({"id": "i" * 513}, r"length <= 512 - at `\$.id`"),
        ({"version": "v" * 101}, r"length <= 100 - at `\$.version`"),
        ({"ts_ms": -1}, r"`int` >= 0 - at `\$.ts_ms`"),
        ({"ts_ms": 253_402_300_800_000}, r"`int` <= 253402300799999 - at `\$.ts_ms`"),
        ({"ts_ms": 0.5}, r"got `float` - at `\$.ts_ms`"),
        ({"prediction": None}, r"got `null` - at `\$.prediction`"),
        ({"prediction": 1e101}, r"<= 1e\+100 - at `\$.prediction`"),
        ({"features": {"a": [1]}}, r"got `array` - at `\$.features\[...\]`"),
    ],
)
def test_what_is_wrong_is_named_by_its_path(fields: dict[str, Any], reason: str) -> None:
    good = {"model": "m", "id": "1", "ts_ms": 0, "prediction": 0.5}
    with pytest.raises(msgspec.ValidationError, match=reason):
        msgspec.json.decode(msgspec.json.encode(good | fields), type=Prediction)
