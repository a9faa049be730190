"""What a column of each type means as id, time, prediction or feature."""

import datetime as dt
import decimal
import uuid
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from tidegauge.schemas.monitors import FeatureSpec
from tidegauge.streams.cli import columns as read
from tidegauge.streams.cli.bad_rows import BadRows
from tidegauge.streams.cli.options import Columns
from tidegauge.streams.runtime.errors import ConfigurationError

NEW_YEAR_MS = 1_356_998_400_000
NOW_MS = NEW_YEAR_MS + 86_400_000
UUIDS = [uuid.UUID(int=7), uuid.UUID(int=2**127)]


def ids(values: Any) -> tuple[list[Any], list[str]]:
    table = pa.table({"id": values})
    bad = BadRows(table.num_rows)
    return read.ids(table, "id", 0, bad).to_pylist(), bad.reasons


@pytest.mark.parametrize(
    ("values", "text"),
    [
        (["007", "x"], ["007", "x"]),
        (pa.array(["a", "b"], pa.string_view()), ["a", "b"]),
        (pa.array(["a", "b"], pa.large_string()), ["a", "b"]),
        (pa.array(["a", "a"]).dictionary_encode(), ["a", "a"]),
        (pa.array([1, 2]).dictionary_encode(), ["1", "2"]),
        ([2**53 + 1, -1], ["9007199254740993", "-1"]),
        (pa.array([2**64 - 1], pa.uint64()), ["18446744073709551615"]),
        ([1.0, 1e15 + 1], ["1", "1000000000000001"]),
        (pa.array([decimal.Decimal(10**30)]), [str(10**30)]),
        (pa.array([u.bytes for u in UUIDS], pa.binary(16)), [str(u) for u in UUIDS]),
        (pa.array([u.bytes for u in UUIDS], pa.uuid()), [str(u) for u in UUIDS]),
        (pa.array([b"req-1"]), ["req-1"]),
    ],
)
def test_an_id_is_the_text_that_people_would_write(values: Any, text: list[str]) -> None:
    assert ids(values) == (text, [])


def test_ids_with_the_decimal_that_pandas_adds_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert ids(["17.0", "18.0"]) == (["17.0", "18.0"], [])
    assert "column 'id': ids are sent as written, with the .0" in capsys.readouterr().err
    assert ids(["17.0", "18.5"]) == (["17.0", "18.5"], [])
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("values", "got"),
    [
        (["a", None, None], "nothing"),
        (["a", "", "b"], "''"),
        ([1.0, None, 2.0], "nothing"),
        ([1.0, float("nan"), 2.0], "nan"),
        ([1.0, 2.0**53, 2.0], "9007199254740992.0"),
        ([1.0, 1.5, 2.0], "1.5"),
        (pa.array([UUIDS[0].bytes, None], pa.binary(16)), "nothing"),
    ],
)
def test_what_is_no_id_is_told_with_its_row(values: Any, got: str) -> None:
    (reason,) = ids(values)[1]
    assert reason.startswith("column 'id': expected an id, as text or as a whole number below 2^53")
    assert f"got {got} in row 2" in reason


@pytest.mark.parametrize("values", [pa.array([[1]]), pa.array([b"\xff"]), pa.array([{"a": 1}])])
def test_a_type_that_is_no_id_is_refused(values: Any) -> None:
    with pytest.raises(ConfigurationError, match="column 'id': expected text, got"):
        ids(values)


def times(values: Any) -> tuple[list[Any], list[str]]:
    table = pa.table({"t": values})
    bad = BadRows(table.num_rows)
    ms = read.times(table, "t", bad)
    read.check_times(ms, np.full(len(ms), float(NOW_MS)), table, "t", bad)
    return (ms - NEW_YEAR_MS).tolist(), bad.reasons


@pytest.mark.parametrize(
    "values",
    [
        ["2013-01-01T00:00:01.5Z", "2013-01-01T00:00:02+00:00"],
        ["2013-01-01T01:00:01.5+01:00", "2013-01-01T00:00:02Z"],
        ["2013-01-01T01:00:01.5+0100", "2013-01-01T02:00:02+02"],
        ["2013-01-01 00:00:01.5 UTC", "2013-01-01 00:00:02 UTC"],
        ["2013-01-01 02:00:01.5 +02:00", "2013-01-01 00:00:02 UTC"],
        ["2013-01-01T00:00:01.500", " 2013-01-01 00:00:02 "],
        ["2013-01-01T00:00:01.500999999Z", "2013-01-01T00:00:02Z"],
        ["1356998401500", "2013-01-01T00:00:02"],
        ["1356998401500.9", "1.356998402e12"],
        [NEW_YEAR_MS + 1500, NEW_YEAR_MS + 2000],
        [NEW_YEAR_MS + 1500.9, NEW_YEAR_MS + 2000.0],
        pa.array([decimal.Decimal(NEW_YEAR_MS + 1500), decimal.Decimal(NEW_YEAR_MS + 2000)]),
        pa.array(
            [(NEW_YEAR_MS + 1500) * 1000 + 999, (NEW_YEAR_MS + 2000) * 1000], pa.timestamp("us")
        ),
        pa.array(
            [(NEW_YEAR_MS + 1500) * 10**6 + 1, (NEW_YEAR_MS + 2000) * 10**6], pa.timestamp("ns")
        ),
        pa.array([NEW_YEAR_MS + 1500, NEW_YEAR_MS + 2000], pa.timestamp("ms", "Europe/Berlin")),
        pa.array([NEW_YEAR_MS + 1500, NEW_YEAR_MS + 2000]).dictionary_encode(),
    ],
)
def test_times_come_in_many_forms(values: Any) -> None:
    assert times(values) == ([1500.0, 2000.0], [])


@pytest.mark.parametrize("values", [pa.array([15_706], pa.date32()), ["2013-01-01"]])
def test_a_day_is_its_midnight(values: Any) -> None:
    assert times(values) == ([0.0], [])


SECONDS = NEW_YEAR_MS // 1000
FORM = "expected ISO 8601 or milliseconds since 1970"


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (SECONDS, "expected milliseconds since 1970 (this looks like seconds)"),
        (SECONDS + 0.25, "expected milliseconds since 1970 (this looks like seconds)"),
        (SECONDS * 10**6, "expected milliseconds since 1970 (this looks like microseconds)"),
        (SECONDS * 10**9, "expected milliseconds since 1970 (this looks like nanoseconds)"),
        (0, "expected a time after 1979"),
        (20_130_101, "expected a time after 1979"),
        (NOW_MS + 1, "expected a time at most a day ahead"),
        (20_130_101_000_000, "expected a time at most a day ahead"),
    ],
)
@pytest.mark.parametrize("as_text", [False, True])
def test_a_number_that_cannot_be_milliseconds_is_told_at_its_row(
    value: float, told: str, as_text: bool
) -> None:
    cells: list[Any] = [NEW_YEAR_MS, NEW_YEAR_MS, value, NEW_YEAR_MS]
    (reason,) = times([str(cell) for cell in cells] if as_text else pa.array(cells))[1]
    assert reason.startswith(f"column 't': {told}")
    assert reason.endswith("in row 3")


@pytest.mark.parametrize(
    ("cell", "told"),
    [
        ("01/31/2013 10:00", FORM),
        ("31.01.2013", FORM),
        ("2013-02-30", FORM),
        ("2013-01-01T24:30:00", FORM),
        ("soon", FORM),
        ("1900-01-01", "expected a time after 1979"),
        ("9999-12-31", "expected a time at most a day ahead"),
    ],
)
def test_text_that_is_no_time_is_told_at_its_row(cell: str, told: str) -> None:
    (reason,) = times(["2013-01-01", cell, None, cell])[1]
    assert reason.startswith(f"column 't': {told}")
    assert reason.endswith(f"got {cell!r} in row 2 and 1 more")


@pytest.mark.parametrize(
    "values",
    [
        pa.array([None, 2**62], pa.timestamp("ns")),
        pa.array([None, 2**60], pa.timestamp("us")),
        pa.array([None, 2**62], pa.timestamp("ms")),
        pa.array([None, 2**50], pa.timestamp("s")),
        pa.array([None, SECONDS], pa.timestamp("ns")),  # as pandas takes seconds without a unit
    ],
)
def test_a_typed_time_that_cannot_be_right_is_told_at_its_row(values: Any) -> None:
    (reason,) = times(values)[1]
    assert reason.startswith("column 't': expected ")
    assert reason.endswith("in row 2")


def test_times_with_and_without_a_zone_are_not_mixed() -> None:
    with pytest.raises(ConfigurationError) as caught:
        times(["2013-01-01T00:00:00Z", None, "2013-01-01T00:00:00"])
    assert str(caught.value) == (
        "column 't': expected times with a zone or without one, got '2013-01-01T00:00:00Z' in "
        "row 1 and '2013-01-01T00:00:00' in row 3"
    )


@pytest.mark.parametrize(
    "values",
    [
        pa.array([dt.time(1)]),
        pa.array([dt.timedelta(1)]),
        pa.array([[1]]),
        pa.array([b"x"]),
    ],
)
def test_a_type_that_is_no_time_is_refused(values: Any) -> None:
    with pytest.raises(ConfigurationError, match=f"column 't': {FORM}, got "):
        times(values)


def numbers(values: Any) -> tuple[list[Any], list[str]]:
    table = pa.table({"y": values})
    bad = BadRows(table.num_rows)
    return read.numbers(table, "y", "a number", bad).to_pylist(), bad.reasons


@pytest.mark.parametrize(
    ("values", "found"),
    [
        (["1", "+5", "007", " 2.5 ", None], [1.0, 5.0, 7.0, 2.5, None]),
        (["1", "NA", "0"], [1, None, 0]),
        (["TRUE", "false", "NULL"], [True, False, None]),
        ([1.5, float("nan"), float("inf"), None], [1.5, None, None, None]),
        (pa.array([0.5, None], pa.float16()), [0.5, None]),
        (pa.array([decimal.Decimal("12.50"), None]), [12.5, None]),
        (pa.array([True, None]), [True, None]),
        (pa.array([3, None]).dictionary_encode(), [3, None]),
        (pa.array(["3", None]).dictionary_encode(), [3, None]),
        (pa.nulls(2), [None, None]),
    ],
)
def test_numbers_are_read_from_text_and_from_every_type_of_them(
    values: Any, found: list[Any]
) -> None:
    assert numbers(values) == (found, [])


@pytest.mark.parametrize("cell", ["yes", "93%", "0,5", "1,250.00", "high", "0x1F", "1e400", "-"])
def test_text_that_is_no_number_is_told_at_its_row(cell: str) -> None:
    for others in ("0.5", "1"):
        found, (reason,) = numbers([others, cell, others, cell])
        assert reason == f"column 'y': expected a number, got {cell!r} in row 2 and 1 more"
        assert found[0] == float(others)


@pytest.mark.parametrize("values", [pa.array([dt.date(2013, 1, 1)]), pa.array([[1]])])
def test_a_type_that_is_no_number_is_refused(values: Any) -> None:
    with pytest.raises(ConfigurationError, match="column 'y': expected a number, got "):
        numbers(values)


def features(
    table: dict[str, Any], **said: Any
) -> tuple[dict[str, list[Any]], list[str], list[str]]:
    types = {name: FeatureSpec(type=kind) for name, kind in said.pop("types", {}).items()}
    rows = pa.table(table)
    bad = BadRows(rows.num_rows)
    found, left_out = read.features(rows, Columns(types=types, **said), bad)
    return found.to_pydict(), left_out, bad.reasons


@pytest.mark.parametrize(
    ("kind", "value", "lost"),
    [
        (pa.int64(), 2**53 - 1, False),
        (pa.int64(), 2**53 + 1, True),
        (pa.int64(), -(2**63), True),
        (pa.uint64(), 2**64 - 1, True),
        (pa.int8(), 7, False),
    ],
)
def test_whole_numbers_whose_digits_a_float_loses_are_told(
    kind: pa.DataType, value: int, lost: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    table = {"n": pa.array([1, None, value], kind), "nothing": pa.array([None] * 3, kind)}
    features(table)
    told = capsys.readouterr().err
    assert ("column 'n' has whole numbers beyond 2^53" in told, "nothing" in told) == (lost, False)
    features(table, types={"n": "categorical"})
    assert capsys.readouterr().err == ""


def test_features_keep_their_types_and_the_rest_is_left_out_and_named() -> None:
    found, left_out, bad = features(
        {
            "text": pa.array(["red", ""], pa.string_view()),
            "coded": pa.array(["x", None]).dictionary_encode(),
            "number": pa.array([2**40, None]),
            "large": pa.array([2**64 - 1, 0], pa.uint64()),
            "half": pa.array([0.5, float("nan")], pa.float16()),
            "exact": pa.array([decimal.Decimal("0.25"), None]),
            "none": pa.nulls(2),
            "day": pa.array([0, 1], pa.date32()),
            "clock": pa.array([dt.time(1)] * 2),
            "nested": pa.array([[1.0], [2.0]]),
            "bytes": pa.array([b"x", b"y"]),
            "uuid": pa.array([u.bytes for u in UUIDS], pa.uuid()),
        }
    )
    assert found == {
        "text": ["red", None],
        "coded": ["x", None],
        "number": [2**40, None],
        "large": [2**64 - 1, 0],
        "half": [0.5, None],
        "exact": [0.25, None],
        "none": [None, None],
    }
    names = [told.split(" ")[0] for told in left_out]
    assert names == ["day", "clock", "nested", "bytes", "uuid"]
    assert left_out[0] == "day (date32[day])"
    assert bad == []


def test_a_declared_type_rules_whatever_the_file_says() -> None:
    declared = {"zip": "categorical", "rating": "categorical", "day": "categorical"}
    declared |= {
        "code": "numeric",
        "flag": "boolean",
        "price": "numeric",
        "session": "ignore",
        "absent": "numeric",
    }
    found, left_out, bad = features(
        {
            "zip": [2134, None],
            "rating": [1.0, 1.5],
            "day": pa.array([0, None], pa.date32()),
            "code": ["007", "NA"],
            "flag": ["true", "0"],
            "price": ["1.5", "1,5"],
            "session": [[1], [2]],
        },
        types=declared,
    )
    assert found == {
        "zip": ["2134", None],
        "rating": ["1", "1.5"],
        "day": ["1970-01-01", None],
        "code": [7, None],
        "flag": [1, 0],
        "price": [1.5, None],
    }
    assert left_out == []
    assert bad == [
        "column 'price': expected a number, true or false, as declared in --monitors, "
        "got '1,5' in row 2"
    ]


def test_columns_with_a_role_are_no_features() -> None:
    found, _, _ = features(
        {"i": ["a"], "t": [1], "p": [0.5], "y": [1], "at": [1], "x": [2]},
        id="i",
        time="t",
        prediction="p",
        label="y",
        label_time="at",
    )
    assert found == {"x": [2]}


def test_a_column_with_a_role_may_be_named_as_a_feature_as_well() -> None:
    found, _, _ = features({"i": ["1", "x"], "p": ["0.5", ""]}, id="i", features=["p", "i"])
    assert found == {"p": ["0.5", None], "i": ["1", "x"]}
    found, _, _ = features({"p": ["0.5", ""]}, prediction="p", features=["p"])
    assert found == {"p": [0.5, None]}


def test_a_feature_that_is_named_must_be_one() -> None:
    with pytest.raises(
        ConfigurationError, match="column 'd': expected numbers, booleans or text, got date"
    ):
        features({"d": pa.array([0], pa.date32()), "x": [1]}, features=["x", "d"])
    with pytest.raises(ConfigurationError, match="expected a column 'z'; the file has x"):
        features({"x": [1]}, features=["z"])
