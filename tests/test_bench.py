"""The benchmark: its arithmetic, what it says of its targets, and a tiny run of it."""

import doctest
import os
import re
import signal
import sys
import time
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec
import orjson
import pytest

from load_tests import (
    bench,
    figures,
    kafka,
    latency,
    memory,
    page,
    stages,
    targets,
    throughput,
    traffic,
)
from load_tests.figures import Spread, latencies_ms, measured, percentile, rate
from load_tests.generator import Kept
from load_tests.kafka import Record
from load_tests.processes import CpuClock, QuietError, running
from load_tests.targets import TARGETS, verdicts
from load_tests.throughput import Contender, Marks, Result
from load_tests.traffic import Data
from tidegauge.schemas.events import Label, Prediction, PredictionFrame

# --- figures --------------------------------------------------------------------------------------


def test_the_rate_leaves_out_the_warm_up_and_what_came_before_it() -> None:
    marks = [(0, 10), (5000, 99), (6000, 100), (6500, 500), (7000, 1000)]
    assert measured(marks, 1000) == ((6000, 100), (7000, 1000))
    assert rate(*measured(marks, 1000)) == 900.0


@pytest.mark.parametrize("marks", [[], [(0, 10), (1, 1000)], [(5, 200), (5, 900)]])
def test_there_is_no_rate_without_two_moments_after_the_warm_up(marks: list[Any]) -> None:
    with pytest.raises(ValueError, match="expected marks over some time"):
        measured(marks, 1000)


def test_a_percentile_is_a_value_that_was_seen_by_nearest_rank() -> None:
    values = [float(x) for x in range(1000, 0, -1)]
    found = [percentile(values, share) for share in (0.0, 0.5, 0.99, 0.999, 1.0)]
    assert found == [1.0, 500.0, 990.0, 999.0, 1000.0]


def test_a_stall_counts_for_every_row_that_was_due_in_it() -> None:
    # 100 rows/s; the other side stands still from second 0 to 1, then tells all at once
    told = [(row, 11.0) for row in range(100)]
    found = latencies_ms(told, begun_s=10.0, rate=100.0)
    assert found[0] == pytest.approx(1000.0)
    assert percentile(found, 0.5) == pytest.approx(500.0)
    assert found[-1] == pytest.approx(10.0)


def told_of(row_ms: list[tuple[int, float]]) -> latency.Told:
    told = latency.Told(first_row=0)
    told.windows = [(row, 10.0 + row / 100.0 + ms / 1000) for row, ms in row_ms]
    return told


def test_latency_leaves_out_the_first_second_and_counts_in_bins_with_the_last_one_open() -> None:
    kept = Kept(10.0, 1000, 0.1, 0.5, 2.0)
    found = latency.summary(
        100.0, kept, told_of([(99, 900.0), (100, 5.0), (200, 7.0), (300, 999.0)])
    )
    assert found.windows == 3
    assert found.worst == pytest.approx(999.0)
    assert {at: count for at, count in enumerate(found.counts) if count} == {2: 1, 3: 1, 100: 1}
    assert found.kept_schedule


def test_a_sender_that_was_late_has_not_kept_its_schedule() -> None:
    kept = Kept(10.0, 1000, 0.1, latency.LATE_MS + 0.1, 20.0)
    assert not latency.summary(100.0, kept, told_of([(100, 5.0)])).kept_schedule


def test_memory_is_what_workers_differ_by() -> None:
    found = memory.differences(
        {
            "few": memory.Taken(1_000_000, 30),
            "many": memory.Taken(1_000_000 + 300_000 * 80, 30),
            "models": memory.Taken(1_000_000 + 24 * 5000, 30),
            "series": memory.Taken(1_000_000 + 24 * 5000 + 25 * 60 * 700, 90),
        },
        rows=100_000,
    )
    assert found == memory.Memory(model=5000.0, series=700.0, waiting_prediction=80.0)


def test_a_sample_counts_for_the_stage_nearest_to_the_top_of_its_stack() -> None:
    fold = "worker (streams/monitor/intake/rows.py:1);fold (streams/monitor/windows/window.py:2)"
    found = stages.shares([f"{fold};mean (numpy/core.py:3) 3\n", "idle (selectors.py:1) 1\n"])
    assert {name: share for name, share in found.items() if share} == {
        "fold": 0.75,
        stages.REST: 0.25,
    }


def test_a_profile_without_a_sample_is_refused() -> None:
    with pytest.raises(QuietError, match="no sample"):
        stages.shares([])


def test_processor_time_is_told_between_two_moments() -> None:
    with running(sys.executable, "-c", "while True: pass") as contender:
        clock = CpuClock(contender.process.pid)
        clock.start()
        time.sleep(0.6)
        clock.stop()
    now = time.time()
    assert 0.02 < clock.used_s(now - 0.4, now) <= 0.7
    assert clock.used_s(now - 100, now - 99) == 0.0


@pytest.mark.parametrize("module", [figures, page, stages, targets])
def test_the_examples_in_the_docstrings_are_true(module: ModuleType) -> None:
    failed, tried = doctest.testmod(module, optionflags=doctest.ELLIPSIS)
    assert tried > 0
    assert failed == 0


# --- targets --------------------------------------------------------------------------------------


def test_targets_that_are_just_reached_are_reached_from_both_sides() -> None:
    found = verdicts({target.figure: target.bound for target in TARGETS})
    assert [verdict.reached for verdict in found] == [True] * len(TARGETS)


def test_a_miss_says_by_how_much_and_what_was_not_measured_is_missed() -> None:
    late = {"latency at half of the maximum rate, p99": 50.0}
    told = {str(verdict) for verdict in verdicts(late)}
    miss = "latency at half of the maximum rate, p99: 50 ms, target ≤ 40 ms: MISSED by 25%"
    assert miss in told
    assert "memory of a waiting prediction: not measured, target ≤ 100 B: MISSED" in told


def result(name: str, rows_a_second: float) -> Result:
    one = Spread(rows_a_second, rows_a_second, rows_a_second, 1)
    return Result(name, "rows", one, one, one)


def test_ratios_are_those_of_medians_and_none_is_made_of_what_was_left_out() -> None:
    found = bench.ratios([
        result("Tidegauge, single rows", 90.0),
        result("bare aiokafka + orjson", 30.0),
        Result("plain Faust + River", "rows", skipped="it ended with 1"),
    ])  # fmt: skip
    assert found == {"single rows / bare aiokafka + orjson": 3.0}


def results(ratios: dict[str, float]) -> page.Results:
    return page.Results(
        machine={"Cores": "2"},
        seconds=1.0,
        throughput=[result("plain Faust + River", 10.0), Result("x", "rows", skipped="no reason")],
        latency=[],
        memory=None,
        stages=None,
        figures=ratios,
        left_out=["memory: it ended"],
    )


@pytest.mark.parametrize(
    ("words", "ratios", "missed"),
    [
        ([], {target.figure: target.bound for target in TARGETS}, None),
        (["--quick"], {}, None),
        ([], {}, TARGETS[0].figure),
        (["--quick"], {TARGETS[0].figure: 1.99}, TARGETS[0].figure),
    ],
)
def test_a_missed_target_fails_the_run_and_a_quick_one_only_by_what_it_measured(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    ratios: dict[str, float],
    missed: str | None,
) -> None:
    monkeypatch.setattr(bench, "measure", lambda *_: results(ratios))
    monkeypatch.setattr("sys.argv", ["bench", "--brokers", "nowhere:9092", *words])
    if missed is None:
        bench.main()
    else:
        with pytest.raises(SystemExit, match=f"^missed: {re.escape(missed)}(,|$)"):
            bench.main()
    told = capsys.readouterr().out
    assert ("MISSED" in told) == (missed is not None)
    assert ("not measured" in told) == (not (words or ratios))


def test_the_page_gives_every_contender_and_the_reason_of_one_that_is_not_there() -> None:
    told = "\n".join(page.lines(results({})))
    shown = page.spread(Spread(10.0, 10.0, 10.0, 1))
    assert f"| plain Faust + River | {shown} | 1.00 |" in told
    assert "| x | left out: no reason |" in told
    assert "- memory: it ended" in told


# --- traffic --------------------------------------------------------------------------------------


def test_rows_and_frames_hold_the_same_and_are_what_tidegauge_reads() -> None:
    rows = [value for value, _ in traffic.predictions(Data(600), seed=1)]
    frames = [value for value, _ in traffic.predictions(Data(600, "frames"), seed=1)]
    one = [msgspec.json.decode(value, type=Prediction) for value in rows]
    many = [msgspec.json.decode(value, type=PredictionFrame) for value in frames]
    assert [row.id for row in one] == [row_id for frame in many for row_id in frame.ids]
    assert [row.prediction for row in one] == [x for frame in many for x in frame.predictions]
    assert rows == [value for value, _ in traffic.predictions(Data(600), seed=1)]


def test_every_row_has_its_label() -> None:
    data = Data(600, labels=True)
    told = [msgspec.json.decode(value, type=Label).id for value, _ in traffic.labels(data, 1)]
    assert told == [orjson.loads(value)["id"] for value, _ in traffic.predictions(data, 1)]


def test_many_models_come_in_any_order_and_the_pilot_all_along() -> None:
    data = Data(10_000, models=100)
    models = [orjson.loads(value)["model"] for value, _ in traffic.predictions(data, 1)]
    assert len(set(models)) == 100
    assert set(models[:: traffic.PILOT]) == set(models[-100:]) == {"model-0000"}


# --- runs -----------------------------------------------------------------------------------------


def test_a_contender_that_rejects_rows_is_told_with_its_reason() -> None:
    marks = Marks(1000, int, "rejected")
    assert not marks.take(Record("progress", b"989", 1, {}))
    with pytest.raises(QuietError, match=r"it rejects rows: \$\.id: missing"):
        marks.take(
            Record("rejected", b"", 2, {"__connect.errors.exception.message": b"$.id: missing"})
        )
    assert marks.take(Record("progress", b"990", 3, {}))
    assert marks.found == [(1, 989), (3, 990)]


@pytest.fixture
def broker() -> Any:
    """A broker for this test, or the one that is named."""
    if named := os.environ.get("TIDEGAUGE_BROKERS"):
        yield throughput.Broker(named, None)
        return
    with running(sys.executable, "-m", "tidegauge", "broker", "--port", "0") as own:
        yield throughput.Broker(bench._address(own), own.process.pid)  # noqa: SLF001 - as main does


@pytest.mark.end_to_end
def test_a_tiny_run_measures_a_worker_and_peers_and_leaves_out_what_gets_nowhere(
    broker: throughput.Broker,
) -> None:
    run = f"test-bench-{time.time_ns()}"
    data = {"rows": Data(200_000)}
    throughput.preload(broker, run, "rows", data["rows"])
    contenders = [
        Contender("ours", "tidegauge", "rows", 1),
        Contender("theirs", "faust", "rows", 1, 0.05),
        Contender("nobody", "nobody", "rows", 1),  # type: ignore[arg-type] # it ends at once
    ]
    ours, theirs, nobody = throughput.measure(broker, run, contenders, data, time.monotonic() + 100)
    assert ours.rows_a_second and ours.rows_a_second.median > 1000
    assert theirs.rows_a_second and theirs.rows_a_second.repeats == 1
    assert nobody.rows_a_second is None
    assert "it ended with 1" in nobody.skipped
    late = throughput.measure(broker, run, contenders[:1], data, time.monotonic() - 1)
    assert late[0].skipped == "no time was left for it"
    loop = latency.measure(broker, run, rate=2000.0, seconds=3.0)
    assert loop.kept.rows == 6000
    assert 6 <= loop.windows <= 8  # of 500 rows, from the second second on
    assert 0 < loop.p50 <= loop.p99 <= loop.worst


@pytest.mark.end_to_end
def test_a_contender_that_says_nothing_is_given_up_in_bounded_time(
    broker: throughput.Broker,
) -> None:
    topic = f"test-bench-{time.time_ns()}"
    kafka.create(broker.address, {topic: {}})
    reader = kafka.reader(broker.address, topic)
    with (
        running(sys.executable, "-c", "import time; time.sleep(60)") as silent,
        pytest.raises(QuietError, match=r"no word from it for 0\.5 s"),
    ):
        kafka.follow(reader, silent, lambda _: True, patience_s=0.5)
    reader.close()
    assert silent.process.returncode == -signal.SIGTERM


def test_the_pictures_are_drawn_where_the_plots_are_installed(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    told = told_of([(100, 5.0), (200, 7.0)])
    found = msgspec.structs.replace(
        results({}),
        latency=[latency.summary(100.0, Kept(10.0, 1000, 0.1, 0.5, 2.0), told)],
        stages={"decode": 0.75, "the rest": 0.25},
    )
    page.write(found, tmp_path)
    pictures = {path.name: path.read_bytes() for path in (tmp_path / "benchmarks").iterdir()}
    assert set(pictures) == {"latency.svg", "results.json", "stages.svg", "throughput.svg"}
    page.write(found, tmp_path)
    assert pictures == {p.name: p.read_bytes() for p in (tmp_path / "benchmarks").iterdir()}
