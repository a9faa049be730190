"""Tidegauge for other programs: what a model server imports to send what it predicts.

>>> from tidegauge import Producer
>>> Producer(model="fraud").counts
Counts(sent=0, failed=0, dropped=0, pending=0)
"""

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING

__all__ = ["Counts", "Producer", "__version__"]

__version__ = version("tidegauge")

if TYPE_CHECKING:
    from tidegauge.producer import Counts, Producer
else:  # hidden from type checkers, which would take any name for one of ours

    def __getattr__(name: str) -> object:
        """Import the client when it is asked for: ``tidegauge.detectors`` needs no Kafka."""
        if name in __all__:
            return getattr(import_module("tidegauge.producer"), name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
