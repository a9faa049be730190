"""Every kernel there is, found by reading: compiled at import, and of its own file only."""

import ast
import importlib
import inspect
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numba.core import caching
from numba.core.registry import CPUDispatcher

from tidegauge.detectors import _jit
from tidegauge.detectors._jit import STATE, kernel

HERE = Path(_jit.__file__).parent
JIT = os.environ.get("NUMBA_DISABLE_JIT") != "1"
REQUIRED = os.environ.get("REQUIRE_JIT") == "1"  # then a run that compiles nothing is a fault
compiled = pytest.mark.skipif(not JIT and not REQUIRED, reason="nothing is compiled")


def decorated(decorator: str) -> Iterator[tuple[str, str]]:
    """Yield module and name of each function that is decorated so."""
    for file in sorted(HERE.rglob("*.py")):
        module = ".".join(("tidegauge.detectors", *file.relative_to(HERE).with_suffix("").parts))
        for node in ast.parse(file.read_text()).body:
            if isinstance(node, ast.FunctionDef):
                used = {ast.unparse(one).partition("(")[0] for one in node.decorator_list}
                if decorator in used:
                    yield module, node.name


KERNELS = list(decorated("kernel"))


@compiled
@pytest.mark.parametrize(("module", "name"), KERNELS)
def test_a_kernel_is_compiled_before_its_first_call(module: str, name: str) -> None:
    fold = getattr(importlib.import_module(module), name)
    assert isinstance(fold, CPUDispatcher), "numba is switched off: NUMBA_DISABLE_JIT"
    assert len(fold.nopython_signatures) == 1


@pytest.mark.skipif(not JIT, reason="nothing is compiled")
@pytest.mark.parametrize(("module", "name"), [*KERNELS, *decorated("part")])
def test_what_a_kernel_calls_is_in_its_own_file(module: str, name: str) -> None:
    function = getattr(importlib.import_module(module), name).py_func
    used = inspect.getclosurevars(function).globals.values()
    others = [one for one in used if isinstance(one, CPUDispatcher) and one.__module__ != module]
    assert others == [], "numba's cache does not see when they change"


def test_there_is_one_way_to_compile() -> None:
    assert {module.rpartition(".")[2] for module, _ in KERNELS} >= {"adwin", "moments"}
    names = {file.name for file in HERE.rglob("*.py") if "jit(" in file.read_text()}
    assert names == {"_jit.py"}


@pytest.mark.parametrize(
    ("place", "method", "error"),
    [
        (caching._CacheLocator, "ensure_cache_path", OSError(30, "Read-only file system")),  # noqa: SLF001 - what looks for a place
        (caching.Cache, "save_overload", OSError(28, "No space left on device")),
    ],
)
def test_a_kernel_that_cannot_be_kept_works_and_this_is_told_once(
    place: type,
    method: str,
    error: OSError,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def refuse(*_: object) -> None:
        raise error

    monkeypatch.setattr(place, method, refuse)
    _jit._tell_uncached.cache_clear()  # noqa: SLF001 - other tests may have told it
    state = np.ones((1, 1))
    for _ in range(2):

        @kernel(STATE)
        def double(state: np.ndarray) -> None:
            for index in range(state.shape[0]):
                state[index, 0] *= 2.0

        double(state)
    assert state.tolist() == [[4.0]]
    told = [record for record in caplog.records if "NUMBA_CACHE_DIR" in record.getMessage()]
    assert len(told) == JIT


@pytest.mark.skipif(not JIT, reason="nothing is compiled")
def test_another_fault_of_the_compiler_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("another fault")

    monkeypatch.setattr(caching.Cache, "load_overload", fail)
    with pytest.raises(RuntimeError, match="another fault"):

        @kernel(STATE)
        def nothing(state: np.ndarray) -> None:
            state[0, 0] = 0.0
