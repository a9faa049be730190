"""A reference as a file: built from rows without one of them in it, and read to be published."""

import contextlib
import hashlib
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pytest
from pyarrow import csv, parquet
from typer.testing import CliRunner

from tidegauge import __version__
from tidegauge.schemas.monitors import MonitorSpec, WindowSpec
from tidegauge.schemas.references import Reference, SeriesProfile
from tidegauge.streams.cli import app, clients
from tidegauge.streams.cli.monitors_file import read_monitors
from tidegauge.streams.cli.reference_file import period
from tidegauge.streams.monitor.control.control import control_digest
from tidegauge.streams.runtime.errors import ConfigurationError

DAYS, PER_DAY = 70, 40
DAY_MS = 86_400_000
NEW_YEAR_MS = 1_356_998_400_000
FEBRUARY_8 = 38  # days after


def table(first_bad: int = DAYS, last_bad: int = DAYS, weekend: float = 0.0) -> pa.Table:
    """Return rows of 70 days; from one of the days to before another the amounts are in cents.

    On two days of a week amounts are higher by ``weekend``.
    """
    rng, rows = np.random.default_rng(20130101), DAYS * PER_DAY
    day = np.arange(rows) // PER_DAY
    amount = np.round(rng.normal(50, 10, rows) + weekend * (day % 7 > 4), 2)
    score = np.round(rng.random(rows), 3)
    return pa.table(
        {
            "at": NEW_YEAR_MS + day * DAY_MS + np.arange(rows) % PER_DAY * 1000,
            "amount": np.where((day >= first_bad) & (day < last_bad), 100 * amount, amount),
            "country": rng.choice(["DE", "FR"], rows),
            "secret": [f"person-{row}" for row in range(rows)],
            "score": score,
            "late": (rng.random(rows) < score).astype(float),
        }
    )


def build(file: Path, out: Path, *more: str, spec: str = "", monitors: Path | None = None) -> Any:
    monitors = monitors or out.with_suffix(".yaml")
    monitors.write_text(f"monitors: [{{model: fraud, windows: {{every: 1d}}{spec}}}]")
    arguments = ["reference", "build", str(file), "-m", "fraud", "--out", str(out)]
    arguments += ["--time-column", "at", "--prediction-column", "score", "--label-column", "late"]
    return CliRunner().invoke(app, [*arguments, "--monitors", str(monitors), *more])


def small(version: str) -> Reference:
    return Reference(
        model="fraud",
        version=version,
        rows=300,
        windows=WindowSpec(rows=100),
        first_ts_ms=0,
        last_ts_ms=1,
        series={"missing(x)": SeriesProfile(values=[0.1, 0.2, 0.1], sd=0.3, shown=0.1)},
    )


def read(out: Path) -> Reference:
    return msgspec.json.decode(out.read_bytes(), type=Reference)


def test_a_built_reference_says_where_it_is_from_and_holds_no_row(tmp_path: Path) -> None:
    file, out = tmp_path / "rows.parquet", tmp_path / "fraud.json"
    parquet.write_table(table(), file)
    result = build(file, out)
    assert result.exit_code == 0, result.output
    assert f"fraud: reference of 2,800 rows in 70 windows written to {out}" in result.output
    found = read(out)
    own = found.provenance
    assert own is not None
    assert own.sha256 == hashlib.sha256(file.read_bytes()).hexdigest()
    assert (own.rows, own.excluded_rows, own.excluded, own.alarms) == (DAYS * PER_DAY, 0, [], [])
    (spec,) = read_monitors(tmp_path / "fraud.yaml")
    assert (own.spec, own.tidegauge) == (control_digest(spec, None), __version__)
    assert own.spec != control_digest(MonitorSpec(model="fraud"), None)
    assert found.first_ts_ms == NEW_YEAR_MS
    assert found.last_ts_ms == NEW_YEAR_MS + 69 * DAY_MS + (PER_DAY - 1) * 1000
    assert {*found.numeric} == {"amount", "score"}
    assert {"loss", "error"} <= {*found.outcomes}
    assert b"person-" not in out.read_bytes()


def test_the_same_rows_give_the_same_bytes(tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    csv.write_csv(table(), file)
    outs = [tmp_path / name for name in ("one.json", "two.json")]
    assert [build(file, out).exit_code for out in outs] == [0, 0]
    assert outs[0].read_bytes() == outs[1].read_bytes()
    csv.write_csv(table(5, 6), file)
    assert build(file, outs[1], "--despite-alarms").exit_code == 0
    assert outs[0].read_bytes() != outs[1].read_bytes()


def test_halves_that_are_not_alike_are_told_and_nothing_is_written(tmp_path: Path) -> None:
    file, out = tmp_path / "rows.parquet", tmp_path / "fraud.json"
    parquet.write_table(table(FEBRUARY_8, FEBRUARY_8 + 3), file)
    refused = build(file, out)
    assert refused.exit_code == 1
    assert "nothing was written, as its first half would tell of its second" in refused.stderr
    assert "amount" in refused.stderr
    assert "--exclude" in refused.stderr
    assert not out.exists()
    assert build(file, out, "--despite-alarms").exit_code == 0
    own = read(out).provenance
    assert own is not None
    assert [title for title in own.alarms if "amount" in title]


def test_what_follows_the_week_is_named_and_taken_off_where_the_spec_says_so(
    tmp_path: Path,
) -> None:
    file, out = tmp_path / "rows.parquet", tmp_path / "fraud.json"
    parquet.write_table(table(weekend=10.0), file)
    plain = build(file, out, "--despite-alarms")
    assert "baseline: week is advised, which explains rank(amount) to" in plain.output
    assert [name for name, own in read(out).series.items() if own.week] == []
    aware = build(file, out, "--despite-alarms", spec=", baseline: week")
    assert aware.exit_code == 0, aware.output
    assert "week is advised" not in aware.output
    assert len(read(out).series["rank(amount)"].week) == 7
    parquet.write_table(table(weekend=10.0).slice(0, 50 * PER_DAY), file)
    short = build(file, out, "--despite-alarms", spec=", baseline: week")
    assert "no series is compared by the week: 8 weeks of rows are needed" in short.output


def test_times_known_to_be_bad_are_left_out(tmp_path: Path) -> None:
    file, out = tmp_path / "rows.parquet", tmp_path / "fraud.json"
    parquet.write_table(table(FEBRUARY_8, FEBRUARY_8 + 3), file)
    result = build(file, out, "--exclude", "2013-02-08..2013-02-10")
    assert result.exit_code == 0, result.output
    assert "120 rows are left out by --exclude" in result.stderr
    found = read(out)
    own = found.provenance
    assert own is not None
    first_ms = NEW_YEAR_MS + FEBRUARY_8 * DAY_MS
    assert own.excluded == [(first_ms, first_ms + 3 * DAY_MS - 1)]
    assert (own.rows, own.excluded_rows) == (DAYS * PER_DAY - 120, 120)
    assert found.numeric["amount"].high < 100
    assert len(found.series["rank(amount)"].values) == 67


def test_times_to_leave_out_that_hit_no_row_are_told_as_well(tmp_path: Path) -> None:
    file, out = tmp_path / "rows.parquet", tmp_path / "fraud.json"
    parquet.write_table(table(), file)
    result = build(file, out, "--exclude", "2031-02-08")
    assert result.exit_code == 0, result.output
    assert "0 rows are left out by --exclude" in result.stderr
    assert "--exclude" not in build(file, out).stderr


@pytest.mark.parametrize(
    ("text", "first_ms", "last_ms"),
    [
        ("1970-01-02", DAY_MS, 2 * DAY_MS - 1),
        ("1970-01-02..1970-01-03", DAY_MS, 3 * DAY_MS - 1),
        ("1970-01-02T06:00..1970-01-02T07:00", DAY_MS + 21_600_000, DAY_MS + 25_199_999),
        ("1970-01-02 06:00..1970-01-02 07:00", DAY_MS + 21_600_000, DAY_MS + 25_199_999),
        ("19700102T06..19700103", DAY_MS + 21_600_000, 3 * DAY_MS - 1),
        ("1970-01-02T02:00+02:00..1970-01-02", DAY_MS, 2 * DAY_MS - 1),
    ],
)
def test_a_period_is_days_or_times(text: str, first_ms: int, last_ms: int) -> None:
    assert period(text) == (first_ms, last_ms)


@pytest.mark.parametrize(
    "text", ["", "yesterday", "2013-02-30", "2013-02-10..2013-02-08", "1960-01-01"]
)
def test_a_period_that_is_none_is_refused_with_what_it_could_be(text: str) -> None:
    with pytest.raises(ConfigurationError, match="--exclude: expected"):
        period(text)


def test_what_cannot_be_built_says_why(tmp_path: Path) -> None:
    file, out = tmp_path / "rows.parquet", tmp_path / "fraud.json"
    parquet.write_table(table(), file)
    everything = build(file, out, "--exclude", "2013-01-01..2014-01-01")
    assert (everything.exit_code, out.exists()) == (2, False)
    assert "expected rows outside --exclude, found none" in everything.stderr
    monitors = tmp_path / "fraud.yaml"
    nowhere = build(file, tmp_path / "none" / "fraud.json", monitors=monitors)
    assert nowhere.exit_code == 2
    assert nowhere.stderr == (
        f"tidegauge: --out: expected a folder that can be written to, got {tmp_path}/none\n"
    )
    csv_name = build(file, tmp_path / "fraud.csv")
    assert csv_name.exit_code == 2
    assert "expected a name that ends in .json" in csv_name.stderr


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str, bytes]]:
    """Return what is sent, in place of a broker."""
    found: list[tuple[str, str, bytes]] = []

    class Sender:
        def send(self, topic: str, key: str, value: bytes) -> None:
            found.append((topic, key, value))

    monkeypatch.setattr(clients, "sending", lambda *_: contextlib.nullcontext(Sender()))
    return found


@pytest.mark.parametrize(
    ("version", "options", "told"),
    [
        ("", ["--version", "3"], "is the reference of fraud: expected --model"),
        ("", ["-m", "churn"], "to say so, or neither; got churn"),
        ("3", ["--version", "4"], "is the reference of fraud@3: expected --model"),
        ("3", ["-m", "fraud"], "to say so, or neither; got fraud"),
        ("", ["--monitors", "fraud.yaml"], "a file that was built takes no --monitors"),
        ("", ["--skip-bad", "--label-delay", "1d"], "takes no --label-delay, --skip-bad"),
        ("", ["--time-column", "at"], "a file that was built takes no --time-column"),
    ],
)
def test_a_built_reference_is_published_as_it_says_or_not_at_all(
    version: str,
    options: list[str],
    told: str,
    tmp_path: Path,
    sent: list[Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    file = Path("fraud.json")
    file.write_bytes(msgspec.json.encode(small(version)))
    Path("fraud.yaml").write_text("monitors: [{model: fraud}]")
    refused = CliRunner().invoke(app, ["reference", "publish", str(file), *options])
    assert (refused.exit_code, sent) == (2, [])
    assert told in refused.stderr


def test_a_built_reference_is_published_whatever_the_environment_says_of_rows(
    tmp_path: Path, sent: list[Any]
) -> None:
    file = tmp_path / "fraud.json"
    file.write_bytes(msgspec.json.encode(small("3")))
    environment = {"TIDEGAUGE_TIME_COLUMN": "at", "TIDEGAUGE_SKIP_BAD": "1"}
    for options in ([], ["--version", "3"], ["-m", "fraud", "--version", "3"]):
        arguments = ["reference", "publish", str(file), *options]
        done = CliRunner().invoke(app, arguments, env=environment)
        assert done.exit_code == 0, done.output
    assert {key for _, key, _ in sent} == {"fraud@3"}


def test_adopting_is_asked_for_and_says_where_to_see_whether_it_holds(sent: list[Any]) -> None:
    arguments = ["reference", "adopt", "fraud", "--version", "3", "--series", "loss"]
    done = CliRunner().invoke(app, arguments)
    assert done.stdout == (
        "fraud@3: asked to adopt the levels of loss as the reference; tidegauge monitors show "
        "--model fraud tells what each series is compared with\n"
    )
    assert [key for _, key, _ in sent] == ["fraud@3@loss"]
