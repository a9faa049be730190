import logging

import pytest

from streams.runtime.errors import StateError
from streams.runtime.worker import LogFormat, Repeats


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
    assert all(repeats.filter(record("streams.runtime.ledger", "ours")) for _ in range(3))


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
