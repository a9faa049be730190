"""Which module may import what, read off the source: layers, purity, a light client.

The same contracts stand in pyproject.toml for ``lint-imports``; this test also sees clocks and
randomness, holds the client to a list, finds imports that would load a module a second time, and
asks where a new part of ``streams`` belongs.
"""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parent.parent
LINKED = (
    "schemas",
    "detectors",
    "streams",
)  # known as tidegauge.schemas, ...
FOLDERS = (*LINKED, "tidegauge", "load_tests", "tests")
LAYERS = (  # each imports only from those before it
    "tidegauge.schemas",
    "tidegauge.detectors",
    "tidegauge.streams.monitor",
    "tidegauge.streams.runtime",
    "tidegauge.streams.demo",
    "tidegauge.streams.cli",
    "tidegauge.__main__",
)
PURE = LAYERS[:3]
SHARED = ("tidegauge", "tidegauge.streams")  # packages whose parts belong to several layers
IMPURE = {"faust", "aiokafka", "kafka", "confluent_kafka", "time", "random", "secrets", "uuid"}
CLOCKS = {"now", "utcnow", "today"}  # of datetime and date
LIGHT = {*sys.stdlib_module_names, "kafka", "orjson"}
OFFLINE = {  # what the faults may use besides schemas: the core without a broker, the demo's data
    *(f"tidegauge.streams.monitor.{name}" for name in ("lookup", "offline", "records")),
    *(f"tidegauge.streams.demo.{name}" for name in ("flights", "model", "traffic")),
}
OF_EXTRAS = {("tidegauge.arrow_frames", "pyarrow")}  # a module that only who asks for it imports


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
            # "from tidegauge.streams import runtime" names the module tidegauge.streams.runtime
            names = [f"{base}.{alias.name}" for alias in child.names] if base in SHARED else [base]
            yield from (Import(name, child.lineno, lazy) for name in names)
        else:
            function = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            typing = isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test)
            yield from imports(child, lazy or function or typing)


def within(module: str, package: str) -> bool:
    return module == package or module.startswith(package + ".")


def layer(module: str) -> int | None:
    """Return the place of ``module`` in LAYERS, None if it has none."""
    return next((place for place, name in enumerate(LAYERS) if within(module, name)), None)


def of_client(module: str) -> bool:
    ours = within(module, "tidegauge") and not within(module, "tidegauge.streams")
    return ours and layer(module) is None


def layer_faults(module: str, found: list[Import]) -> Iterator[str]:
    place = layer(module)
    if place is None:
        if module != "tidegauge.streams":
            yield f"{module}: not in LAYERS of {Path(__file__).name}: say where it belongs"
        return
    for name, line, _ in found:
        if name.split(".")[0] not in FOLDERS:
            continue
        if of_client(name) and LAYERS[place] not in PURE:
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
        light = of_client(name) or name.split(".")[0] in LIGHT
        asked = (module, name) in OF_EXTRAS or (lazy and module == "tidegauge.__main__")
        if not light and not asked:
            yield f"{module}:{line}: the client must not import {name}"


def load_test_faults(module: str, found: list[Import]) -> Iterator[str]:
    for name, line, _ in found:
        offline = within(module, "load_tests.faults") and name in OFFLINE
        if within(name, "tidegauge") and not within(name, "tidegauge.schemas") and not offline:
            yield f"{module}:{line}: load tests speak through topics; must not import {name}"


def name_faults(module: str, found: list[Import]) -> Iterator[str]:
    for name, line, _ in found:
        if name.startswith("."):
            yield f"{module}:{line}: import absolutely"
        elif name.split(".")[0] in LINKED:
            yield f"{module}:{line}: import tidegauge.{name}; {name} would be a second copy of it"


def faults(module: str, source: str) -> list[str]:
    """Return what ``source`` does that its place does not allow, one sentence each."""
    tree = ast.parse(source)
    found = list(imports(tree))
    told = [*name_faults(module, found)]
    if of_client(module) or module == "tidegauge.__main__":
        told += client_faults(module, found)
    if within(module, "tidegauge") and not of_client(module):
        told += layer_faults(module, found)
    if within(module, "load_tests"):
        told += load_test_faults(module, found)
    if any(within(module, package) for package in PURE):
        told += purity_faults(module, tree, found)
    return told


def modules() -> Iterator[tuple[str, str]]:
    """Yield the dotted name and the source of every file of ours."""
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).rglob("*.py")):
            above = ("tidegauge",) if folder in LINKED else ()
            parts = (*above, *path.relative_to(ROOT).with_suffix("").parts)
            yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts), path.read_text()


@pytest.mark.parametrize("name", LINKED)
def test_a_folder_is_reached_by_its_link(name: str) -> None:
    link = ROOT / "tidegauge" / name
    assert link.is_symlink(), f"{link} is no link: set git's core.symlinks and check it out again"
    assert link.resolve() == ROOT / name


def test_imports_point_one_way_and_the_core_is_pure() -> None:
    found = dict(modules())
    assert {*LAYERS, *SHARED, "load_tests", "tests"} <= set(found), "a package is not looked at"
    assert [told for module, source in found.items() for told in faults(module, source)] == []


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("tidegauge.schemas.events", "import tidegauge.detectors"),
        ("tidegauge.schemas.events", "from tidegauge import detectors"),
        ("tidegauge.detectors.drift.adwin", "from tidegauge.streams.monitor import block"),
        ("tidegauge.streams.monitor.sizes", "from tidegauge.streams import runtime"),
        ("tidegauge.streams.monitor.sizes", "def f():\n    import tidegauge.streams.runtime.app"),
        ("tidegauge.streams.monitor.sizes", "import tidegauge"),
        ("tidegauge.streams.monitor.sizes", "from tidegauge import Producer"),
        ("tidegauge.streams.monitor.sizes", "import load_tests"),
        ("tidegauge.streams.runtime.broker", "from tidegauge.streams.cli import main"),
        ("tidegauge.streams.runtime.broker", "from tidegauge.streams import brand_new"),
        ("tidegauge.streams.runtime.broker", "from . import topics"),
        ("tidegauge.streams.cli.worker", "from tidegauge.__main__ import main"),
        ("tidegauge.streams.brand_new", "import json"),
        ("tidegauge.schemas.events", "from time import monotonic"),
        ("tidegauge.detectors.drift.adwin", "import faust"),
        ("tidegauge.detectors.drift.adwin", "import aiokafka.errors"),
        ("tidegauge.streams.monitor.sizes", "import random"),
        ("tidegauge.streams.monitor.sizes", "import datetime\nx = datetime.datetime.now()"),
        ("tidegauge.streams.monitor.sizes", "import numpy as np\nx = np.random.default_rng(1)"),
        ("tidegauge.producer", "import tidegauge.schemas.events"),
        ("tidegauge.producer", "def f():\n    import numpy"),
        ("tidegauge", "import tidegauge.streams.monitor"),
        ("tidegauge", "if TYPE_CHECKING:\n    from tidegauge.detectors import ADWIN"),
        ("tidegauge.__main__", "from tidegauge.streams.cli import app"),
        ("load_tests.rates", "import tidegauge.streams.runtime.broker"),
        ("load_tests.rates", "from tidegauge import Producer"),
        ("load_tests.rates", "from tidegauge.streams.monitor.offline import OfflineLog"),
        ("load_tests.faults.run", "from tidegauge.streams.monitor.partition import Partition"),
        ("tidegauge.detectors.drift.adwin", "from detectors.base import Bank"),
        ("tidegauge.streams.runtime.broker", "def f():\n    from streams.monitor import bounds"),
        ("tidegauge.__main__", "def main():\n    from streams.cli import app"),
        ("load_tests.rates", "import schemas"),
        ("tests.streams.test_topics", "from schemas import topics"),
    ],
)
def test_a_planted_fault_is_found(module: str, source: str) -> None:
    assert faults(module, source) != []


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("tidegauge.streams.monitor.sizes", "import numpy\nfrom tidegauge.detectors import base"),
        ("tidegauge.streams.runtime.broker", "import time\nimport kafka"),
        ("tidegauge.streams.runtime.broker", "from tidegauge.streams.monitor import bounds"),
        ("tidegauge.streams", "x = 1"),
        ("tidegauge.streams.cli", "import tidegauge"),
        ("tidegauge.streams.cli", "from tidegauge import __version__"),
        ("tidegauge.__main__", "def main():\n    from tidegauge.streams.cli import app"),
        ("tidegauge", "import orjson\nfrom tidegauge.producer import Producer"),
        ("load_tests.rates", "import faust\nfrom tidegauge.schemas import events"),
        ("load_tests.faults.run", "from tidegauge.streams.monitor.offline import OfflineLog"),
        ("tests.streams.test_topics", "import faust\nfrom tidegauge.streams import runtime"),
    ],
)
def test_what_is_allowed_is_not_reported(module: str, source: str) -> None:
    assert faults(module, source) == []
