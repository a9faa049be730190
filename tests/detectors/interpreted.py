"""A kernel as plain Python, for a while."""

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from unittest import mock


@contextmanager
def interpreted(module: str, kernel: str) -> Iterator[None]:
    """Let ``kernel`` of ``module`` run as it is written, not compiled."""
    place = importlib.import_module(module)
    with mock.patch.object(place, kernel, getattr(place, kernel).py_func):
        yield
