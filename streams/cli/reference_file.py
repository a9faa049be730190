"""References as files: built from rows, with where they are from; read to be published."""

import hashlib
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import msgspec

from tidegauge import __version__
from tidegauge.schemas.monitors import MonitorSpec
from tidegauge.schemas.references import Period, Provenance, Reference, version_name
from tidegauge.streams.cli.options import note
from tidegauge.streams.cli.traffic import Traffic
from tidegauge.streams.monitor.control.control import control_digest
from tidegauge.streams.monitor.dry_run import choose
from tidegauge.streams.monitor.offline import learn_reference, told_of_second_half
from tidegauge.streams.monitor.records import Source
from tidegauge.streams.monitor.series.watched import PROMISED_WINDOWS
from tidegauge.streams.monitor.verdict.aa_check import told_inside
from tidegauge.streams.monitor.verdict.weekly import LEAST_WEEKS, advised
from tidegauge.streams.runtime.control import MAX_BYTES
from tidegauge.streams.runtime.errors import ConfigurationError, WorkerError

FRAME_ROWS = 1000
SUFFIX = ".json"
DAY = timedelta(days=1)


class TwoThingsError(WorkerError):
    """The halves of a reference are not alike."""


def period(text: str) -> Period:
    """Return what ``--exclude`` names: a day, or from a time to a time; a last day is all of it.

    >>> period("2013-02-08..2013-02-10") == period("2013-02-08..2013-02-11T00:00")
    True
    """
    first, _, last = text.partition("..")
    try:
        begins, ends = _moment(first), _moment(last or first)
    except ValueError as error:
        raise ConfigurationError(
            f"--exclude: expected a day or FROM..TO, such as 2013-02-08..2013-02-10T06:00, "
            f"got {text!r}: {error}"
        ) from error
    if _is_day(last or first):
        ends += DAY
    if not 0 <= begins.timestamp() < ends.timestamp():
        raise ConfigurationError(f"--exclude: expected an end after the beginning, got {text!r}")
    return int(1000 * begins.timestamp()), int(1000 * ends.timestamp()) - 1


def _is_day(text: str) -> bool:
    """Tell whether a time that can be read is a bare day: there are many ways to write an hour."""
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True


def _moment(text: str) -> datetime:
    at = datetime.fromisoformat(text)
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def learned(file: Path, traffic: Traffic, spec: MonitorSpec, version: str) -> Reference:
    """Return the reference that a file's rows give, and tell what there is to know of it.

    Raises
    ------
    ConfigurationError
        If they are too few, or no worker could use it.
    """
    try:
        reference = learn_reference(spec, version, _rows(traffic))
        choose(spec, reference)  # refuses what no worker could use
    except ValueError as error:
        raise ConfigurationError(
            f"{file}: expected rows that fill 3 windows or more: {error}; see the model's windows"
        ) from error
    if traffic.empty:
        note(f"not watched, as no row has a value: {', '.join(traffic.empty)}")
    if inside := told_inside(reference, spec.effect):
        note(f"taken for normal as a whole, though it is not one thing: {'; '.join(inside[:5])}")
    series = reference.series | reference.outcomes
    if spec.baseline is None:
        if advice := advised({name: own.explained for name, own in series.items()}):
            note(advice)
    elif not any(own.week for own in series.values()):
        note(f"no series is compared by the week: {LEAST_WEEKS} weeks of rows are needed")
    if reference.broken:
        told = (f"{name} in {share:.2%} of rows" for name, share in reference.broken.items())
        note(f"rows break what the spec declares: {', '.join(told)}")
    if unfinished := traffic.rows - reference.rows:
        note(f"{unfinished:,} rows after the last full window are not in the reference")
    if (count := windows(reference)) < PROMISED_WINDOWS:
        note(
            f"{count} windows carry no promise: only blatant faults will be told; "
            f"give rows for {PROMISED_WINDOWS}, better 90"
        )
    return reference


def windows(reference: Reference) -> int:
    """Return how many windows a reference has."""
    return max((len(profile.values) for profile in reference.series.values()), default=0)


def described(reference: Reference) -> str:
    """Return what a reference is, as part of a sentence."""
    name = version_name(reference.model, reference.version)
    return f"{name}: reference of {reference.rows:,} rows in {windows(reference)} windows"


def build(
    file: Path,
    traffic: Traffic,
    spec: MonitorSpec,
    version: str,
    excluded: Sequence[Period],
    despite_alarms: bool,
) -> Reference:
    """Return the reference that a file's rows give, with where it is from; see ``learned``.

    Raises
    ------
    TwoThingsError
        If a worker that learned from its first half would tell something of its second.
    """
    left_out = traffic.exclude(excluded)
    if not traffic.rows:
        raise ConfigurationError(f"{file}: expected rows outside --exclude, found none")
    if excluded:
        note(f"{left_out:,} rows are left out by --exclude")
    reference = learned(file, traffic, spec, version)
    alarms = told_of_second_half(spec, _rows(traffic), reference)
    if alarms and not despite_alarms:
        raise TwoThingsError(
            "\n".join(
                [
                    f"{file}: nothing was written, as its first half would tell of its second:",
                    *alarms,
                    "leave times that are known to be bad out with --exclude, or write it "
                    "--despite-alarms",
                ]
            )
        )
    with file.open("rb") as data:
        digest = hashlib.file_digest(data, "sha256").hexdigest()
    provenance = Provenance(
        sha256=digest,
        rows=traffic.rows,
        excluded=sorted(excluded),
        excluded_rows=left_out,
        spec=control_digest(spec, None),
        tidegauge=__version__,
        alarms=alarms,
    )
    return msgspec.structs.replace(reference, provenance=provenance)


def encoded(reference: Reference) -> bytes:
    """Return a reference as it is published.

    Raises
    ------
    ConfigurationError
        If it is larger than the journal takes.
    """
    value = msgspec.json.encode(reference)
    if len(value) > MAX_BYTES:
        raise ConfigurationError(
            f"a reference may have {MAX_BYTES} bytes, got {len(value)}: name fewer --features"
        )
    return value


def read_reference(file: Path) -> Reference:
    """Return a reference that was built as a file.

    Raises
    ------
    ConfigurationError
        If it is none, or no worker could use it.
    """
    try:
        reference = msgspec.json.decode(file.read_bytes(), type=Reference)
        choose(None, reference)
    except (ValueError, OSError) as error:
        raise ConfigurationError(
            f"{file}: expected a reference, as tidegauge reference build writes it: {error}"
        ) from error
    return reference


def _rows(traffic: Traffic) -> list[tuple[Source, bytes]]:
    return [(message.topic, message.value) for message in traffic.messages(FRAME_ROWS)]
