"""How a deployment stands, in words."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from tidegauge.streams.cli.events import one_line
from tidegauge.streams.monitor.status import ModelStatus, StreamStatus
from tidegauge.streams.monitor.words import moment, percent
from tidegauge.streams.runtime.groups import Member
from tidegauge.streams.runtime.overview import LastWindow, Overview, PartitionOverview

STALE_MS = 60_000  # a worker that folds anything writes its state six times as often
NAMED = 10  # features, reasons, models that are named; of more there is the number
WIDTH = 100  # of what goes to no terminal
USUAL = 0.9  # share of labels that are paired, or it is shown
SETTLED = ("paired", "duplicate", "corrected", "beyond_horizon", "unpaired")
PARTS = {"predictions": "predictions", "features": "features", "outcomes": "labelled"}


def troubles(found: Overview, now_ms: int) -> list[str]:
    """Return a sentence for each thing that stands still though there is work."""
    waiting = [p for p in found.partitions if p.behind]
    alone = [p for p in waiting if not p.holder]
    told = []
    if alone:
        told.append(f"no worker holds {_numbers(alone)}, where {_behind(alone)} wait")
    for p in waiting:
        if p.holder and (p.written_ms is None or now_ms - p.written_ms > STALE_MS):
            since = "ever" if p.written_ms is None else f"since {moment(p.written_ms)}"
            told.append(
                f"partition {p.number} stands still: {_behind([p])} wait, and {p.holder} has not "
                f"written its state {since}"
            )
    return told


def silent_since(found: Overview, status: ModelStatus, now_ms: int, after_ms: int) -> int | None:
    """Return when the last row came, if that is longer ago than ``after_ms``."""
    latest_ms = last_row_ms(found, status)
    return latest_ms if latest_ms and now_ms - latest_ms > after_ms else None


def last_row_ms(found: Overview, status: ModelStatus) -> int:
    """Return the record's time of the latest row; where it is not among the latest, event time."""
    heard = found.heard.get(status.key)
    newest = [stream.newest_ms or 0 for stream in status.streams]
    return (heard.record_ms if heard else 0) or max(newest, default=0)


def stage(stream: StreamStatus) -> str:
    """Return how far it is, in words.

    >>> learning = {"windows": 12, "gathered": 12, "needed": 30, "open_rows": 0, "newest_ms": 0}
    >>> stage(StreamStatus(source="features", rows=1, state="learning", **learning))
    'learning, 12 of 30 windows'
    """
    pairs = "pairs" if stream.source == "outcomes" else "rows"
    return {
        "typing": f"reads its first {pairs}, {stream.gathered} of {stream.needed}",
        "learning": f"learning, {stream.gathered} of {stream.needed} windows",
        "blatant": f"only blatant faults, reference of {stream.gathered} windows",
        "provisional": f"judging, provisionally: reference of {stream.gathered} windows",
        "watching": f"judging, reference of {stream.gathered} windows",
    }[stream.state]


def age(ms: int) -> str:
    """Return how long ago something was.

    >>> age(59_000), age(7_199_000), age(400 * 3_600_000), age(-1)
    ('59 s ago', '119 min ago', '16 d ago', '0 s ago')
    """
    for unit, size in (("d", 86_400_000), ("h", 3_600_000), ("min", 60_000)):
        if ms >= 2 * size:
            return f"{ms // size} {unit} ago"
    return f"{max(0, ms) // 1000} s ago"


def short_stage(stream: StreamStatus) -> str:
    """Return the same in few words."""
    return {
        "typing": f"first {stream.gathered} of {stream.needed}",
        "learning": f"learning, {stream.gathered} of {stream.needed}",
        "blatant": "blatant faults only",
        "provisional": "provisional",
        "watching": "judging",
    }[stream.state]


def table(found: Overview, now_ms: int, silent_ms: int) -> Any:
    """Return a table with a row a model version."""
    from rich.table import Table

    shown = Table(box=None)
    shown.add_column("model", overflow="fold")
    for name in ("rows", "inputs", "with labels", "last row", "open", "rejected"):
        right = name in ("rows", "open", "rejected")
        shown.add_column(name, justify="right" if right else "left", no_wrap=True)
    for status in found.models:
        parts = {stream.source: stream for stream in status.streams}
        inputs = [parts[s] for s in ("predictions", "features") if s in parts]
        latest, silent = last_row_ms(found, status), silent_since(found, status, now_ms, silent_ms)
        shown.add_row(
            one_line(status.name),
            f"{sum(stream.rows for stream in inputs):,}",
            "\n".join(short_stage(stream) for stream in inputs) or "nothing read",
            "\n".join(_labelled(status, parts.get("outcomes"))),
            ("silent, " if silent else "") + (age(now_ms - latest) if latest else "unknown"),
            str(len(status.open)),
            percent(status.rejected / status.read) if status.rejected else "",
        )
    return shown


def block(found: Overview, status: ModelStatus, now_ms: int, silent_ms: int) -> list[str]:
    """Return all there is to say of one model version, a line each."""
    lines = [status.name]
    for stream in status.streams:
        last = found.windows.get((*status.key, stream.source))
        lines.append(f"  {PARTS[stream.source]:13} {stream.rows:,} rows: {stage(stream)}")
        lines += [f"  {'':13} {told}" for told in _windows(stream, last)]
    latest, silent = last_row_ms(found, status), silent_since(found, status, now_ms, silent_ms)
    told = moment(latest) if latest else "unknown"
    lines.append(f"  {'last row':13} {'silent since ' if silent else ''}{told}")
    opened = [f"{one.severity} {one.title}" for one in status.open]
    lines += _listed("open", opened or ["no incident"])
    lines += _listed("labels", [", ".join(_fates(status.labels)) or "none read"])
    rejected = f"{status.rejected:,} of {status.read:,} rows, mostly: {status.reason}"
    lines += _listed("rejected", [rejected if status.rejected else "no row"])
    lines += _listed("not watched", [f"{n}: {why}" for n, why in not_watched(found, status)])
    return [one_line(line) for line in lines]


def _labelled(status: ModelStatus, outcomes: StreamStatus | None) -> Iterator[str]:
    """Yield how far the outcomes are, and where too few labels meet their predictions."""
    yield short_stage(outcomes) if outcomes else "none yet"
    read, paired = (status.labels.get(name, 0) for name in ("labels", "paired"))
    if paired < USUAL * read:
        yield f"{paired:,} of {read:,} paired"


def _fates(labels: Mapping[str, int]) -> list[str]:
    """Return what became of labels; those that are neither paired nor given up still wait.

    >>> _fates({"labels": 9, "paired": 5, "unpaired": 2, "late": 0, "other_key": 9})
    ['9 read', '5 paired', '2 unpaired', '9 under another key than the model', '2 wait']
    """
    words = {"labels": "read", "other_key": "under another key than the model"}
    settled = sum(labels.get(one, 0) for one in SETTLED)
    counts = {words.get(name, name.replace("_", " ")): count for name, count in labels.items()}
    counts["wait"] = labels.get("labels", 0) - settled
    return [f"{count:,} {name}" for name, count in counts.items() if count > 0]


def not_watched(found: Overview, status: ModelStatus) -> list[tuple[str, str]]:
    """Return the features that are not watched and why; also those that only the rows show."""
    told = {name: why for stream in status.streams for name, why in stream.not_watched.items()}
    watched = {name for stream in status.streams for name in stream.watched}
    heard = found.heard.get(status.key)
    published = any(not stream.is_learned for stream in status.streams)
    why = "the reference does not have it" if published else "it had no value in the first rows"
    fresh = heard.features - watched - told.keys() if heard and watched else set()
    return sorted(told.items()) + [(name, why) for name in sorted(fresh)]


def deployment(found: Overview) -> Iterator[str]:
    """Yield who works, what waits, and what belongs to no model."""
    for worker in found.workers:
        held = ", ".join(map(str, _held(worker))) or "none"
        yield f"worker {worker.instance} at {worker.host} holds partitions {held}"
    if not found.workers:
        yield "no worker is in the group, or it is just being shared out anew"
    for partition in found.partitions:
        if partition.behind:
            yield f"partition {partition.number}: {_behind([partition])} not read yet"
    others = [partition.others for partition in found.partitions]
    worst = max(others, key=lambda own: own.rejected)
    if worst.rejected:
        total = sum(own.rejected for own in others)
        yield f"rejected, of no model that could be told: {total:,} records, mostly: {worst.reason}"


def lines(found: Overview, model: str | None, now_ms: int, silent_ms: int) -> Iterator[Any]:
    """Yield what people are shown: of one model everything, of all a table."""
    if model is not None:
        for status in found.models:
            yield from block(found, status, now_ms, silent_ms)
    elif found.models:
        yield table(found, now_ms, silent_ms)
    else:
        yield "no model has sent a row yet, or no worker has read one"
    yield ""
    yield from map(one_line, deployment(found))


def as_json(found: Overview, now_ms: int, silent_ms: int) -> dict[str, Any]:
    """Return everything for programs."""
    models = []
    for status in found.models:
        windows = {s.source: found.windows.get((*status.key, s.source)) for s in status.streams}
        models.append(
            msgspec.to_builtins(status)
            | {
                "open": [msgspec.to_builtins(one) for one in status.open],
                "last_windows": msgspec.to_builtins(windows),
                "last_row_ms": last_row_ms(found, status) or None,
                "silent_since_ms": silent_since(found, status, now_ms, silent_ms),
                "not_watched": dict(not_watched(found, status)),
            }
        )
    return {
        "models": models,
        "partitions": [msgspec.to_builtins(partition) for partition in found.partitions],
        "workers": [
            {"instance": w.instance, "host": w.host, "partitions": _held(w)} for w in found.workers
        ],
    }


def unknown(model: str, seen: Collection[str]) -> str:
    """Return what to tell somebody who asks for a model of which no row was seen."""
    named = ", ".join(sorted(seen)[:NAMED])
    more = f" and {len(seen) - NAMED} more" if len(seen) > NAMED else ""
    known = f"seen were {named}{more}" if seen else "none was seen yet"
    return one_line(f"no row of a model {model!r} was seen until some seconds ago; {known}")


def _held(worker: Member) -> list[int]:
    return sorted({number for numbers in worker.partitions.values() for number in numbers})


def _windows(stream: StreamStatus, last: LastWindow | None) -> Iterator[str]:
    if last is not None:
        span = f"{moment(last.first_ts_ms)} to {moment(last.last_ts_ms)}"
        yield f"last window: {last.rows:,} rows, {span}"
    if stream.open_rows:
        yield f"open window: {stream.open_rows:,} rows, up to {moment(stream.newest_ms or 0)}"


def _listed(name: str, items: Sequence[str]) -> list[str]:
    more = [f"and {len(items) - NAMED} more"] if len(items) > NAMED else []
    shown = [*items[:NAMED], *more]
    return [f"  {name if not at else '':13} {item}" for at, item in enumerate(shown)]


def _behind(partitions: Iterable[PartitionOverview]) -> str:
    counts: dict[str, int] = {}
    for partition in partitions:
        for source, count in partition.behind.items():
            counts[source] = counts.get(source, 0) + count
    return ", ".join(f"{count:,} records of {source}" for source, count in counts.items())


def _numbers(partitions: Sequence[PartitionOverview]) -> str:
    numbers = ", ".join(str(partition.number) for partition in partitions)
    return f"partition{'s' if len(partitions) > 1 else ''} {numbers}"
