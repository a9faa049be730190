"""Every bank of detectors under the name that specs and snapshots use."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from tidegauge.detectors.base import Bank
from tidegauge.detectors.drift.adwin import ADWIN
from tidegauge.detectors.drift.page_hinkley import PageHinkley

DETECTORS: Final[Mapping[str, Callable[..., Bank]]] = MappingProxyType(
    {detector.name: detector for detector in (ADWIN, PageHinkley)}
)
