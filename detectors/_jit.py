"""The one way to compile a kernel, and the parts of one."""

import logging
from collections.abc import Callable
from functools import cache, partial
from typing import Any, TypeVar, cast

from numba import njit, types

log = logging.getLogger(__name__)

F = TypeVar("F", bound=Callable[..., Any])

BLOCK = types.Array(types.float64, 2, "C", readonly=True)  # rows x series, NaN = missing
STATE = types.Array(types.float64, 2, "C")  # fields x series; its bytes are the snapshot
ALARMS = types.Array(types.boolean, 2, "C")  # rows x series
TABLE = types.Array(types.float64, 2, "C", readonly=True)  # parameters, e.g. lags x series
VECTOR = types.Array(types.float64, 1, "C", readonly=True)  # one parameter a series
BYTES = types.Array(types.uint8, 1, "C", readonly=True)
FLAGS = types.Array(types.boolean, 1, "C")
INTS = types.Array(types.int64, 1, "C")
PAIRS = types.Array(types.int64, 2, "C")


def kernel(*signature: Any, allocates: bool = True) -> Callable[[F], F]:
    """Compile at import, from a written signature: no surprise in the hot path.

    A kernel changes its arrays in place and returns nothing. What it calls and the constants it
    reads stay in its own file: numba's cache does not see a change in another module.

    One that ``allocates`` nothing need not count who holds an array: where it calls routines, that
    is most of its time.
    """

    def compiled(function: F) -> F:
        options = {"nogil": True, "error_model": "numpy", "_nrt": allocates}
        compile_with: Any = partial(njit, [types.void(*signature)], **options)
        try:
            return cast(F, compile_with(cache=True)(function))
        except (RuntimeError, OSError) as error:
            if isinstance(error, RuntimeError) and "cannot cache" not in str(error):
                raise
            _tell_uncached()
            return cast(F, compile_with()(function))

    return compiled


@cache
def _tell_uncached() -> None:
    log.warning(
        "Nowhere to keep compiled kernels, so each start takes seconds longer: "
        "set NUMBA_CACHE_DIR to a directory that can be written to"
    )


def part(function: F) -> F:
    """Mark a part of a kernel, in the kernel's file; it may return a number.

    It is written into its kernel, as a call costs some nanoseconds for passing arrays: ADWIN took
    40 ns a value with calls and 32 without.
    """
    return cast(F, njit(inline="always", error_model="numpy")(function))


def routine(function: F) -> F:
    """Mark a part of a kernel that allocates nothing, in the kernel's file; it is called."""
    options: Any = {"nogil": True, "error_model": "numpy", "_nrt": False}
    return cast(F, njit(**options)(function))
