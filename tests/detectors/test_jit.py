import os

import numpy as np
import pytest
from numba.core import caching

from tidegauge.detectors import _jit
from tidegauge.detectors._jit import STATE, kernel

JIT = os.environ.get("NUMBA_DISABLE_JIT") != "1"


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
