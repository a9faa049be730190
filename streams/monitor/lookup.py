"""Which spec and which reference hold for a model version: one answer, live and offline."""

from collections.abc import Callable, Iterable

import msgspec

from tidegauge.schemas.monitors import MonitorSpec
from tidegauge.schemas.references import Adoption, Reference
from tidegauge.streams.monitor.control.control import Choice, with_adopted
from tidegauge.streams.monitor.dry_run import choose
from tidegauge.streams.monitor.intake.messages import Key


def refuse(model: str, fault: ValueError) -> None:
    """Raise what is wrong with a model's spec or reference."""
    raise ValueError(f"model {model}: {fault}") from fault


Content = MonitorSpec | Reference | Adoption


class Lookup:
    """The newest spec of each model, the newest reference of each model or model version.

    With the levels of series that a person adopted.

    Parameters
    ----------
    contents
        Specs, references and adoptions; of two of the same model version the later holds.
    unfit
        Told the model and the fault, once, where no monitor can be made of what was said; the model
        is then watched without it. By default that is an error.

    Examples
    --------
    >>> Lookup([MonitorSpec(model="fraud")]).find("fraud", "3").spec.model
    'fraud'
    >>> Lookup().find("fraud", "3").spec is None  # the defaults
    True
    """

    def __init__(
        self,
        contents: Iterable[Content] = (),
        unfit: Callable[[str, ValueError], None] = refuse,
    ) -> None:
        self._unfit = unfit
        self._specs: dict[str, MonitorSpec] = {}
        self._references: dict[Key, Reference] = {}
        self._adopted: dict[Key, dict[str, int]] = {}  # by series: when
        # By model and whose reference: a dry run costs as much as the monitors themselves.
        self._tried: dict[str, dict[str | None, Choice | None]] = {}
        for content in contents:
            self.add(content)

    def find(self, model: str, version: str) -> Choice:
        """Return what holds for a model version; its own reference goes before its model's."""
        spec, known = self._specs.get(model), self._references
        reference = known.get((model, version)) or known.get((model, ""))
        tried = self._try(model, spec, reference) or self._try(model, spec, None)
        found = tried or choose(None, None)
        own, all_versions = (self._adopted.get((model, of), {}) for of in (version, ""))
        adopted = {name: max(own.get(name, 0), at) for name, at in (own | all_versions).items()}
        digest = with_adopted(found.digest, adopted)
        return msgspec.structs.replace(found, adopted=adopted, digest=digest)

    def _try(
        self, model: str, spec: MonitorSpec | None, reference: Reference | None
    ) -> Choice | None:
        tried = self._tried.setdefault(model, {})
        whose = None if reference is None else reference.version
        if whose not in tried:
            try:
                tried[whose] = choose(spec, reference)
            except ValueError as fault:
                tried[whose] = None
                self._unfit(model, fault)
        return tried[whose]

    def add(self, content: Content) -> None:
        """Let it hold, in place of what was there before."""
        if isinstance(content, Adoption):
            own = self._adopted.setdefault((content.model, content.version), {})
            own[content.series] = content.at_ms
        elif isinstance(content, Reference):
            self._references[content.model, content.version] = content
        else:
            self._specs[content.model] = content
        self._tried.pop(content.model, None)

    def remove(self, content: Content) -> None:
        """Let no such thing hold for whom this one is."""
        if isinstance(content, Adoption):
            self._adopted.get((content.model, content.version), {}).pop(content.series, None)
        elif isinstance(content, Reference):
            self._references.pop((content.model, content.version), None)
        else:
            self._specs.pop(content.model, None)
        self._tried.pop(content.model, None)
