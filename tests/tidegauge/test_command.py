import sys
from importlib.machinery import ModuleSpec
from types import SimpleNamespace

import pytest

from tidegauge.__main__ import main


def pretend_cli_lacks(module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the import of the command line end as if a module were not installed."""

    class Missing:
        def find_spec(self, name: str, *_: object) -> ModuleSpec | None:
            if name == "tidegauge.streams.cli":
                raise ModuleNotFoundError(f"No module named {module!r}", name=module)
            return None

    monkeypatch.delitem(sys.modules, "tidegauge.streams.cli", raising=False)
    monkeypatch.setattr(sys, "meta_path", [Missing(), *sys.meta_path])


@pytest.mark.parametrize(
    ("words", "command", "extra", "others"),
    [
        ([], "the command line", "worker", "broker: '.[worker,broker]'"),
        (["--help"], "the command line", "worker", "demo: '.[worker,broker,demo]'"),
        (["worker", "--instance", "a"], "worker", "worker", ""),
        (["topics", "create"], "topics", "worker", ""),
        (["broker"], "broker", "worker,broker", ""),
        (["demo"], "demo", "worker,broker,demo", ""),
    ],
)
def test_a_command_without_its_extra_says_in_one_line_what_to_install(
    words: list[str],
    command: str,
    extra: str,
    others: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    pretend_cli_lacks("typer", monkeypatch)
    monkeypatch.setattr(sys, "argv", ["tidegauge", *words])
    with pytest.raises(SystemExit) as ended:
        main()
    told = capsys.readouterr().err
    assert ended.value.code == 2
    assert told.startswith(f"tidegauge: {command} needs typer, ")
    assert f" in a clone run pip install '.[{extra}]'" in told and others in told
    assert told.endswith("not on PyPI yet\n") and told.count("\n") == 1


def test_what_a_command_imports_when_it_runs_is_told_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run() -> None:
        raise ModuleNotFoundError("No module named 'faust'", name="faust")

    monkeypatch.setitem(sys.modules, "tidegauge.streams.cli", SimpleNamespace(main=run))
    with pytest.raises(SystemExit):
        main()
    assert "needs faust" in capsys.readouterr().err


def test_a_missing_module_of_ours_is_not_blamed_on_the_extra(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pretend_cli_lacks("tidegauge.schemas.events", monkeypatch)
    with pytest.raises(ModuleNotFoundError):
        main()


def test_the_command_runs_the_command_line(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    cli = SimpleNamespace(main=lambda: calls.append("ran"))
    monkeypatch.setitem(sys.modules, "tidegauge.streams.cli", cli)
    main()
    assert calls == ["ran"]
