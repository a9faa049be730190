"""Online algorithms on arrays: rows of many series in, findings out; no clock, disk or network.

>>> from tidegauge.detectors import ADWIN
>>> ADWIN(width=2).update([[0.0, 1.0]]).tolist()
[[False, False]]
"""

from tidegauge.detectors.drift.adwin import ADWIN
from tidegauge.detectors.drift.mixture import MixtureEDetector
from tidegauge.detectors.drift.page_hinkley import PageHinkley

__all__ = ["ADWIN", "MixtureEDetector", "PageHinkley"]
