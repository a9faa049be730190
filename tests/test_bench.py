"""What the benchmark says of its targets, to people and to scripts."""

import json

import pytest

from load_tests import bench

RATES = {
    "bare aiokafka + orjson": 300_000.0,
    "plain Faust + River": 10_000.0,
    "Tidegauge, single rows": 150_000.0,
    "Tidegauge, frames": 1_000_000.0,
}


def run(monkeypatch: pytest.MonkeyPatch, **rates: float) -> None:
    monkeypatch.setattr(bench, "measure", lambda *_: RATES | rates)
    monkeypatch.setattr("sys.argv", ["bench", "--brokers", "nowhere:9092", "--json"])
    bench.main()


def test_targets_that_are_just_reached_are_a_success(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run(monkeypatch)
    said = capsys.readouterr().out
    assert (said.count("reached"), said.count("MISSED")) == (3, 0)
    assert json.loads(said.splitlines()[-1])["ratios"] == bench.TARGETS


def test_a_missed_target_is_told_and_fails_with_all_that_was_measured(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match=r"^missed: frames / faust$"):
        run(monkeypatch, **{"Tidegauge, frames": 999_000.0})
    said = capsys.readouterr().out
    assert (said.count("reached"), said.count("MISSED")) == (2, 1)
    assert json.loads(said.splitlines()[-1])["ratios"]["frames / faust"] == 99.9
