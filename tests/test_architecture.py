"""Which module may import what, read off the source: layers, purity, a light client.

The same contracts stand in pyproject.toml for ``lint-imports``; this test also sees clocks and
randomness, holds the client to a list, and asks where a new part of ``streams`` belongs.
"""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parent.parent
OURS = ("schemas", "detectors", "streams", "tidegauge", "load_tests")
LAYERS = (  # each imports only from those before it
    "schemas",
    "detectors",
    "tidegauge.streams.monitor",
    "tidegauge.streams.runtime",
    "tidegauge.streams.demo",
    "tidegauge.streams.cli",
)
PURE = ("schemas", "detectors", "tidegauge.streams.monitor")
IMPURE = {"faust", "aiokafka", "kafka", "confluent_kafka", "time", "random", "secrets", "uuid"}
CLOCKS = {"now", "utcnow", "today"}  # of datetime and date
CLIENT = {*sys.stdlib_module_names, "kafka", "orjson", "tidegauge"}
LAZY_ALLOWED = ("tidegauge", "tidegauge.__main__")


class Import(NamedTuple):
    name: str
    line: int
    lazy: bool  # in a function, or for the type checker only


def imports(node: ast.AST, lazy: bool = False) -> Iterator[Import]:
    """Yield every module that the source below ``node`` names in an import."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            yield from (Import(alias.name, child.lineno, lazy) for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            base = "." * child.level + (child.module or "")
            # "from streams import runtime" names the module streams.runtime
            names = [f"{base}.{alias.name}" for alias in child.names] if base == "streams" else []
            yield from (Import(name, child.lineno, lazy) for name in names or [base])
        else:
            function = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            typing = isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test)
            yield from imports(child, lazy or function or typing)


def within(module: str, package: str) -> bool:
    return module == package or module.startswith(package + ".")


def layer(module: str) -> int | None:
    """Return the place of ``module`` in LAYERS, None if it has none."""
    return next((place for place, name in enumerate(LAYERS) if within(module, name)), None)


def layer_faults(module: str, found: list[Import]) -> Iterator[str]:
    place = layer(module)
    if place is None:
        if module != "streams":
            yield f"{module}: not in LAYERS of {Path(__file__).name}: say where it belongs"
        return
    for name, line, _ in found:
        if name.split(".")[0] not in OURS:
            continue
        if within(name, "tidegauge") and LAYERS[place] not in PURE:
            continue  # the client stands on nothing of ours, so the outer layers may use it
        target = layer(name)
        if target is None or target > place:
            yield f"{module}:{line}: {LAYERS[place]} must not import {name}"


def purity_faults(module: str, tree: ast.AST, found: list[Import]) -> Iterator[str]:
    for name, line, _ in found:
        if name.split(".")[0] in IMPURE or within(name, "numpy.random"):
            yield f"{module}:{line}: pure code must not import {name}"
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            numpy_random = ast.unparse(node) in ("np.random", "numpy.random", "os.urandom")
            if node.attr in CLOCKS or numpy_random:
                yield f"{module}:{node.lineno}: pure code must not use {ast.unparse(node)}"


def client_faults(module: str, found: list[Import]) -> Iterator[str]:
    for name, line, lazy in found:
        if name.split(".")[0] not in CLIENT and not (lazy and module in LAZY_ALLOWED):
            yield f"{module}:{line}: the client must not import {name}"


def load_test_faults(module: str, found: list[Import]) -> Iterator[str]:
    for name, line, _ in found:
        top = name.split(".")[0]
        if top in OURS and top not in ("load_tests", "schemas"):
            yield f"{module}:{line}: load tests speak through topics; must not import {name}"


def faults(module: str, source: str) -> list[str]:
    """Return what ``source`` does that its place does not allow, one sentence each."""
    tree = ast.parse(source)
    found = list(imports(tree))
    told = [f"{module}:{i.line}: import absolutely" for i in found if i.name.startswith(".")]
    if within(module, "tidegauge"):
        told += client_faults(module, found)
    elif within(module, "load_tests"):
        told += load_test_faults(module, found)
    else:
        told += layer_faults(module, found)
    if any(within(module, package) for package in PURE):
        told += purity_faults(module, tree, found)
    return told


def modules() -> Iterator[tuple[str, str]]:
    """Yield the dotted name and the source of every file of ours."""
    for package in OURS:
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts), path.read_text()


def test_imports_point_one_way_and_the_core_is_pure() -> None:
    found = dict(modules())
    assert set(OURS) <= set(found), "a package is missing: this test would look at nothing"
    assert [told for module, source in found.items() for told in faults(module, source)] == []


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("tidegauge.schemas.events", "import detectors"),
        ("tidegauge.detectors.drift.adwin", "from streams.monitor import block"),
        ("tidegauge.streams.monitor.intake.block", "from streams import runtime"),
        ("tidegauge.streams.monitor.intake.block", "def f():\n    import streams.runtime.broker"),
        ("tidegauge.streams.monitor.intake.block", "import tidegauge"),
        ("tidegauge.streams.runtime.broker", "from streams.cli import main"),
        ("tidegauge.streams.runtime.broker", "from . import topics"),
        ("tidegauge.streams.brand_new", "import json"),
        ("tidegauge.schemas.events", "from time import monotonic"),
        ("tidegauge.detectors.drift.adwin", "import faust"),
        ("tidegauge.detectors.drift.adwin", "import aiokafka.errors"),
        ("tidegauge.streams.monitor.intake.block", "import random"),
        ("tidegauge.streams.monitor.intake.block", "import datetime\nx = datetime.datetime.now()"),
        (
            "tidegauge.streams.monitor.intake.block",
            "import numpy as np\nx = np.random.default_rng(1)",
        ),
        ("tidegauge.producer", "import schemas.events"),
        ("tidegauge.producer", "def f():\n    import numpy"),
        ("tidegauge", "import streams.monitor"),
        ("load_tests.rates", "import streams.runtime.broker"),
        ("load_tests.rates", "from tidegauge import Producer"),
    ],
)
def test_a_planted_fault_is_found(module: str, source: str) -> None:
    assert faults(module, source) != []


@pytest.mark.parametrize(
    ("module", "source"),
    [
        (
            "tidegauge.streams.monitor.intake.block",
            "import numpy as np\nfrom detectors import base",
        ),
        (
            "tidegauge.streams.runtime.broker",
            "import time\nimport kafka\nfrom streams.monitor import block",
        ),
        ("streams", "x = 1"),
        ("tidegauge.streams.cli", "import tidegauge"),
        ("tidegauge.__main__", "def main():\n    from streams.cli import app"),
        ("tidegauge", "if TYPE_CHECKING:\n    from streams.monitor import Monitor"),
        ("load_tests.rates", "import faust\nfrom schemas import events"),
    ],
)
def test_what_is_allowed_is_not_reported(module: str, source: str) -> None:
    assert faults(module, source) == []
