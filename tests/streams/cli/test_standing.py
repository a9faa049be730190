import io
from typing import Any

import msgspec
import pytest
from rich.console import Console

from tests.test_docs import claimed
from tidegauge.streams.cli import standing
from tidegauge.streams.monitor.status import ModelStatus, OpenIncident, StreamStatus, Unattributed
from tidegauge.streams.runtime.groups import Member
from tidegauge.streams.runtime.overview import Heard, LastWindow, Overview, PartitionOverview

HOUR_MS = 3_600_000
NOW_MS = 500_000 * HOUR_MS  # 15 January 2027, 08:00 UTC
INCIDENT = OpenIncident(
    id="i",
    kind="drift",
    severity="critical",
    since_ms=NOW_MS - HOUR_MS,
    title="fraud@3: since then amount moved up",
)
STREAM = StreamStatus(
    source="predictions",
    rows=48_120,
    windows=48,
    state="learning",
    gathered=12,
    needed=30,
    open_rows=120,
    newest_ms=NOW_MS - 2 * HOUR_MS,
    incidents=[INCIDENT],
    watched=["amount", "country"],
    not_watched={"secret": "the spec ignores it"},
)
MODEL = ModelStatus(
    model="fraud",
    version="3",
    partitions=[0],
    streams=[STREAM],
    rejected=5,
    read=500,
    reason="why",
    labels={"labels": 2000, "paired": 508, "unpaired": 1400, "late": 0},
)
WINDOW = LastWindow(
    model="fraud",
    version="3",
    source="predictions",
    window=47,
    first_ts_ms=NOW_MS - 4 * HOUR_MS,
    last_ts_ms=NOW_MS - 3 * HOUR_MS,
    rows=1000,
)
NOTHING = Unattributed(rejected=0, reason="")
ONE = Member("g", "monitor-1", "10.0.0.5", "faust", frozenset(), {"tidegauge.labels": [0]})


def partition(number: int, holder: str = "monitor-1", **behind: int) -> PartitionOverview:
    return PartitionOverview(number, behind, NOW_MS - 1000, holder, NOTHING)


def overview(*partitions: PartitionOverview, model: ModelStatus = MODEL, **heard: Any) -> Overview:
    windows = {("fraud", "3", "predictions"): WINDOW}
    own = {("fraud", "3"): Heard(**heard)} if heard else {}
    return Overview([model], windows, own, partitions or [partition(0)], [ONE])


def stale(number: int, written_ms: int | None, **behind: int) -> PartitionOverview:
    return PartitionOverview(number, behind, written_ms, "monitor-1", NOTHING)


def test_nothing_stands_still_where_workers_keep_up_or_catch_up() -> None:
    found = overview(partition(0), partition(1, predictions=9000), partition(2, holder=""))
    assert standing.troubles(found, NOW_MS) == []


def test_rows_that_nobody_reads_are_a_trouble() -> None:
    found = overview(partition(0, "", predictions=7, labels=2), partition(1, "", predictions=5))
    assert standing.troubles(found, NOW_MS) == [
        "no worker holds partitions 0, 1, where 12 records of predictions, 2 records of labels wait"
    ]


@pytest.mark.parametrize(
    ("written_ms", "since"),
    [(None, "ever"), (NOW_MS - 61_000, "since 15 Jan 2027 07:58 UTC")],
)
def test_a_partition_whose_state_is_old_while_rows_wait_stands_still(
    written_ms: int | None, since: str
) -> None:
    assert standing.troubles(overview(stale(3, written_ms, predictions=7)), NOW_MS) == [
        "partition 3 stands still: 7 records of predictions wait, and monitor-1 has not written "
        f"its state {since}"
    ]
    assert standing.troubles(overview(stale(3, written_ms)), NOW_MS) == []


def test_a_model_is_silent_by_the_time_of_its_records_else_of_its_events() -> None:
    def silent(found: Overview) -> int | None:
        return standing.silent_since(found, MODEL, NOW_MS, HOUR_MS)

    assert silent(overview()) == NOW_MS - 2 * HOUR_MS
    assert silent(overview(record_ms=NOW_MS - 1000)) is None, "a replay of old rows is not silent"
    assert silent(overview(record_ms=NOW_MS - 3 * HOUR_MS)) == NOW_MS - 3 * HOUR_MS
    assert silent(overview(features={"amount"})) == NOW_MS - 2 * HOUR_MS, "no record says when"
    young = msgspec.structs.replace(MODEL, streams=[])
    assert standing.silent_since(overview(model=young), young, NOW_MS, HOUR_MS) is None


def test_one_model_is_told_with_all_there_is_to_say() -> None:
    found = overview(features={"amount", "fresh\n"}, record_ms=NOW_MS)
    assert standing.block(found, MODEL, NOW_MS, HOUR_MS) == [
        "fraud@3",
        "  predictions   48,120 rows: learning, 12 of 30 windows",
        "                last window: 1,000 rows, 15 Jan 2027 04:00 UTC to 15 Jan 2027 05:00 UTC",
        "                open window: 120 rows, up to 15 Jan 2027 06:00 UTC",
        "  last row      15 Jan 2027 08:00 UTC",
        "  open          critical fraud@3: since then amount moved up",
        "  labels        2,000 read, 508 paired, 1,400 unpaired, 92 wait",
        "  rejected      5 of 500 rows, mostly: why",
        "  not watched   secret: the spec ignores it",
        "                fresh\\n: it had no value in the first rows",
    ]


def test_long_lists_are_cut_with_their_number() -> None:
    many = msgspec.structs.replace(STREAM, not_watched={f"f{n:02}": "why" for n in range(13)})
    model = msgspec.structs.replace(MODEL, streams=[many])
    lines = standing.block(overview(model=model), model, NOW_MS, HOUR_MS)
    assert lines[-2:] == ["                f09: why", "                and 3 more"]


def test_a_feature_that_only_the_rows_show_is_missing_in_a_published_reference() -> None:
    published = msgspec.structs.replace(STREAM, is_learned=False, not_watched={})
    model = msgspec.structs.replace(MODEL, streams=[published])
    found = overview(model=model, features={"amount", "age"})
    assert standing.not_watched(found, model) == [("age", "the reference does not have it")]


def test_the_table_fits_a_hundred_columns_however_long_names_are() -> None:
    long = msgspec.structs.replace(MODEL, model="m" * 90, rejected=0)
    found = Overview([MODEL, long], {}, {}, [partition(0)], [ONE])
    out = io.StringIO()
    console = Console(file=out, width=standing.WIDTH)
    console.print(standing.table(found, NOW_MS, HOUR_MS))
    lines = out.getvalue().splitlines()
    assert max(map(len, lines)) <= standing.WIDTH
    row = next(line for line in lines if "fraud@3" in line)
    assert any("508 of 2,000 paired" in line for line in lines)
    for told in ("48,120", "learning, 12 of 30", "none yet", "silent, 2 h ago", "1%"):
        assert told in row


def test_the_deployment_says_who_works_what_waits_and_what_belongs_to_no_model() -> None:
    lost = Unattributed(rejected=3, reason="why")
    found = overview(PartitionOverview(0, {"labels": 4}, NOW_MS, "monitor-1", lost), partition(1))
    assert list(standing.deployment(found)) == [
        "worker monitor-1 at 10.0.0.5 holds partitions 0",
        "partition 0: 4 records of labels not read yet",
        "rejected, of no model that could be told: 3 records, mostly: why",
    ]


def test_programs_get_everything_as_plain_objects() -> None:
    found = overview(features={"age"}, record_ms=NOW_MS - 2 * HOUR_MS)
    body = msgspec.json.decode(msgspec.json.encode(standing.as_json(found, NOW_MS, HOUR_MS)))
    (model,) = body["models"]
    assert (model["model"], model["version"], model["partitions"]) == ("fraud", "3", [0])
    assert model["streams"][0]["state"] == "learning"
    assert [one["id"] for one in model["open"]] == ["i"]
    assert model["last_windows"]["predictions"]["rows"] == 1000
    assert model["silent_since_ms"] == model["last_row_ms"] == NOW_MS - 2 * HOUR_MS
    assert set(model["not_watched"]) == {"secret", "age"}
    assert body["workers"] == [{"instance": "monitor-1", "host": "10.0.0.5", "partitions": [0]}]
    assert body["partitions"][0]["holder"] == "monitor-1"


def test_who_asks_for_an_unknown_model_is_told_which_there_are() -> None:
    told = standing.unknown("x\n", [f"m{n:02}" for n in range(12)])
    assert told.startswith("no row of a model 'x\\n' was seen until some seconds ago; seen were ")
    assert told.endswith("m09 and 2 more")
    assert standing.unknown("x", []).endswith("some seconds ago; none was seen yet")


def test_the_table_that_the_documentation_shows_is_what_is_printed() -> None:
    def stream(state: Any, rows: int, gathered: int, needed: int, **more: Any) -> StreamStatus:
        given = {"state": state, "rows": rows, "gathered": gathered, "needed": needed, **more}
        return msgspec.structs.replace(STREAM, **{"incidents": [], **given})

    def model(name: str, version: str, *streams: StreamStatus, rejected: int = 0) -> ModelStatus:
        given = {"model": name, "version": version, "streams": list(streams)}
        labels = MODEL.labels if version else {}
        return msgspec.structs.replace(MODEL, **given, rejected=rejected, read=7000, labels=labels)

    models = [
        model("churn", "", stream("typing", 60, 60, 100)),
        model(
            "fraud",
            "3",
            stream("provisional", 7000, 40, 0, incidents=[INCIDENT]),
            stream("learning", 508, 12, 30, source="outcomes"),
            rejected=14,
        ),
        model("prices", "", stream("watching", 9100, 90, 0)),
    ]
    ages_ms = {"churn": 12_000, "fraud": 75_000, "prices": 3 * HOUR_MS}
    heard = {one.key: Heard(NOW_MS - ages_ms[one.model]) for one in models}
    parts = [PartitionOverview(0, {}, NOW_MS, "monitor-1", NOTHING)]
    worker = Member("g", "monitor-1", "10.0.0.5", "", frozenset(), {"labels": [0, 1, 2, 3]})
    found = Overview(models, {}, heard, parts, [worker])
    out = io.StringIO()
    for line in standing.lines(found, None, NOW_MS, HOUR_MS):
        Console(file=out, width=standing.WIDTH).print(line)
    printed = [line.rstrip() for line in out.getvalue().splitlines()]
    assert claimed("text", "status").text.splitlines() == printed
