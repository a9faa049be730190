"""Into which slices the values of a feature divide rows."""

import numpy as np
import pytest

from tidegauge.schemas.monitors import SliceSpec
from tidegauge.schemas.references import CategoryProfile, NumericProfile
from tidegauge.streams.monitor.intake.dictionary import Dictionary
from tidegauge.streams.monitor.series.view import Categories, Numbers, Profiles, Vocabulary
from tidegauge.streams.monitor.slices.dimensions import Dimension, dimension
from tidegauge.streams.monitor.verdict.learning import mid_ranks

COUNTRY = CategoryProfile(shares={"FR": 0.3, "DE": 0.6, "PL": 0.096, "AT": 0.004})


def profile(values: list[float]) -> NumericProfile:
    """Return what a reference says of these values."""
    found = mid_ranks(np.array(values), np.ones(len(values)))
    points, ranks = (part.tolist() for part in found)
    low, high = min(values), max(values)
    return NumericProfile(points=points, ranks=ranks, mean=0, sd=1, low=low, high=high)


AMOUNT, VIP = profile([*map(float, range(100))]), profile([0.0] * 9 + [1.0])


def slices_of(declared: str | SliceSpec, values: list[float]) -> tuple[list[str], list[int]]:
    """Return the slices of a number ``x``, and in which of them values are."""
    own = AMOUNT if len(values) > 3 else VIP
    found = dimension(declared, {"x": own}, {})
    assert isinstance(found, Dimension)
    numbers = Numbers(["x"], np.array(values)[:, None], Profiles([own]))
    texts = Categories([], np.empty((len(values), 0), np.int32), [], [])
    return found.names, found.places(numbers, texts).tolist()


def test_a_number_is_divided_by_quartiles_and_a_missing_value_is_in_no_slice() -> None:
    names, places = slices_of("x", [-5.0, 24.0, 25.0, 60.0, 99.0, 1e9, np.nan])
    assert names == ["x below 25", "x from 25 to 50", "x from 50 to 75", "x of 75 or more"]
    assert places == [0, 0, 1, 2, 3, 3, -1]


def test_no_two_slices_have_one_name_however_near_their_edges() -> None:
    found = dimension("x", {"x": profile([52.5 + n / 1e5 for n in range(100)])}, {})
    assert isinstance(found, Dimension)
    assert found.names == [
        "x below 52.50025", "x from 52.50025 to 52.5005", "x from 52.5005 to 52.50075",
        "x of 52.50075 or more",
    ]  # fmt: skip


def test_a_spec_may_say_how_many_quantiles() -> None:
    names, _ = slices_of(SliceSpec(feature="x", quantiles=2), [1.0] * 4)
    assert names == ["x below 50", "x of 50 or more"]


def test_a_number_of_few_values_is_divided_by_each() -> None:
    names, places = slices_of("x", [0.0, 1.0, 0.5])
    assert names == ["x = 0", "x = 1"]
    assert places == [0, 1, -1]


def test_a_spec_may_say_which_values() -> None:
    names, places = slices_of(SliceSpec(feature="x", values=[True]), [0.0, 1.0, np.nan])
    assert names == ["x = 1"]
    assert places == [-1, 0, -1]


def test_equal_values_that_fill_a_quartile_are_in_one_slice() -> None:
    own = profile([0.0] * 60 + [*map(float, range(1, 41))])
    found = dimension("x", {"x": own}, {})
    assert isinstance(found, Dimension)
    assert found.names == ["x below 1", "x from 1 to 16", "x of 16 or more"]
    assert found.shares == [0.5, 0.25, 0.25]


def test_a_category_is_divided_by_its_most_frequent_values_whatever_their_codes() -> None:
    found = dimension("country", {}, {"country": COUNTRY})
    assert isinstance(found, Dimension)
    assert found.names == ["country = DE", "country = FR", "country = PL"]
    dictionary = Dictionary()
    codes = dictionary.encode(["PL", "XX", None, "DE", "AT"])[:, None]
    nothing = Numbers([], np.empty((5, 0)), Profiles([]))
    texts = Categories(["country"], codes, [dictionary], [Vocabulary(None)])
    assert found.places(nothing, texts).tolist() == [2, -1, -1, 0, -1]


def test_at_most_ten_values_are_taken() -> None:
    many = CategoryProfile(shares={f"c{at}": 0.05 for at in range(20)})
    found = dimension("c", {}, {"c": many})
    assert isinstance(found, Dimension)
    assert len(found.names) == 10


@pytest.mark.parametrize(
    ("declared", "why"),
    [
        ("y", "the reference has no y, or too many categories of it"),
        (SliceSpec(feature="x", values=[7]), "no two such values of x"),
        (SliceSpec(feature="x", values=["one"]), "no two such values of x"),
        (SliceSpec(feature="country", values=["XX"]), "no two such values of country"),
        (SliceSpec(feature="country", quantiles=2), "no two such values of country"),
    ],
)
def test_what_cannot_be_sliced_is_told_with_its_reason(declared: str | SliceSpec, why: str) -> None:
    found = dimension(declared, {"x": VIP}, {"country": COUNTRY})
    assert isinstance(found, str)
    assert why in found
