"""What a model version is watched with: its spec, its reference, and the budget's share."""

import hashlib
from collections.abc import Mapping

import msgspec

from tidegauge.schemas.monitors import MonitorSpec
from tidegauge.schemas.references import Reference

# Half the budget goes to the outcome series, the rest to the inputs; features published apart
# are the rarer case and get the smaller part.
SHARES: Mapping[str, float] = {"outcomes": 1 / 2, "predictions": 3 / 8, "features": 1 / 8}


def control_digest(spec: MonitorSpec | None, reference: Reference | None) -> str:
    """Return what tells one pair of spec and reference from another."""
    return hashlib.sha256(msgspec.json.encode([spec, reference])).hexdigest()[:16]


class Choice(msgspec.Struct, frozen=True):
    """A spec and a reference of which monitors can be made; ``dry_run.choose`` makes it."""

    spec: MonitorSpec | None
    reference: Reference | None
    digest: str


class Control(msgspec.Struct, frozen=True):
    """The spec and the reference in force for a model version."""

    spec: MonitorSpec
    reference: Reference | None
    digest: str
    learned: bool = False  # the reference was learned here, under an earlier spec


def control(model: str, spec: MonitorSpec | None, reference: Reference | None) -> Control:
    """Return the control of a model, with the defaults where there is no spec.

    A reference that was cut into other windows than the spec's cannot be compared with them, so
    its windows take precedence.
    """
    chosen = spec or MonitorSpec(model=model)
    if reference is not None and reference.windows != chosen.windows:
        chosen = msgspec.structs.replace(chosen, windows=reference.windows)
    return Control(chosen, reference, control_digest(spec, reference))
