"""Tidegauge for other programs: what a model server imports to send what it predicts.

>>> from tidegauge import Producer
>>> Producer(model="fraud").counts
Counts(sent=0, failed=0, dropped=0, pending=0)
"""

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tidegauge.producer import Counts, Producer

__all__ = ["Counts", "Producer", "__version__"]

__version__ = version("tidegauge")


def __getattr__(name: str) -> Any:
    """Import the client when it is asked for: ``tidegauge.detectors`` needs no Kafka."""
    if name in ("Counts", "Producer"):
        return getattr(import_module("tidegauge.producer"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
