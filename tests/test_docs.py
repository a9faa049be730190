"""Keeps the documentation true: what it shows is run, what it names must exist."""

import ast
import importlib
import inspect
import json
import re
import shlex
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, get_args

import click
import msgspec
import numpy as np
import pytest
import typer

from tidegauge import Producer
from tidegauge.schemas import (
    alerts,
    events,
    monitors,
    outcomes,
    references,
    retraining,
    windows,
)  # fmt: skip
from tidegauge.schemas.alerts import Kind
from tidegauge.schemas.monitors import MonitorSpec
from tidegauge.schemas.topics import TopicNames
from tidegauge.streams.cli import app
from tidegauge.streams.cli.events import Event
from tidegauge.streams.cli.monitors_file import read_monitors
from tidegauge.streams.monitor.offline import OfflineLog
from tidegauge.streams.monitor.partition import Partition
from tidegauge.streams.monitor.records import SOURCES
from tidegauge.streams.monitor.series.base import Series
from tidegauge.streams.monitor.series.registry import SERIES
from tidegauge.streams.monitor.series.view import Groups, Numbers, Pairs
from tidegauge.streams.monitor.state import PartitionSettings

ROOT = Path(__file__).parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
OURS = ("schemas", "detectors", "streams", "tidegauge")
MODULES = (
    events, alerts, monitors, outcomes, references, retraining, windows,
)  # fmt: skip
KINDS = {n: kind for module in MODULES for n, kind in vars(module).items() if n[0].isupper()}
FENCE = re.compile(r"^```(\w+)?[ ]?([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
DIGITS = 1e-4  # to which the numbers of an example are written


class Block(NamedTuple):
    page: str
    language: str
    claim: str  # what follows the language: the schema, say
    text: str


@cache
def blocks() -> list[Block]:
    return [Block(page.name, *found) for page in PAGES for found in FENCE.findall(read(page))]


def read(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def prose(page: Path) -> str:
    """Return a page without its blocks of code."""
    return FENCE.sub("", read(page))


def claimed(language: str, claim: str) -> Block:
    """Return the one block that claims to be this."""
    (found,) = [b for b in blocks() if (b.language, b.claim) == (language, claim)]
    return found


@pytest.mark.parametrize("page", ["sending", "monitors", "alerts", "messages", "operating"])
def test_there_is_a_page_for_each_question(page: str) -> None:
    assert len(read(ROOT / "docs" / f"{page}.md")) > 1000


# --- messages ------------------------------------------------------------------------------------


def missing_keys(example: Any, known: Any, path: str = "$") -> Iterator[str]:
    """Yield the keys of an example that its decoded form does not have: misspelt ones."""
    if isinstance(example, dict):
        for key, value in example.items():
            if key in known:
                yield from missing_keys(value, known[key], f"{path}.{key}")
            else:
                yield f"{path}.{key}"
    elif isinstance(example, list):
        for index, value in enumerate(example):
            yield from missing_keys(value, known[index], f"{path}[{index}]")


@pytest.mark.parametrize("block", [b for b in blocks() if b.language == "json"])
def test_every_json_example_is_what_it_claims_to_be(block: Block) -> None:
    assert block.claim in KINDS, f"{block.page}: after ```json name the schema, such as Prediction"
    decoded = msgspec.json.decode(block.text, type=KINDS[block.claim])
    known = msgspec.to_builtins(decoded)
    assert list(missing_keys(json.loads(block.text), known)) == []


FIELDS = re.compile(r"<!-- fields: (\w+) -->\n((?:\|.*\n)+)")


@pytest.mark.parametrize(
    ("name", "table"), [found for page in PAGES for found in FIELDS.findall(read(page))]
)
def test_every_table_of_fields_names_each_field_once_and_marks_those_required(
    name: str, table: str
) -> None:
    cells = [row.split("|")[1] for row in table.splitlines()[2:]]
    named = [found for cell in cells for found in re.findall(r"`(\w+)`( \*)?", cell)]
    fields = msgspec.structs.fields(KINDS[name])
    tag = KINDS[name].__struct_config__.tag_field
    expected = [f.encode_name for f in fields] + ([tag] if tag else [])
    assert sorted(field for field, _ in named) == sorted(expected)
    if any(mark for _, mark in named):
        marked = {field for field, mark in named if mark}
        assert marked == {f.encode_name for f in fields if f.required}


def test_the_tables_cover_every_message() -> None:
    told = {name for page in PAGES for name, _ in FIELDS.findall(read(page))}
    assert told >= {
        "Prediction", "PredictionFrame", "Features", "FeatureFrame", "Label", "LabelFrame",
        "Alert", "SeriesAlarm", "RetrainingRequest", "WindowReport", "MonitorSpec", "Reference",
        "Outcomes", "Fence", "ControlChange",
    }  # fmt: skip


def test_every_topic_is_described_and_no_other_is_named() -> None:
    names = set(TopicNames().by_topic().values())
    table = read(ROOT / "docs/messages.md").partition("## CloudEvents")[0]
    assert set(re.findall(r"^\| `(tidegauge\.\w+)` \|", table, re.MULTILINE)) == names
    modules = {path.stem for path in (ROOT / "tidegauge").iterdir()}
    for page in PAGES:
        named = set(re.findall(r"`(tidegauge\.[a-z]+)`", read(page)))
        assert named <= names | {"tidegauge.truncated"} | {f"tidegauge.{m}" for m in modules}


# --- series ---------------------------------------------------------------------------------------

WATCHED = [series for series in SERIES.values() if series.is_watched]
OF_A_LOG = {"gap", "poison", "schema"}  # told of a log, or of its columns, and no series


def series_row(series: Series) -> str:
    """Return the row of docs/monitors.md that the registry wants."""
    reads = [view.__name__.lower() for view in series.reads]
    if Numbers in series.reads and series.of_score:
        reads.append("the score")
    name, of = series.name("x" if series.has_column else ""), ", ".join(sorted(reads))
    return f"| `{name}` | {of} | {series.kind} | {series.about} | {least_shift(series)} |"


def least_shift(series: Series) -> str:
    """Return which shift of a window's figure is worth an alert by default."""
    effects = MonitorSpec(model="any").effect
    effect = effects.outcomes if {Pairs, Groups} & {*series.reads} else effects.features
    unit = (lambda x: f"{100 * x:g} points of share") if series.is_share else "{:g}".format
    if series.fixed_sd is not None:
        return unit(effect * series.fixed_sd)
    least = effect * series.least_sd
    return f"{effect:g} sd of rows" + (f", at least {unit(least)}" if least > 1e-9 else "")


def test_the_table_of_series_is_what_the_registry_says() -> None:
    (table,) = re.findall(r"<!-- series -->\n((?:\|.*\n)+)", read(ROOT / "docs/monitors.md"))
    assert table.splitlines()[2:] == [series_row(series) for series in WATCHED]


def test_every_statistic_has_a_paragraph_on_what_to_do() -> None:
    _, _, rest = read(ROOT / "docs/alerts.md").partition("## What the statistics mean")
    told = re.findall(r"^### (\w+)$", rest.partition("\n## ")[0], re.MULTILINE)
    assert sorted(told) == sorted({series.statistic for series in WATCHED} | OF_A_LOG)


def test_kinds_and_statistics_of_alerts_are_what_the_registry_says() -> None:
    tables = dict(FIELDS.findall(read(ROOT / "docs/messages.md")))
    (row,) = re.findall(r"^\| `statistic` \|(.*)$", tables["SeriesAlarm"], re.MULTILINE)
    assert set(re.findall(r"`(\w+)`", row)) == {series.statistic for series in WATCHED} | OF_A_LOG
    (row,) = re.findall(r"^\| `kind` \|(.*)$", tables["Alert"], re.MULTILINE)
    told = {kind: set(own.split(", ")) for kind, own in re.findall(r"`(\w+)` \(([^)]*)\)", row)}
    by_kind = {kind: {s.statistic for s in WATCHED if s.kind == kind} for kind in get_args(Kind)}
    by_kind["quality"] |= OF_A_LOG
    assert told == by_kind


# --- the story of docs/alerts.md ------------------------------------------------------------------


@cache
def story() -> list[tuple[str, dict[str, str], bytes]]:
    """Return topic, headers and value of what is told where amounts rise for fifteen windows."""
    rng = np.random.default_rng(7)
    names = {source: TopicNames().by_topic()[source] for source in SOURCES}
    log = OfflineLog(partition=Partition(0, PartitionSettings(names, 1)))
    due: list[bytes] = []
    for window in range(80):
        rows = range(1000 * window, 1000 * (window + 1))
        usual = rng.lognormal(3, 0.8, 1000)
        amount = usual * (1.35 if 45 <= window < 57 else 1.0)
        score, truth = (1 / (1 + np.exp(4 - 0.83 * np.log(x))) for x in (amount, usual))
        head = {"model": "fraud", "version": "3", "ids": [f"req-{row}" for row in rows]}
        ts_ms = [1_788_000_000_000 + 3000 * row for row in rows]
        country = rng.choice(["DE", "FR", "PL"], 1000).tolist()
        predictions = head | {
            "ts_ms": ts_ms,
            "features": {"amount": amount.round(2).tolist(), "country": country},
            "predictions": score.round(4).tolist(),
        }
        log.append("predictions", b"fraud", json.dumps(predictions).encode())
        labels = head | {
            "ts_ms": [at + 3_600_000 for at in ts_ms],
            "labels": (rng.random(1000) < truth).astype(int).tolist(),
        }
        due.append(json.dumps(labels).encode())
        if window >= 2:  # an hour is more than a frame, and less than two
            log.append("labels", b"fraud", due[window - 2])
    return [
        (o.topic, {k: (v or b"").decode() for k, v in o.headers}, o.value or b"")
        for o in log.outputs
    ]


def told(topic: str) -> list[dict[str, Any]]:
    return [json.loads(value) for name, _, value in story() if name == topic]


def close(example: Any, real: Any) -> Any:
    """Return the example with its numbers as they really are, where they are near enough."""
    if isinstance(example, dict) and isinstance(real, dict):
        return {key: close(value, real.get(key)) for key, value in example.items()}
    if isinstance(example, list) and isinstance(real, list) and len(example) == len(real):
        return [close(*pair) for pair in zip(example, real, strict=True)]
    near = isinstance(real, float) and example == pytest.approx(real, rel=DIGITS, abs=1e-9)
    return real if near else example


def test_the_alert_that_is_explained_is_what_the_core_says() -> None:
    example = json.loads(claimed("json", "Alert").text)
    assert close(example, told("alerts")[0]) == told("alerts")[0]


def test_the_headers_shown_are_those_of_this_alert() -> None:
    expected = next(headers for topic, headers, _ in story() if topic == "alerts")
    lines = claimed("text", "headers").text.splitlines()
    assert dict(line.split(": ", 1) for line in lines) == expected


def test_the_retraining_request_shown_is_real() -> None:
    assert json.loads(claimed("json", "RetrainingRequest").text) == told("retraining")[0]


def test_the_window_report_shown_is_real() -> None:
    example = json.loads(claimed("json", "WindowReport").text)
    key = ("source", "window")
    (real,) = [w for w in told("windows") if all(w[k] == example[k] for k in key)]
    assert close(example, real) == real


def lines(topic: str, kind: Any) -> list[str]:
    """Return what the command line prints of a topic."""
    values = [value for name, _, value in story() if name == topic]
    decoded = [(msgspec.json.decode(value, type=kind), value) for value in values]
    return [click.unstyle(Event({}, body, value).text()) for body, value in decoded]


def test_the_lines_shown_are_what_the_command_line_prints() -> None:
    shown = claimed("text", "story").text.splitlines()
    assert shown == lines("alerts", alerts.Alert)
    (window,) = claimed("text", "windows").text.splitlines()
    assert window in lines("windows", windows.WindowReport)


# --- what is rejected -----------------------------------------------------------------------------


@pytest.mark.parametrize("topic", ["predictions", "labels"])
def test_bad_rows_are_rejected_for_the_reasons_shown(topic: Any) -> None:
    lines = claimed("text", f"rejected {topic}").text.splitlines()
    log = OfflineLog()
    for row in range(100):  # from which the types are told
        features = {"amount": 1.0, "country": "DE"}
        good = {"model": "fraud", "id": str(row), "ts_ms": 1, "prediction": 0.5}
        log.append("predictions", b"fraud", json.dumps(good | {"features": features}).encode())
    for value, reason in zip(lines[::2], lines[1::2], strict=True):
        log.outputs.clear()
        log.append(topic, b"fraud", value.encode())
        letters = [dict(o.headers) for o in log.outputs if o.topic == "rejected"]
        reasons = [letter["__connect.errors.exception.message"] for letter in letters]
        assert reasons == [reason.encode()], value


def test_the_headers_of_a_dead_letter_are_all_described() -> None:
    log = OfflineLog()
    log.append("labels", b"m", b"x" * 1_000_000)
    (letter,) = [dict(o.headers) for o in log.outputs if o.topic == "rejected"]
    page = read(ROOT / "docs/messages.md")
    described = set(re.findall(r"^\| `((?:__connect|tidegauge)\.[a-z.]+)` \|", page, re.M))
    assert described - set(TopicNames().by_topic().values()) == set(letter)


# --- specs ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("block", [b for b in blocks() if b.language == "yaml"])
def test_every_monitors_file_shown_is_accepted(block: Block, tmp_path: Path) -> None:
    path = tmp_path / "monitors.yaml"
    path.write_text(block.text)
    (spec,) = read_monitors(path)
    if block.claim == "defaults":
        assert spec == MonitorSpec(model=spec.model)
    if block.claim in ("defaults", "full"):
        assert all(f"    {f}:" in block.text for f in MonitorSpec.__struct_fields__[1:])


# --- Python ---------------------------------------------------------------------------------------


def calls(source: str) -> Iterator[tuple[str, inspect.BoundArguments]]:
    """Yield the calls of our client in a piece of source, bound to its signatures."""
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call):
            continue
        name = ast.unparse(node.func)
        if name == "Producer":
            signature = inspect.signature(Producer)
        elif name.startswith("producer."):
            signature = inspect.signature(getattr(Producer, name.partition(".")[2]))
            node.args.insert(0, ast.Constant("self"))
        else:
            continue
        keywords = {str(keyword.arg): keyword.value for keyword in node.keywords}
        yield name, signature.bind(*node.args, **keywords)


def test_python_examples_call_the_client_as_it_is() -> None:
    sources = [b.text for b in blocks() if b.language == "python"]
    ours = [source for source in sources if "from tidegauge import Producer" in source]
    assert [ast.parse(source) for source in sources]
    assert {name for source in ours for name, _ in calls(source)} >= {
        "Producer", "producer.prediction", "producer.label", "producer.close",
    }  # fmt: skip
    for page in PAGES:
        for inline in re.findall(r"`([Pp]roducer[.(][^`]*\))`", prose(page)):
            assert list(calls(inline.replace("...", 'model="m"').replace('{model="m"}', "{}")))


# --- command line ---------------------------------------------------------------------------------


def commands(
    group: Any = None, path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield every command with its path."""
    group = group or typer.main.get_command(app)
    yield path, group
    for name, command in getattr(group, "commands", {}).items():
        yield from commands(command, (*path, name))


COMMANDS = dict(commands())


def invocations() -> Iterator[tuple[str, list[str]]]:
    """Yield the words of every command line of ours that is shown."""
    for page in PAGES:
        inline = re.findall(r"`(tidegauge [a-z][^`\n]*)`", prose(page))
        shell = [b.text for b in blocks() if b.page == page.name and b.language == "sh"]
        joined = "\n".join(shell).replace("\\\n", " ")
        lines = re.findall(r"(?:^|[|&] )(tidegauge [^|&\n#]*)", joined, re.MULTILINE)
        for line in [*inline, *lines]:
            yield page.name, shlex.split(line)[1:]


def command_faults(words: list[str]) -> list[str]:
    """Return what a command line names that is not there."""
    path: tuple[str, ...] = ()
    while words and (*path, words[0]) in COMMANDS:
        path, words = (*path, words[0]), words[1:]
    command = COMMANDS[path]
    if getattr(command, "commands", None) and words and not words[0].startswith("-"):
        return [f"no command {words[0]}"]
    known = {o for p in command.params for o in (*p.opts, *p.secondary_opts)} | {"--help"}
    options = [word.partition("=")[0] for word in words if word.startswith("-") and word != "-"]
    return [f"{' '.join(path)} has no {option}" for option in options if option not in known]


def test_every_command_and_option_shown_exists() -> None:
    shown = list(invocations())
    assert len(shown) > 12, "found too few: does this test still look at the right places?"
    assert [(page, fault) for page, words in shown for fault in command_faults(words)] == []


@pytest.mark.parametrize(
    "line", ["tides create", "topics make", "alerts --tail", "worker --brokers x --web"]
)
def test_a_command_line_that_does_not_exist_is_found(line: str) -> None:
    assert command_faults(line.split()) != []


def variables() -> set[str]:
    """Return every environment variable there is."""
    found = {str(p.envvar) for _, c in COMMANDS.items() for p in c.params if p.envvar}
    found |= {f"TIDEGAUGE_TOPIC_{topic.upper()}" for topic in TopicNames.__struct_fields__}
    sources = [path.read_text() for top in OURS for path in (ROOT / top).rglob("*.py")]
    read_directly = r"environ(?:\.get\(|\[)\s*\"(TIDEGAUGE_\w+)\""
    return found | {name for source in sources for name in re.findall(read_directly, source)}


def test_every_variable_named_exists_and_every_one_there_is_has_its_line() -> None:
    named = {
        (page.name, name)
        for page in PAGES
        for name in re.findall(r"\bTIDEGAUGE_[A-Z_]*[A-Z]\b", read(page))
    }
    assert {name for _, name in named} - variables() - {"TIDEGAUGE_TOPIC"} == set()
    rows = set(re.findall(r"`(TIDEGAUGE_[A-Z_]+)`", read(ROOT / "docs/operating.md")))
    topics = {name for name in variables() if name.startswith("TIDEGAUGE_TOPIC_")}
    assert variables() - topics - rows == set()


def test_every_make_target_named_exists() -> None:
    targets = set(re.findall(r"^([a-z]+):", read(ROOT / "Makefile"), re.MULTILINE))
    named = {name for page in PAGES for name in re.findall(r"`make ([a-z]+)", read(page))}
    assert named
    assert named <= targets


# --- limits and places ----------------------------------------------------------------------------

LIMITS = re.compile(r"^\|[^|]*\| ([\d,.]+)[^|]*\|[^|]*\| `([\w.]+)\.(\w+)` \|$", re.MULTILINE)


def test_every_limit_is_the_number_in_the_code() -> None:
    rows = LIMITS.findall(read(ROOT / "docs/operating.md"))
    assert len(rows) > 15, "found too few: is the table still as this test reads it?"
    for number, module, name in rows:
        real = getattr(importlib.import_module(module), name)
        assert float(number.replace(",", "")) == real, f"{module}.{name}"


def test_nothing_tells_to_install_from_an_index_that_does_not_have_it() -> None:
    sources = [path for top in OURS for path in (ROOT / top).rglob("*.py")]
    from_index = re.compile(r"pip install (-\S+ )*['\"]?tidegauge")
    assert [p.name for p in (*PAGES, *sources) if from_index.search(read(p))] == []


def test_every_file_named_exists() -> None:
    tops = (*OURS, "tests", "docs", "load_tests")
    place = re.compile(rf"`((?:{'|'.join(tops)})/[\w./]*)`")
    gone = [
        (page.name, name)
        for page in PAGES
        for name in place.findall(read(page))
        if not re.search("cusum|/zero", name)  # what CONTRIBUTING tells to write
        and not (ROOT / name).exists()
    ]
    assert gone == []


# --- links ----------------------------------------------------------------------------------------


def anchors(page: Path) -> set[str]:
    """Return what a link to a part of the page may say, as GitHub makes it of the headings."""
    found = re.findall(r"^#+ (.*)$", FENCE.sub("", read(page)), re.MULTILINE)
    plain = [re.sub(r"[^\w\- ]", "", heading.replace("`", "").lower()) for heading in found]
    return {heading.strip().replace(" ", "-") for heading in plain}


def link_faults(page: Path, text: str) -> Iterator[str]:
    """Yield the links within the repository that lead nowhere."""
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        there = (page.parent / name).resolve() if name else page
        if not there.exists() or not there.is_relative_to(ROOT):
            yield f"{page.name}: no file {target}"
        elif anchor and anchor not in anchors(there):
            yield f"{page.name}: no heading {target}"


def test_every_link_within_the_repository_leads_somewhere() -> None:
    assert [fault for page in PAGES for fault in link_faults(page, prose(page))] == []


@pytest.mark.parametrize("target", ["nowhere.md", "alerts.md#nothing", "#nothing", "../../x.md"])
def test_a_link_that_leads_nowhere_is_found(target: str) -> None:
    page = ROOT / "docs" / "messages.md"
    assert list(link_faults(page, f"[text]({target})")) != []
