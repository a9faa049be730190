"""Tidegauge for other programs: what a model server imports to send what it predicts.

>>> from tidegauge import Producer
>>> Producer(model="fraud").counts
Counts(sent=0, failed=0, dropped=0, pending=0)
"""

from importlib.metadata import version

from tidegauge.producer import Counts, Producer

__all__ = ["Counts", "Producer", "__version__"]

__version__ = version("tidegauge")
