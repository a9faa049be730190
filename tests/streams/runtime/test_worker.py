import asyncio
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest
from faust.worker import Worker

from tidegauge.streams.runtime import worker as module
from tidegauge.streams.runtime.app import create_app
from tidegauge.streams.runtime.errors import InstanceTakenError, StateError
from tidegauge.streams.runtime.settings import Settings
from tidegauge.streams.runtime.worker import LimitedWorker, LogFormat, Repeats


def record(name: str, message: str, error: Exception | None = None) -> logging.LogRecord:
    info = (type(error), error, None) if error else None
    return logging.LogRecord(name, logging.ERROR, "", 0, message, None, info)


def test_a_library_that_says_the_same_again_and_again_is_shown_once_in_ten_seconds() -> None:
    clock = [0.0]
    repeats = Repeats(lambda: clock[0])
    shown = []
    for second in range(25):
        clock[0] = second
        shown += [second] * repeats.filter(record("aiokafka", "Unable connect"))
    assert shown == [0, 10, 20]
    assert repeats.filter(record("aiokafka", "something else"))
    assert all(repeats.filter(record("tidegauge.streams.runtime.ledger", "ours")) for _ in range(3))


@pytest.mark.parametrize(("error", "lines"), [(StateError("says it"), 1), (KeyError("bug"), 2)])
def test_only_errors_that_nobody_foresaw_show_a_stack(error: Exception, lines: int) -> None:
    text = LogFormat("%(message)s").format(record("mode", "Crashed", error))
    assert len(text.splitlines()) == lines


@pytest.mark.parametrize("control", ["\n", "\r", "\x1b[2K", "\x9b1m", "\u2028", "\ud800"])
def test_no_name_can_forge_or_hide_a_line(control: str) -> None:
    forged = f"model m{control}2026-01-01 ERROR all is lost"
    for given in (record("streams", forged), record("streams", "x", ValueError(forged))):
        text = LogFormat("%(asctime)s %(message)s").format(given)
        first, *others = text.split("\n")
        assert first.isprintable()
        assert all(line.startswith("  ") and line.isprintable() for line in others)
        assert "all is lost" in text


def test_where_there_is_no_error_to_show_none_is_shown() -> None:
    crashed = record("mode", "Crashed")
    crashed.exc_info = (None, None, None)  # mode logs a crash like this outside an except
    assert LogFormat("%(message)s").format(crashed) == "Crashed"


@pytest.mark.parametrize(
    ("crash", "signalled", "code"),
    [
        (None, True, 0),
        (None, False, 1),  # it did not even start
        (StateError("torn"), False, 1),
        (InstanceTakenError("taken"), False, 2),
        (InstanceTakenError("taken"), True, 2),
    ],
)
async def test_a_worker_whose_clients_do_not_stop_is_ended_with_the_code_it_would_have_had(
    crash: Exception | None, signalled: bool, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    exits: list[int] = []
    monkeypatch.setattr(os, "_exit", exits.append)
    monkeypatch.setattr(module, "END_WITHIN_S", 0.0)

    async def hang(self: Worker) -> None:
        await asyncio.Future()

    monkeypatch.setattr(Worker, "stop", hang)
    app = create_app(Settings(brokers="127.0.0.1:1"), 1)
    worker = LimitedWorker(app, asyncio.get_running_loop())
    app.beacon.reattach(worker.beacon)  # as at the start: a crash is the worker's, too
    if crash is not None:
        await app.crash(crash)
        await app.crash(ValueError("follows from it"))
    worker._shutdown_immediately = signalled  # noqa: SLF001 (Faust's mark of a signal)
    stopping = [asyncio.create_task(worker.stop()) for _ in range(2)]
    async with asyncio.timeout(10):
        while not exits:
            await asyncio.sleep(0.01)
    assert exits == [code]
    for task in stopping:
        task.cancel()


def test_a_heartbeat_file_that_cannot_be_written_is_refused_before_anything_else(
    tmp_path: Path,
) -> None:
    file = tmp_path / "missing" / "alive"
    words = ["worker", "--brokers", "127.0.0.1:1", "--heartbeat-file", str(file)]
    done = subprocess.run(
        [sys.executable, "-m", "tidegauge", *words],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 2, done.stderr
    assert "expected a heartbeat file that can be written, got" in done.stderr
    assert f"No such file or directory: '{file}'" in done.stderr
    assert "Traceback" not in done.stderr
