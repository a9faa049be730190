"""Gives a new owner of a partition the state its logs say it has."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from streams.monitor.records import SOURCES, Source
from streams.runtime import snapshots
from streams.runtime.cores import Core, Cores, Rebuilt
from streams.runtime.errors import StateError
from streams.runtime.outbox import Outbox
from streams.runtime.snapshots import Loaded, Log
from typing_extensions import TypeIs
