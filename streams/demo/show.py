"""A year of flights through a real Kafka, and what the monitor says of it."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import msgspec
import numpy as np
import orjson
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from tidegauge.schemas.alerts import Alert
from tidegauge.schemas.monitors import LabelSpec, MonitorSpec, WindowSpec
from tidegauge.schemas.references import Reference
from tidegauge.schemas.retraining import RetrainingRequest
from tidegauge.streams.demo.flights import Flights, read_flights, service_day
from tidegauge.streams.demo.model import FlightModel
from tidegauge.streams.demo.stage import Received, Stage, stage, wait_until_folded
from tidegauge.streams.demo.traffic import (
    FAULT_DAYS,
    LabelsDue,
    PredictionsDue,
    schedule,
    shuffled,
    split,
    with_injected_fault,
)
from tidegauge.streams.monitor import words
from tidegauge.streams.monitor.offline import learn_reference
from tidegauge.streams.runtime.errors import ConfigurationError

VERSION = "1"
SEED = 2013
FAULTY_FEATURE = "pressure"


MARKS = {"firing": "[bold]●[/]", "ongoing": "▲", "resolved": "[green]✓[/]"}
COLOURS = {"warning": "yellow", "critical": "red", "resolved": "green"}


@dataclass
class Findings:
    """What the worker has said in one run.

    Inputs and outcomes are two logs, and a replay at full speed is further in one than in the
    other: so the story is told in the order of event time when all of it is there.
    """

    alerts: list[Alert] = field(default_factory=list)
    requests: list[RetrainingRequest] = field(default_factory=list)
    rejected: int = 0

    @property
    def incidents(self) -> set[str]:
        """The incidents told so far."""
        return {alert.incident for alert in self.alerts}

    def take(self, message: Received) -> None:
        """Keep a message."""
        if message.topic == "alerts":
            self.alerts.append(msgspec.json.decode(message.value, type=Alert))
        elif message.topic == "retraining":
            self.requests.append(msgspec.json.decode(message.value, type=RetrainingRequest))
        else:
            self.rejected += 1

    def tell(self, console: Console) -> None:
        """Print what was said, in the order of event time."""
        story: list[Alert | RetrainingRequest] = [*self.alerts, *self.requests]
        lines = Table.grid(padding=(0, 1))  # whose text hangs under itself where it is too long
        lines.add_column(justify="right", no_wrap=True)
        for _ in ("mark", "severity"):
            lines.add_column(no_wrap=True)
        lines.add_column()
        for told in sorted(story, key=_told_ms):
            if isinstance(told, RetrainingRequest):
                lines.add_row(*_request(told))
            else:
                lines.add_row(*_alert(told))
        console.print(lines)


def _told_ms(told: Alert | RetrainingRequest) -> tuple[int, bool]:
    if isinstance(told, RetrainingRequest):
        return told.requested_ms, True
    return told.told_ms, False


def _alert(told: Alert) -> tuple[str, str, str, str]:
    """Return the cells of an alert's line."""
    text = escape(told.title)
    if told.status == "firing":
        mark = " [black on yellow] injected by this demo [/]" if is_injected(told) else ""
        text = f"[bold]{text}[/]{mark}\n[italic]{escape(told.advice)}[/]"
    word = told.severity if told.status != "resolved" else told.status
    return day(told.told_ms), MARKS[told.status], f"[{COLOURS[word]}]{word}[/]", text


def _request(told: RetrainingRequest) -> tuple[str, str, str, str]:
    """Return the cells of a request's line."""
    rows = words.rows_between(told.train_from_ms, told.train_to_ms, told.excluded)
    return day(told.requested_ms), "[cyan]→[/]", "[cyan]retrain[/]", f"on rows from {rows}"


def is_injected(alert: Alert) -> bool:
    """Return whether an incident is the fault that the demo put into the data."""
    days = service_day(np.array([alert.since_ms]))
    return bool(days[0] in FAULT_DAYS) and alert.series[0].feature == FAULTY_FEATURE


def run(console: Console) -> int:
    """Run the demo; return the exit code."""
    begun = time.perf_counter()
    console.rule("[bold]Tidegauge demo[/]: will a flight out of New York arrive late?")
    try:
        flights = read_flights()
    except ModuleNotFoundError as error:
        raise ConfigurationError(str(error)) from error
    console.print("Starting Apache Kafka and a worker …")
    with stage() as running:
        console.print(
            f"{len(flights):,} flights of 2013. A small model is trained on January to March; "
            "April to December run through Kafka, each label at its arrival.\n"
            "● an incident begins, ▲ it goes on, ✓ it is over, → a request to retrain\n"
        )
        told = _replay(console, running, with_injected_fault(flights), "flight-delay")
        console.print(
            "\nThe same year with its rows shuffled: nothing drifts, so nothing should be told."
        )
        quiet = _replay(console, running, shuffled(flights, SEED), "flight-delay-shuffled")
        if not quiet.findings.alerts:
            console.print("Nothing was told.")
    _summarise(console, told, quiet, time.perf_counter() - begun)
    right = told.findings.incidents and told.findings.requests and not quiet.findings.incidents
    return 0 if right else 1


@dataclass(frozen=True, slots=True)
class Run:
    """One replay."""

    rows: int
    seconds: float
    findings: Findings


@dataclass(frozen=True, slots=True)
class Plan:
    """What one replay sends: a spec, the reference of January to March, and the frames after it."""

    spec: MonitorSpec
    reference: Reference
    rows: int
    frames: Iterator[PredictionsDue | LabelsDue]


def plan(flights: Flights, name: str) -> Plan:
    """Train the model on the first three months; return what is to be sent of the others."""
    reference, replayed = split(flights)
    model = FlightModel.fit(reference)
    spec = MonitorSpec(
        model=name,
        windows=WindowSpec(every="1d", offset="9h"),  # no flight departs at 4 in the morning
        labels=LabelSpec(horizon="7d"),
    )
    frames = schedule(reference, model.score(reference), name, VERSION)
    learned = learn_reference(spec, VERSION, [(f.topic, orjson.dumps(f.frame)) for f in frames])
    later = schedule(replayed, model.score(replayed), name, VERSION)
    return Plan(spec, learned, len(replayed), later)


def _replay(console: Console, running: Stage, flights: Flights, name: str) -> Run:
    planned = plan(flights, name)
    running.publish(planned.spec, planned.reference)
    findings = Findings()
    begun = time.perf_counter()
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("flights"),
        TimeElapsedColumn(),
        console=console,
        transient=True,
    ) as progress:
        bar = progress.add_task(name, total=planned.rows)
        for item in planned.frames:
            running.send(item.topic, item.frame)
            if item.topic == "predictions":
                progress.advance(bar, len(item.frame["ids"]))
                told = f"{len(findings.incidents)} incidents"
                progress.update(bar, description=f"{name}, {day(item.due_ms)}, {told}")
            for message in running.receive():
                findings.take(message)
        wait_until_folded(running, findings.take)
    findings.tell(console)
    return Run(planned.rows, time.perf_counter() - begun, findings)


def _summarise(console: Console, told: Run, quiet: Run, seconds: float) -> None:
    console.print()
    console.rule("[bold]What the demo found[/]")
    table = Table(box=None, header_style="dim")
    for heading in ("", "rows", "rows/s", "incidents", "retraining", "rejected"):
        table.add_column(heading, justify="right" if heading else "left")
    for title, run in (("2013 as it was", told), ("2013 shuffled", quiet)):
        findings = run.findings
        counts = (len(findings.incidents), len(findings.requests), findings.rejected)
        rate = run.rows / run.seconds
        table.add_row(title, f"{run.rows:,}", f"{rate:,.0f}", *map(str, counts))
    console.print(table)
    console.print(f"{seconds:.0f} s in all, model training included. Nothing is left running.")


def day(ms: int) -> str:
    """Return the date of an event time."""
    return words.moment(ms - ms % words.DAY_MS)
