"""What a model version is watched with: its spec, its reference, and the budget's share."""

import hashlib
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import msgspec

from tidegauge.schemas.monitors import MonitorSpec
from tidegauge.schemas.references import Reference
from tidegauge.streams.monitor.windows.cutting import windows_of

# Half the budget goes to the outcome series, the rest to the inputs; features published apart
# are the rarer case and get the smaller part.
SHARES: Mapping[str, float] = {"outcomes": 1 / 2, "predictions": 3 / 8, "features": 1 / 8}


def control_digest(spec: MonitorSpec | None, reference: Reference | None) -> str:
    """Return what tells one pair of spec and reference from another.

    Fields at their defaults do not count, so that a version that knows a further field takes
    nothing for changed.
    """
    said = msgspec.json.encode([_said(spec), _said(reference)])
    return hashlib.sha256(said).hexdigest()[:16]


def with_adopted(digest: str, adopted: Mapping[str, int]) -> str:
    """Return the digest of spec and reference where levels were adopted as well."""
    said = msgspec.json.encode([digest, sorted(adopted.items())])
    return hashlib.sha256(said).hexdigest()[:16] if adopted else digest


def _said(value: Any) -> Any:
    """Return a value without the fields of structs that are at their defaults."""
    if isinstance(value, msgspec.Struct):
        fields = msgspec.structs.fields(value)
        held = {field.encode_name: (field, getattr(value, field.name)) for field in fields}
        return {
            name: _said(own) for name, (field, own) in held.items() if not _is_usual(field, own)
        }
    if isinstance(value, Mapping):
        return {key: _said(own) for key, own in value.items()}
    if isinstance(value, list | tuple) and not isinstance(next(iter(value), 0.0), float | None):
        return [*map(_said, value)]
    return value  # numbers, of which a reference has thousands, have no fields


def _is_usual(field: msgspec.structs.FieldInfo, value: Any) -> bool:
    if field.default_factory is not msgspec.NODEFAULT:
        return bool(value == field.default_factory())
    return field.default is not msgspec.NODEFAULT and bool(value == field.default)


class Choice(msgspec.Struct, frozen=True):
    """A spec and a reference of which monitors can be made; ``dry_run.choose`` makes it."""

    spec: MonitorSpec | None
    reference: Reference | None
    digest: str  # of all of it
    adopted: Mapping[str, int] = {}


class Control(msgspec.Struct, frozen=True):
    """The spec and the reference in force for a model version."""

    spec: MonitorSpec
    reference: Reference | None
    digest: str  # of these two
    learned: bool = False  # the reference was learned here, under an earlier spec
    adopted: dict[str, int] = {}  # series whose levels a person accepted, and when

    def adopts(self, before: "Control | None") -> set[str] | None:
        """Return which series' levels it adopts; None if it is another one in other things too."""
        if before is None or before.digest != self.digest or before.adopted == self.adopted:
            return None
        return {name for name, at in self.adopted.items() if before.adopted.get(name) != at}


def control(
    model: str,
    spec: MonitorSpec | None,
    reference: Reference | None,
    adopted: Mapping[str, int] = MappingProxyType({}),
) -> Control:
    """Return the control of a model, with the defaults where there is no spec.

    A reference that was cut into other windows than the spec's cannot be compared with them, so
    its windows take precedence.
    """
    chosen = spec or MonitorSpec(model=model)
    if reference is not None and reference.windows != chosen.windows:
        windows = windows_of(chosen.windows, reference.windows)
        chosen = msgspec.structs.replace(chosen, windows=windows)
    digest = control_digest(spec, reference)
    return Control(chosen, reference, digest, adopted=dict(adopted))
