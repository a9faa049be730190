"""Features that come late are taken up when they show values, and a declared type rules."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.streams.monitor.driver import (
    SETTINGS,
    Driver,
    assert_equal,
    by_monitor,
    pairs,
    pieces,
    published,
    rejected,
)
from tests.streams.monitor.logs import NOON_MS, frame, label, row
from tidegauge.schemas.monitors import FeatureSpec, MonitorSpec, ReferenceSpec, WindowSpec
from tidegauge.schemas.references import CategoryProfile, NumericProfile, Reference, SeriesProfile
from tidegauge.streams.monitor.control.columns import other_features, watched_columns
from tidegauge.streams.monitor.intake.awaited import DECISIVE, LOOK_EVERY, Shown
from tidegauge.streams.monitor.intake.block import Block
from tidegauge.streams.monitor.intake.columns import MAX_WATCHED, Columns
from tidegauge.streams.monitor.intake.decoding import BatchReader
from tidegauge.streams.monitor.intake.messages import INTAKE_ROWS
from tidegauge.streams.monitor.intake.rejections import Rejection
from tidegauge.streams.monitor.offline import LoggedRecord
from tidegauge.streams.monitor.partition import Partition
from tidegauge.streams.monitor.rows import VersionRows
from tidegauge.streams.monitor.snapshot import VersionState

KEY = ("m", "")
Said = Mapping[str, Any]
NUMERIC, CATEGORICAL, BOOLEAN = (
    FeatureSpec(type="numeric"),
    FeatureSpec(type="categorical"),
    FeatureSpec(type="boolean"),
)


class Reader:
    """Reads rows of one model, after a first hundred."""

    def __init__(self, first: Said, declared: Mapping[str, FeatureSpec] | None = None) -> None:
        self.reader = BatchReader("predictions")
        self.reader.declared[KEY] = dict(declared or {})
        self.at = 0
        self.blocks: list[Block] = []
        self.rejections: list[Rejection] = []
        self.rows([first] * INTAKE_ROWS)

    @property
    def columns(self) -> Columns:
        return self.reader.columns[KEY]

    def rows(self, features: Sequence[Said], as_frame: bool = False) -> list[Block]:
        """Read rows in one batch, one record each or all in one."""
        values = [row("m", f"r{n}", n, own, 0.5) for n, own in enumerate(features)]
        records = [
            LoggedRecord(self.at + n, 1 << 40, b"m", value)
            for n, value in enumerate([frame(values)] if as_frame else values)
        ]
        self.at += len(records)
        batch = self.reader.read(records, {KEY})
        self.rejections += batch.rejections
        found = [block for _, block in batch.blocks]
        self.blocks += found
        return found


def values(blocks: Sequence[Block], name: str) -> list[Any]:
    """Return what rows that have the column hold in it."""
    found: list[Any] = []
    for block in blocks:
        if name in block.names:
            found += [None if np.isnan(v) else v for v in block.number(name).tolist()]
        elif name in block.categorical:
            at = block.categorical.index(name)
            found += [block.dictionaries[at].value(code) for code in block.codes[:, at].tolist()]
    return found


@pytest.mark.parametrize("as_frame", [False, True])
@pytest.mark.parametrize("value", [700.5, True, "gold"])
def test_a_feature_that_was_null_at_first_has_a_column_once_its_values_tell_what_it_is(
    as_frame: bool, value: Any
) -> None:
    reader = Reader({"a": 1, "b": "x", "late": None})
    assert reader.columns == Columns(("a",), ("b",))
    reader.rows([{"a": 1, "late": value}] * (DECISIVE - 1), as_frame)
    reader.rows([{"a": 1, "late": None}] * 5, as_frame)
    assert reader.columns == Columns(("a",), ("b",))
    [block] = reader.rows([{"a": 2, "late": value}, {"a": 3}], as_frame=True)
    assert values([block], "late") == [value, None]
    if value == "gold":
        assert (block.names, block.categorical) == (("a", "score"), ("b", "late"))
    else:
        assert (block.names, block.categorical) == (("a", "late", "score"), ("b",))
    assert block.number("a").tolist() == [2, 3] and not reader.rejections


def test_the_majority_of_the_first_values_tells_the_type_and_blanks_are_no_values() -> None:
    for numbers, texts, kind in ((12, 8, "numeric"), (9, 11, "categorical")):
        reader = Reader({"late": None})
        late: list[Any] = [1] * numbers + ["x"] * texts + [""] * 50
        reader.rows([{"late": value} for value in late[:-1]])
        assert getattr(reader.columns, kind) == ("late",)


def test_a_feature_that_was_not_there_at_first_is_noticed() -> None:
    reader = Reader({"a": 1})
    reader.rows([{"a": 1, "new": n} for n in range(LOOK_EVERY + DECISIVE)])
    assert reader.columns == Columns(("a", "new"), ())
    assert values(reader.blocks[-1:], "new")[-1] == LOOK_EVERY + DECISIVE - 1


def test_a_frame_of_many_rows_is_looked_at_whatever_its_offset() -> None:
    reader = Reader({"a": 1})
    for _ in range(2):  # the first shows that it is there, the second what it is
        reader.at += LOOK_EVERY + 1 - reader.at % LOOK_EVERY
        reader.rows([{"a": 1, "new": n} for n in range(LOOK_EVERY)], as_frame=True)
    assert reader.columns == Columns(("a", "new"), ())
    assert values(reader.blocks[-1:], "new") == [*range(LOOK_EVERY)]


def test_rows_behind_a_frame_that_brought_a_column_are_all_read_in_its_batch() -> None:
    values = [row("m", f"r{n}", n, {"a": 1, "late": None}, 0.5) for n in range(INTAKE_ROWS + 1)]
    values.append(frame([row("m", f"f{n}", n, {"a": 1, "late": n}, 0.5) for n in range(99)]))
    values += [row("m", f"s{n}", n, {"a": 1}, 0.5) for n in range(9)]
    reader = BatchReader("predictions")
    records = [LoggedRecord(n, 1 << 40, b"m", value) for n, value in enumerate(values)]
    blocks = [block for _, block in reader.read(records, {KEY}).blocks]
    assert sum(map(len, blocks)) == INTAKE_ROWS + 1 + 99 + 9
    assert blocks[-1].names == ("a", "late", "score")


def test_no_features_are_looked_for_where_a_reference_was_published() -> None:
    reader = Reader({"a": 1})
    reader.reader.fixed.add(KEY)
    reader.reader.reopen(KEY)
    reader.rows([{"a": 1, "new": n} for n in range(3 * LOOK_EVERY)])
    assert reader.columns == Columns(("a",), ())


def test_models_that_take_turns_are_all_looked_at() -> None:
    reader, keys = BatchReader("predictions"), [(f"m{n}", "") for n in range(10)]
    for key in keys:
        reader.columns[key], reader.spread[key] = Columns((), ()), False
    rows = [row(f"m{n % 10}", "x", n, {"new": n}, 0.5) for n in range(10 * 150)]
    reader.read([LoggedRecord(n, 1 << 40, b"k", v) for n, v in enumerate(rows)], keys)
    assert {reader.columns[key].numeric for key in keys} == {("new",)}


def test_lists_and_objects_make_no_column_and_no_row_unreadable() -> None:
    reader = Reader({"a": 1, "late": None})
    odd = [[1.0, 2.0], {"x": 1}, [], ["text"] * 30]
    reader.rows([{"a": 1, "late": odd[n % 4], "new": odd[n % 4]} for n in range(3 * LOOK_EVERY)])
    reader.rows([{"a": 1, "late": odd[n % 4], "new": odd[n % 4]} for n in range(50)], as_frame=True)
    assert reader.columns == Columns(("a",), ()) and not reader.rejections
    assert {*reader.reader.awaited[KEY]} == {"late", "new"}


def test_a_frame_whose_awaited_feature_is_of_no_use_is_read_all_the_same() -> None:
    reader = Reader({"late": None})
    value = frame([row("m", "x", 1, {"late": 1}, 0.5)]).replace(b"[1]}", b"7}")
    assert b'"late": 7}' in value
    batch = reader.reader.read([LoggedRecord(reader.at, 1 << 40, b"m", value)], {KEY})
    assert not batch.rejections and len(batch.blocks) == 1


def test_a_frame_with_a_bad_row_shows_features_like_any_other() -> None:
    reader = Reader({"a": 1, "late": None})
    rows: list[Said] = [{"a": "bad", "late": 1}, *[{"a": 1, "late": n} for n in range(DECISIVE)]]
    reader.rows(rows, as_frame=True)
    assert [r.rows for r in reader.rejections] == [1]
    assert values(reader.blocks[-1:], "late") == list(range(DECISIVE))


def test_a_frame_that_is_read_again_is_counted_once() -> None:
    reader = Reader({"late": None}, {"credit": NUMERIC})
    rows: list[Said] = [{"credit": "bad"}, *[{"late": n} for n in range(DECISIVE - 1)]]
    reader.rows(rows, as_frame=True)
    assert reader.columns.numeric == ("credit",) and len(reader.rejections) == 1
    assert reader.reader.awaited[KEY]["late"] == Shown(numbers=DECISIVE - 1)


def test_what_waits_for_a_column_is_bounded() -> None:
    reader = Reader({"a": 1} | {f"null{n}": None for n in range(150)})
    for n in range(4 * LOOK_EVERY):
        reader.rows([{"a": 1} | {f"{n}-{k}": k for k in range(60)}])
    columns, awaited = reader.columns, reader.reader.awaited[KEY]
    assert len(columns.numeric) + len(awaited) == MAX_WATCHED


# --- a declared type rules ------------------------------------------------------------------------


@pytest.mark.parametrize("as_frame", [False, True])
def test_numbers_of_a_declared_category_are_values_by_their_text(as_frame: bool) -> None:
    reader = Reader({"zip": 10115}, {"zip": CATEGORICAL})
    assert reader.columns == Columns((), ("zip",), ("zip",))
    said = [7, 7.0, 7.5, True, False, "7", 0, -0.0, 2**63 + 1, 1e22, None, "", 10115]
    blocks = reader.rows([{"zip": value} for value in said], as_frame)
    assert values(blocks, "zip") == [
        *("7", "7", "7.5", "true", "false", "7", "0", "0", "9223372036854775809", "1e+22"),
        *(None, None, "10115"),
    ]
    assert not reader.rejections


def test_a_number_in_a_category_that_nobody_declared_is_rejected_as_ever() -> None:
    reader = Reader({"zip": "10115"})
    reader.rows([{"zip": 10115}])
    assert [r.reason for r in reader.rejections] == [
        "Expected `str | null`, got `int` - at `$.features.zip`"
    ]


@pytest.mark.parametrize("spec", [NUMERIC, BOOLEAN])
def test_text_where_a_number_is_declared_is_rejected_and_the_feature_still_watched(
    spec: FeatureSpec,
) -> None:
    reader = Reader({"a": "text"}, {"a": spec})
    assert reader.columns == Columns(("a",), ())
    assert len(reader.rejections) == INTAKE_ROWS
    assert values(reader.rows([{"a": True}, {"a": 0}]), "a") == [1, 0]


@pytest.mark.parametrize("as_frame", [False, True])
def test_a_declared_feature_has_its_column_from_its_first_value_on(as_frame: bool) -> None:
    reader = Reader({"b": 1}, {"credit": NUMERIC, "plan": CATEGORICAL, "odd": NUMERIC})
    assert reader.columns == Columns(("b",), ())
    blocks = reader.rows([{"b": 1, "credit": 700}, {"b": 1, "plan": 3, "odd": "x"}], as_frame)
    assert values(blocks, "credit")[0] == 700
    assert set(reader.columns.numeric) == {"b", "credit", "odd"}
    assert reader.columns.categorical == reader.columns.coded == ("plan",)
    [refused] = reader.rejections
    assert refused.reason.endswith("got `str` - at `$.features.odd`")
    assert values(reader.rows([{"b": 1, "plan": 4}], as_frame), "plan") == ["4"]


# --- with a reference -----------------------------------------------------------------------------

PROFILE = NumericProfile(points=[0.0, 1.0], ranks=[-0.25, 0.25], mean=0.5, sd=0.5, low=0, high=1)


def a_reference() -> Reference:
    def missing(share: float) -> SeriesProfile:
        return SeriesProfile(values=[share] * 5, sd=0.1, shown=share)

    shares = {"a": 0.0, "none": 1.0, "text": 0.5, "id": 0.0}
    return Reference(
        model="m", rows=500, windows=WindowSpec(rows=100), first_ts_ms=0, last_ts_ms=5,
        numeric={"a": PROFILE, "score": PROFILE},
        categorical={"text": CategoryProfile(shares={"x": 1.0})},
        series={f"missing({name})": missing(share) for name, share in shares.items()}
        | {"rank(a)": missing(0.0), "unseen(text)": missing(0.0)},
    )  # fmt: skip


def test_a_feature_without_a_value_in_the_reference_is_none_of_its_columns() -> None:
    assert watched_columns(a_reference(), {}) == Columns(("a",), ("text", "id"))
    assert other_features(a_reference(), {}) == ["none"]
    assert watched_columns(a_reference(), {"none": NUMERIC}) == Columns(("a",), ("text", "id"))


def test_a_declared_type_that_the_reference_has_otherwise_is_to_be_learned() -> None:
    declared = {"a": CATEGORICAL, "text": BOOLEAN, "new": NUMERIC, "id": FeatureSpec(type="ignore")}
    assert watched_columns(a_reference(), declared) == Columns((), ())
    assert {"a", "text", "new", "none"} <= {*other_features(a_reference(), declared)}
    assert watched_columns(a_reference(), {"id": CATEGORICAL}).coded == ("id",)


def predictions(rows: Sequence[Said], start: int = 0) -> list[LoggedRecord]:
    return [
        LoggedRecord(start + n, NOON_MS, b"m", row("m", f"r{start + n}", NOON_MS + n, own, 0.5))
        for n, own in enumerate(rows)
    ]


def test_features_that_the_published_reference_lacks_are_told_of_from_when_they_come() -> None:
    spec = MonitorSpec(model="m", features={"a": CATEGORICAL}, windows=WindowSpec(rows=100))
    driver = Driver({"m": spec}, {"m": a_reference()})
    rows = [
        {"a": n % 3, "text": "x", "id": "y", "none": n if n >= 250 else None} for n in range(500)
    ]
    driver.fold("predictions", predictions(rows))
    windows = [report["columns"] for report in published(driver.outputs, "windows")]
    assert [set(columns) for columns in windows[:2]] == [{"a", "text", "id", "score"}] * 2
    assert windows[0]["a"]["count"] == 100  # numbers, as a category
    assert set(windows[-1]) == {"a", "text", "id", "score", "none"}
    assert windows[-1]["none"]["mean"] == 449.5 and not rejected(driver.outputs)


# --- whatever the cuts, and through a restore ----------------------------------------------------

SPEC = MonitorSpec(
    model="m",
    features={"credit": NUMERIC, "zip": CATEGORICAL, "flag": BOOLEAN},
    windows=WindowSpec(rows=50),
    reference=ReferenceSpec(windows=100),
)


def late_rows(seed: int) -> list[LoggedRecord]:
    """Return rows and frames whose features come and go."""
    chance = np.random.default_rng(seed)
    begins = {name: chance.integers(90, 400) for name in ("credit", "zip", "flag", "x", "y", "z")}
    of: dict[str, list[Any]] = {
        "credit": [700.5, 3, "text"], "zip": [1, "1", True, 2.5], "flag": [True, 0, 1],
        "x": [1.5, 2, 3, "odd"], "y": ["u", "v", 7], "z": [None, None, None, "rare", [1], {"a": 1}],
    }  # fmt: skip
    found: list[bytes] = []
    for n in range(600):
        rows = []
        for k in range(int(chance.integers(2, 9)) if chance.random() < 0.1 else 1):
            own: dict[str, Any] = {"a": n % 7, "x": None}
            for name, start in begins.items():
                if n >= start:
                    own[name] = of[name][int(len(of[name]) * chance.random() ** 2)]
            rows.append(row("m", f"r{n}-{k}", NOON_MS + n, own, n % 10 / 10))
        found.append(rows[0] if len(rows) == 1 else frame(rows))
    return [LoggedRecord(n, NOON_MS, b"m", value) for n, value in enumerate(found)]


def labels(rows: int) -> list[LoggedRecord]:
    found = [label("m", f"r{n}-0", NOON_MS + n, n % 2) for n in range(rows)]
    return [LoggedRecord(n, NOON_MS, b"m", value) for n, value in enumerate(found)]


def run(seed: int, cuts: Sequence[int], restored_at: int | None = None) -> Driver:
    """Fold the rows in batches cut at these places, restored before one of them, then labels."""
    driver, records = Driver({"m": SPEC}), late_rows(seed)
    for batch in pieces(records, cuts):
        if restored_at is not None and batch[0].offset >= restored_at:
            restore(driver, records)
            restored_at = None
        driver.fold("predictions", batch)
        driver.feed_back()
    driver.fold("labels", labels(600))
    driver.feed_back()
    return driver


def restore(driver: Driver, records: Sequence[LoggedRecord]) -> None:
    """Let another owner take over from the snapshot, which reads the logs again for its join."""
    driver.partition = Partition.restore(0, SETTINGS, driver.partition.snapshot())
    driver.partition.read_journal(driver.fed_back["outcomes"])
    at, start = driver.partition.next_offset, driver.partition.rebuild_from
    read = records[start["predictions"] : at["predictions"]]
    driver.partition.rebuild_join("predictions", read)
    driver.publish([driver.partition.fence()])


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 5),
    cuts=st.lists(st.integers(0, 49), min_size=1, max_size=12),
    restored_at=st.integers(0, 599),
)
def test_cuts_and_restores_change_nothing_of_what_is_taken_up(
    seed: int, cuts: list[int], restored_at: int
) -> None:
    expected = run(seed, [])
    columns = state(expected).columns
    assert columns is not None and len(columns.numeric + columns.categorical) > 4
    assert len(rejected(expected.outputs)) > 5
    for found in (run(seed, cuts), run(seed, cuts, restored_at)):
        assert_equal(by_monitor(found.outputs), by_monitor(expected.outputs))
        assert_equal({0: rejected(found.outputs)}, {0: rejected(expected.outputs)})
        assert_equal(pairs(found.outputs), pairs(expected.outputs))
        assert state(found) == state(expected)


def state(driver: Driver) -> VersionRows:
    """Return what a snapshot has of the rows."""
    part = msgspec.msgpack.decode(driver.partition.snapshot().parts[KEY], type=VersionState)
    return part.rows["predictions"]
