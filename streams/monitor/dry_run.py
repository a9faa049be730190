"""Can a model be watched with this spec and this reference? Tried before anything depends on it."""

import msgspec

from tidegauge.schemas.monitors import MonitorSpec
from tidegauge.schemas.references import Reference
from tidegauge.streams.monitor.control.columns import watched_columns
from tidegauge.streams.monitor.control.control import Choice, Control, control, control_digest
from tidegauge.streams.monitor.control.faults import faults
from tidegauge.streams.monitor.verdict.incidents import Origin
from tidegauge.streams.monitor.verdict.input_monitor import InputMonitor
from tidegauge.streams.monitor.verdict.outcome_monitor import OutcomeMonitor

MAX_BYTES = 900_000  # of a spec, and of a reference, as the journal writes them: it holds both


def choose(spec: MonitorSpec | None, reference: Reference | None) -> Choice:
    """Return a spec and a reference, once it is certain that monitors can be made of them.

    Raises
    ------
    ValueError
        If they cannot, with what is wrong that a schema cannot say: rules or detectors that the
        model cannot have, or parts of a reference that do not fit. In the journal it would stop
        every owner.
    """
    _check_bytes(spec, reference)
    _check_spec(spec)
    if reference is None:
        return Choice(spec, None, control_digest(spec, None))
    held = control(reference.model, spec, reference)
    _check_weeks(reference)
    _check_monitors(held, reference)
    return Choice(spec, reference, held.digest)


def _check_bytes(spec: MonitorSpec | None, reference: Reference | None) -> None:
    for name, part in (("spec", spec), ("reference", reference)):
        if (size := len(msgspec.json.encode(part))) > MAX_BYTES:
            raise ValueError(
                f"{name}: expected at most {MAX_BYTES} bytes in the journal, got {size}"
            )


def _check_spec(spec: MonitorSpec | None) -> None:
    for path, fault in faults(spec or MonitorSpec(model="any")):
        raise ValueError(f"{fault} - at `{path}`")


def _check_weeks(reference: Reference) -> None:
    count = reference.windows.weekly
    for name, own in (reference.series | reference.slices | reference.outcomes).items():
        for week in (own.week, own.week_shown):
            if week and len(week) != count:
                raise ValueError(f"{name}: week: expected {count} numbers, got {len(week)}")


def _check_monitors(held: Control, reference: Reference) -> None:
    columns = watched_columns(reference, held.spec.types)
    origin = Origin(reference.model, "", "predictions", "", 0, held.spec.retraining, 0)
    try:
        inputs = InputMonitor(origin, held, columns, share=1.0)
        OutcomeMonitor(origin, held, share=1.0)
    except (ValueError, LookupError) as fault:
        raise ValueError(f"a reference that cannot be watched with: {fault!r}") from None
    if inputs.is_learning:
        raise ValueError("a reference that cannot be watched with: expected 3 windows or more")
