import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from kafka.errors import (
    KafkaConnectionError,
    KafkaTimeoutError,
    MessageSizeTooLargeError,
    TopicAuthorizationFailedError,
    UnknownTopicOrPartitionError,
)
from typer.testing import CliRunner

from tidegauge.schemas.topics import TopicNames
from tidegauge.streams.cli import app
from tidegauge.streams.cli.alerts import moment_ms
from tidegauge.streams.cli.options import addresses, columns_of, duration, topic_names
from tidegauge.streams.cli.reading import EARLIEST_MS, LATEST_MS
from tidegauge.streams.cli.topics import retention
from tidegauge.streams.runtime import errors, worker
from tidegauge.streams.runtime.settings import Settings

HEAVY = {"aiokafka", "faust", "jgo", "kafka", "numba", "numpy", "pyarrow", "river", "yaml"}
COLUMNS: dict[str, Any] = dict.fromkeys(
    ("id", "time", "prediction", "label", "label_time", "label_delay_ms", "features")
)
run = CliRunner().invoke


def commands(command: Any, name: str = "tidegauge") -> Iterator[tuple[str, Any]]:
    yield name, command
    for child in getattr(command, "commands", {}).values():
        yield from commands(child, f"{name} {child.name}")


def options() -> Iterator[tuple[str, Any]]:
    for name, command in commands(typer.main.get_command(app)):
        for option in command.params:
            if option.param_type_name == "option" and option.name not in ("help", "show_version"):
                yield f"{name} {option.opts[0]}", option


def worker_that_returns(code: int, monkeypatch: pytest.MonkeyPatch) -> list[Settings]:
    """Replace the worker; return the list of settings that it will have been given."""
    seen: list[Settings] = []

    def run_worker(settings: Settings) -> int:
        seen.append(settings)
        return code

    monkeypatch.setattr(worker, "run_worker", run_worker)
    return seen


def test_every_option_has_an_environment_variable_and_a_help_text() -> None:
    found = dict(options())
    assert len(found) > 40, "the walk has missed the commands"
    lacking = [
        name
        for name, option in found.items()
        if not str(option.envvar or "").startswith("TIDEGAUGE_") or not option.help
    ]
    assert lacking == []


def test_one_environment_variable_always_means_the_same_option() -> None:
    meanings: dict[str, set[str]] = {}
    for _, option in options():
        meanings.setdefault(option.envvar, set()).add(option.name)
    assert {envvar: names for envvar, names in meanings.items() if len(names) > 1} == {}


@pytest.mark.parametrize("name", [name for name, _ in commands(typer.main.get_command(app))])
def test_every_command_says_in_its_help_what_it_does(name: str) -> None:
    result = run(app, [*name.split()[1:], "--help"])
    assert result.exit_code == 0
    assert "Usage:" in result.output
    assert dict(commands(typer.main.get_command(app)))[name].help


def test_importing_the_command_line_loads_nothing_heavy() -> None:
    program = "import sys, tidegauge.streams.cli; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    ).stdout.split()
    assert "typer" in loaded
    assert HEAVY & set(loaded) == set()


def test_the_version_is_the_distributions() -> None:
    from tidegauge import __version__  # noqa: PLC0415 - the name is of no use to other tests

    assert run(app, ["--version"]).output == f"tidegauge {__version__}\n"


def test_an_unknown_command_is_a_usage_error() -> None:
    assert run(app, ["frobnicate"]).exit_code == 2


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.WorkerError("why"), 1),
        (errors.ConfigurationError("why"), 2),
        (errors.BrokerUnreachableError("why"), 3),
        (errors.TopicMissingError("why"), 4),
    ],
)
def test_an_error_of_ours_is_one_line_and_its_exit_code(
    error: Exception, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr("tidegauge.streams.cli.clients.partition_counts", fail)
    result = run(app, ["alerts", "--wait", "0s"])
    assert result.exit_code == code
    assert result.stderr == "tidegauge: why\n"
    assert result.stdout == ""


def test_a_fault_of_ours_is_not_dressed_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tidegauge.streams.cli.clients.partition_counts", lambda *_: {})
    assert isinstance(run(app, ["alerts"]).exception, KeyError)


def test_the_worker_gets_its_settings_from_options_and_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen = worker_that_returns(4, monkeypatch)
    environment = {
        "TIDEGAUGE_BROKERS": "kafka:9",
        "TIDEGAUGE_PREFIX": "eu.",
        "TIDEGAUGE_STALLED_AFTER": "2m",
        "TIDEGAUGE_TOPIC_PREDICTIONS": "scores",
        "TIDEGAUGE_LOG_LEVEL": "warning",
    }
    arguments = ["worker", "--group", "g", "--instance", "one", "--restore-within", "9s"]
    result = run(app, arguments, env=environment)
    assert result.exit_code == 4
    assert seen == [
        Settings(
            brokers="kafka:9",
            topics=TopicNames.prefixed("eu.", {"predictions": "scores"}),
            group="g",
            instance="one",
            log_level="WARNING",
            stalled_after_s=120.0,
            restore_within_s=9.0,
        )
    ]


def test_the_worker_has_the_defaults_of_its_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = worker_that_returns(0, monkeypatch)
    assert run(app, ["worker"]).exit_code == 0
    assert seen == [Settings(brokers="127.0.0.1:9092")]


def test_a_mapped_topic_goes_before_its_environment_variable(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TIDEGAUGE_TOPIC_LABELS", "truth")
    monkeypatch.setenv("TIDEGAUGE_TOPIC_ALERTS", "pages")
    names = topic_names("eu.", ["labels=outcomes-of-us"])
    assert (names.labels, names.alerts, names.windows) == ("outcomes-of-us", "pages", "eu.windows")


@pytest.mark.parametrize("mapped", ["labels", "label=x", "labels=a b", "labels=eu.alerts"])
def test_a_topic_that_cannot_be_mapped_is_refused(mapped: str) -> None:
    with pytest.raises(errors.ConfigurationError):
        topic_names("eu.", [mapped])


def test_durations_and_forever_are_read() -> None:
    assert [retention(text) for text in ("7d", "90s", "forever")] == [604_800_000, 90_000, -1]
    with pytest.raises(typer.BadParameter, match="expected a duration such as"):
        duration("soon")


@pytest.mark.parametrize(
    "given",
    [
        {"label": "y"},
        {"prediction": "p", "label_time": "t"},
        {"prediction": "p", "label_delay_ms": 1},
        {"prediction": "p", "label": "y", "label_time": "t", "label_delay_ms": 1},
    ],
)
def test_column_options_that_do_not_go_together_are_refused(given: dict[str, Any]) -> None:
    with pytest.raises(errors.ConfigurationError):
        columns_of(**COLUMNS | given)


def test_a_label_delay_is_kept() -> None:
    named = {"prediction": "p", "label": "y", "label_delay_ms": 90_000}
    assert columns_of(**COLUMNS | named).label_delay_ms == 90_000


def test_a_moment_is_a_date_an_age_or_a_word(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tidegauge.streams.cli.alerts.time.time", lambda: 10_000.0)
    assert [moment_ms(text) for text in ("beginning", "now")] == [EARLIEST_MS, LATEST_MS]
    assert moment_ms("2h") == 10_000_000 - 7_200_000
    november_ms = 1_793_491_200_000
    for text in ("2026-11-01T00:00Z", "2026-11-01", "2026-11-01T00:00", "2026-11-01T01:00+01:00"):
        assert moment_ms(text) == november_ms


@pytest.mark.parametrize("text", ["yesterday", "2026-13-01", "2026-11-01T25:00Z", ""])
def test_a_moment_nobody_understands_is_a_usage_error(text: str) -> None:
    result = run(app, ["alerts", "--since", text])
    assert result.exit_code == 2
    assert "Invalid value for '--since'" in result.stderr


@pytest.mark.parametrize(("prefix", "group"), [("eu.", "eu"), ("tidegauge.", "tidegauge")])
def test_the_workers_group_is_not_for_readers(prefix: str, group: str) -> None:
    result = run(app, ["alerts", "--prefix", prefix, "--group", group])
    assert result.exit_code == 2
    assert result.stderr == f"tidegauge: group {group} is the workers' own: name another\n"


def test_features_are_split_at_commas() -> None:
    assert columns_of(**COLUMNS | {"features": "a, b,"}).features == ["a", "b"]


def test_a_retention_nobody_understands_is_a_usage_error() -> None:
    result = run(app, ["topics", "create", "--retention", "3weeks"])
    assert result.exit_code == 2
    assert "expected a duration such as 30s, 9h or 7d" in result.stderr


def test_apply_needs_something_to_do() -> None:
    result = run(app, ["apply"])
    assert result.exit_code == 2
    assert "FILE" in result.stderr
    assert "--remove" in result.stderr


def test_a_dry_run_needs_no_broker(tmp_path: Path) -> None:
    file = tmp_path / "monitors.yaml"
    file.write_text("monitors: [{model: fraud}, {model: churn}]")
    result = run(app, ["apply", str(file), "--dry-run", "--brokers", "127.0.0.1:1"])
    assert result.exit_code == 0
    assert result.output == "fraud: would be applied\nchurn: would be applied\n"


def test_a_model_cannot_be_applied_and_removed_at_once(tmp_path: Path) -> None:
    file = tmp_path / "monitors.yaml"
    file.write_text("monitors: [{model: fraud}]")
    result = run(app, ["apply", str(file), "--remove", "fraud", "--dry-run"])
    assert result.exit_code == 2
    assert "'fraud'" in result.stderr


def test_every_fault_of_a_monitors_file_is_a_line_with_the_files_name(tmp_path: Path) -> None:
    file = tmp_path / "monitors.yaml"
    file.write_text("monitors: [{model: fraud, threshold: 2}, {model: churn, colour: red}]")
    result = run(app, ["apply", str(file), "--dry-run"])
    assert result.exit_code == 2
    first, second = result.stderr.splitlines()
    assert first == f"tidegauge: {file}: $.monitors[0].threshold: expected float <= 1.0, got 2"
    assert second.startswith(f"tidegauge: {file}: $.monitors[1].colour: expected one of model, ")


@pytest.mark.parametrize("address", ["kafka:port", "kafka", "", "a:1,", "https://kafka:1", "a b:1"])
@pytest.mark.parametrize("command", ["alerts", "worker"])
def test_an_address_that_is_none_is_a_usage_error(address: str, command: str) -> None:
    result = run(app, [command, "--brokers", address])
    assert result.exit_code == 2
    assert "expected host:port" in result.stderr


def test_addresses_may_have_blanks_between() -> None:
    assert addresses("10.0.0.1:1, b.example:2 ,[::1]:9092") == "10.0.0.1:1,b.example:2,[::1]:9092"


@pytest.mark.parametrize(
    ("raised", "code", "told"),
    [
        (KafkaTimeoutError("Unable to bootstrap"), 3, "no Kafka broker answers at kafka:9: "),
        (KafkaConnectionError("gone"), 3, "no Kafka broker answers at kafka:9: "),
        (UnknownTopicOrPartitionError("?"), 4, "`tidegauge topics create`"),
        (MessageSizeTooLargeError("?"), 2, "send fewer rows a frame"),
        (TopicAuthorizationFailedError("a\nb"), 1, "refused: TopicAuthorizationFailedError: "),
    ],
)
def test_what_kafka_says_is_one_line_and_an_exit_code(
    raised: Exception, code: int, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: str) -> None:
        raise raised

    monkeypatch.setattr("tidegauge.streams.cli.clients.admin_client", fail)
    result = run(app, ["alerts", "--brokers", "kafka:9", "--wait", "0s"])
    assert result.exit_code == code
    assert told in result.stderr
    assert result.stderr.count("\n") == 1
