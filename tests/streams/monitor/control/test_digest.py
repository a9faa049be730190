"""What is in force is told from what was by what is said, not by what this version knows."""

from typing import Any

import msgspec
import pytest

from tests.streams.monitor.traffic import SPEC, traffic
from tidegauge.schemas.monitors import DetectorSpec, EffectSpec, MonitorSpec, ReferenceSpec
from tidegauge.schemas.references import Reference
from tidegauge.streams.monitor.control.control import control_digest
from tidegauge.streams.monitor.offline import learn_reference

ADWIN = DetectorSpec(kind="adwin", series=["loss"])


class Further(MonitorSpec, frozen=True, kw_only=True):
    """A spec of a version that knows one field more."""

    further: int = 7


@pytest.fixture(scope="module")
def reference() -> Reference:
    return learn_reference(SPEC, "", traffic(1).send(6).records)


@pytest.mark.parametrize(
    "changed",
    [
        {"threshold": 0.4},
        {"effect": EffectSpec(features=0.3)},
        {"reference": ReferenceSpec(windows=40)},
        {"detectors": [ADWIN]},
        {"metrics": ["f1"]},
    ],
)
def test_whatever_is_said_otherwise_is_another_control(changed: dict[str, Any]) -> None:
    spec = MonitorSpec(model="m", detectors=[DetectorSpec(kind="adwin", series=["error"])])
    other = msgspec.structs.replace(spec, **changed)
    assert control_digest(spec, None) != control_digest(other, None)


def test_a_field_that_only_a_later_version_has_changes_nothing() -> None:
    said = {"model": "m", "threshold": 0.4, "reference": {"windows": 40}}
    spec, further = (msgspec.convert(said, kind) for kind in (MonitorSpec, Further))
    assert control_digest(spec, None) == control_digest(further, None)
    later = msgspec.structs.replace(further, further=8)
    assert control_digest(spec, None) != control_digest(later, None)


def test_a_reference_counts_with_all_its_numbers(reference: Reference) -> None:
    (name, profile), *_ = reference.series.items()
    values = [*profile.values[:-1], 0.123]
    other = msgspec.structs.replace(
        reference,
        series={**reference.series, name: msgspec.structs.replace(profile, values=values)},
    )
    same = msgspec.json.decode(msgspec.json.encode(reference), type=Reference)
    assert control_digest(None, reference) == control_digest(None, same)
    assert control_digest(None, reference) != control_digest(None, other)
