"""Files as people have them: what a cell means, and what is said where it cannot mean anything."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

from tidegauge.schemas.monitors import FeatureSpec
from tidegauge.streams.cli.files import read_table
from tidegauge.streams.cli.options import Columns
from tidegauge.streams.runtime.errors import ConfigurationError

Read = Callable[..., dict[str, list[Any]]]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """Return a function that writes a CSV file and returns its columns."""

    def columns(text: str | bytes, name: str = "rows.csv", **said: Any) -> dict[str, list[Any]]:
        file = tmp_path / name
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
        found: dict[str, list[Any]] = read_table(file, Columns(**said)).to_pydict()
        return found

    return columns


def column(read: Read, *cells: str) -> list[Any]:
    rows = "".join(f'"{cell}",1\n' for cell in cells)
    return read(f"x,y\n{rows}")["x"]


def parquet_file(tmp_path: Path, table: pa.Table, name: str = "rows.parquet") -> Path:
    parquet.write_table(table, tmp_path / name)
    return tmp_path / name


@pytest.mark.parametrize(
    ("cells", "values"),
    [
        (["3", "-4", "0"], [3, -4, 0]),
        (["3", "2.5"], [3.0, 2.5]),
        ([" 3 ", "4"], [3, 4]),
        (["1.", ".5", "-.5", "1e-05", "1.0E22"], [1.0, 0.5, -0.5, 1e-05, 1e22]),
        (["0.12345678901234567890"], [0.12345678901234568]),
        (["True", "false", ""], [True, False, None]),
        (["NA", "n/a", "nan", "NULL", "None", "<NA>", "", "inf", "7"], [None] * 8 + [7]),
        (["NA", "", "null"], [None] * 3),
    ],
)
def test_a_column_of_plain_numbers_or_booleans_is_that(
    cells: list[str], values: list[Any], read: Read
) -> None:
    assert column(read, *cells) == values


@pytest.mark.parametrize(
    "cells",
    [
        ["02134", "10115"],
        ["00000001", "00000002"],
        ["+4917012345", "4917012345"],
        ["12345678901234567890", "1"],
        ["-0012"],
        ["12,5", "1,250.00"],
        ["93%"],
        ["0x1F"],
        ["NA", "DE", "nan"],
        ["true", "yes"],
        ["true", "1"],
        [" lead", "a,b", 'quoted ""x""', "日本"],
    ],
)
def test_what_a_number_would_change_stays_text_as_it_is_written(
    cells: list[str], read: Read
) -> None:
    assert column(read, *cells) == [cell.replace('""', '"') for cell in cells]


@pytest.mark.parametrize("late", ["SUMMER", "2.5"])
def test_a_cell_late_in_the_file_counts_as_much_as_the_first(late: str, read: Read) -> None:
    early = "" if late == "SUMMER" else "3"
    found = read("x,pad\n" + f"{early},{'p' * 40}\n" * 500_000 + f"{late},p\n")["x"]
    assert found[-1] == (late if late == "SUMMER" else 2.5)
    assert found[0] == (None if late == "SUMMER" else 3.0)


def test_an_empty_cell_is_missing_whether_quoted_or_not(read: Read) -> None:
    found = read('a,b\n,""\nx,y\n')
    assert found == {"a": [None, "x"], "b": [None, "y"]}


def test_what_an_option_or_a_spec_names_is_text_from_the_first_byte(read: Read) -> None:
    text = "id,at,score,y,known,kind\n" + "007,1750000000000,0.5,1,1750000000000,3\n"
    named = {"id": "id", "time": "at", "prediction": "score", "label": "y", "label_time": "known"}
    found = read(text, **named, types={"kind": FeatureSpec(type="categorical")})
    assert {type(values[0]) for values in found.values()} == {str}
    assert found["id"] == ["007"]


def test_times_are_told_from_text_as_they_are_no_features(tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    file.write_text("d,t,c\n2026-01-31,2026-01-31 10:00:00.5+02:00,2026-01\n")
    kinds = {field.name: str(field.type) for field in read_table(file, Columns()).schema}
    assert kinds == {"d": "timestamp[ms]", "t": "timestamp[ms]", "c": "string"}


def test_a_quoted_newline_may_come_anywhere_in_a_large_file(read: Read) -> None:
    note = "a" * 30 + "\n" + "b" * 30
    found = read("note,x\n" + f'"{note}",1\n' * 300_000)
    assert found["note"][-1] == note
    assert sum(found["x"]) == 300_000


def test_a_quoted_cell_that_never_ends_swallows_no_rows(read: Read) -> None:
    with pytest.raises(ConfigurationError, match="got one in row 2 that does not"):
        read('x,c\n1,a\n2,"b\n3,c\n4,d\n')
    assert read('x,c\n1,5" pipe\n2,b\n')["c"] == ['5" pipe', "b"]
    assert read('x,c\n1,a\n2,"b\nc"')["c"] == ["a", "b\nc"]


def test_a_column_that_looks_like_numbers_and_is_text_is_told_with_its_first_odd_cell(
    read: Read, capsys: pytest.CaptureFixture[str]
) -> None:
    column(read, "3", "4", "n.a.", "5")
    assert (
        "column 'x' is read as text: 'n.a.' in row 3 is no plain number" in capsys.readouterr().err
    )
    column(read, "12,5", "13,5")
    assert "'12,5' in row 1" in capsys.readouterr().err
    column(read, "10.0.0.1", "DE", "3")
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(("mark", "name"), [(";", "semicolons"), ("\t", "tabs")])
def test_other_marks_between_columns_are_found_in_the_header_and_told(
    mark: str, name: str, read: Read, capsys: pytest.CaptureFixture[str]
) -> None:
    assert read(f"a{mark}b\n1{mark}x,y\n") == {"a": [1], "b": ["x,y"]}
    assert f"has {name} between columns" in capsys.readouterr().err


@pytest.mark.parametrize("header", ["", "Unnamed: 0", "__index_level_0__"])
def test_an_index_as_pandas_writes_it_is_left_out_and_told(
    header: str, read: Read, capsys: pytest.CaptureFixture[str]
) -> None:
    assert read(f"{header},x\n0,1.5\n1,2.5\n") == {"x": [1.5, 2.5]}
    told = header or "the column without a name"
    assert f"left out, an index and no feature: {told}\n" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["__index_level_0__", "customer"])
def test_the_index_that_parquet_tells_of_is_left_out_unless_it_is_named(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told = json.dumps({"index_columns": [name, {"kind": "range"}], "columns": []})
    table = pa.table({"x": [1.5], name: [7]}).replace_schema_metadata({"pandas": told})
    file = parquet_file(tmp_path, table)
    assert read_table(file, Columns()).column_names == ["x"]
    assert f"left out, an index and no feature: {name}\n" in capsys.readouterr().err
    assert read_table(file, Columns(id=name)).column_names == ["x", name]
    assert read_table(file, Columns(features=[name])).column_names == ["x", name]
    assert capsys.readouterr().err == ""


def test_blanks_around_a_name_are_no_part_of_it(read: Read) -> None:
    assert read("score, x\n0.5, DE\n") == {"score": [0.5], "x": [" DE"]}


def test_a_byte_order_mark_and_compression_are_understood(read: Read) -> None:
    assert read("\ufeffa,b\n1,2\n") == {"a": [1], "b": [2]}
    assert read(gzip.compress(b"a,b\n1,2\n"), "rows.csv.gz") == {"a": [1], "b": [2]}


def test_parquet_is_known_by_its_first_bytes_whatever_its_name(tmp_path: Path) -> None:
    file = parquet_file(tmp_path, pa.table({"x": [1]}), "part-00000")
    assert read_table(file, Columns()).to_pydict() == {"x": [1]}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a,b\n", "expected rows, got none"),
        ("a,a\n1,2\n", "expected columns of different names, got ['a']"),
        ("a,b\n1,2\n3\n", "expected CSV in UTF-8, or Parquet as .parquet: "),
        ("", "expected CSV in UTF-8, or Parquet as .parquet: "),
        ("a,b\n1,naïve\n".encode("latin-1"), "expected CSV in UTF-8, or Parquet as .parquet: "),
        ("a,b\n1,2\n".encode("utf-16"), "expected CSV in UTF-8, or Parquet; this is UTF-16"),
        ('{"id": 1, "score": 0.5}\n', "expected CSV in UTF-8, or Parquet; this is JSON"),
        ('[\n {"id": 1}]', "expected CSV in UTF-8, or Parquet; this is JSON"),
        (b"PK\x03\x04\0\0", "expected CSV in UTF-8, or Parquet; this is a binary file"),
    ],
)
def test_a_file_that_will_not_do_is_named(text: str | bytes, told: str, read: Read) -> None:
    with pytest.raises(ConfigurationError) as caught:
        read(text)
    assert f"rows.csv: {told}" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_parquet_with_text_that_is_none_is_refused(tmp_path: Path) -> None:
    latin = pa.array([b"na\xefve"]).view(pa.string())
    file = parquet_file(tmp_path, pa.table({"c": latin}))
    with pytest.raises(ConfigurationError, match="Invalid UTF8"):
        read_table(file, Columns())


def test_a_file_that_only_claims_to_be_parquet_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "rows.parquet"
    file.write_text("a,b\n1,2\n")
    with pytest.raises(ConfigurationError, match="expected CSV in UTF-8, or Parquet"):
        read_table(file, Columns())
