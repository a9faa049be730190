"""What an installation puts on the user's machine, and how it lives beside the user's own names."""

import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from importlib.metadata import version
from pathlib import Path

import pytest

from tests.tidegauge.pythons import ROOT

SOURCES = ("schemas", "detectors", "streams", "tidegauge", "pyproject.toml", "README.md", "LICENSE")
USERS = ("schemas.py", "detectors/__init__.py", "streams/__init__.py")  # names likely to meet ours


def ran(*command: object, cwd: Path, **variables: str) -> str:
    """Return what a command prints, which must end well."""
    done = subprocess.run(
        list(map(str, command)),
        env={**os.environ, "NUMBA_DISABLE_JIT": "1", **variables},  # or it compiles at each import
        cwd=cwd, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return done.stdout


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with an sdist, the wheel made of it, and in ``direct`` one without it."""
    clone = tmp_path_factory.mktemp("clone")
    for name in SOURCES:
        if (ROOT / name).is_dir():
            skipped = shutil.ignore_patterns("__pycache__")
            shutil.copytree(ROOT / name, clone / name, symlinks=True, ignore=skipped)
        else:
            shutil.copy(ROOT / name, clone)
    build = (sys.executable, "-m", "build", "--no-isolation", "--outdir")
    ran(*build, "dist", cwd=clone)
    ran(*build, "dist/direct", "--wheel", cwd=clone)
    return clone / "dist"


def modules() -> set[str]:
    """Return the files that are to be installed, by the names under which they are imported."""
    walked = os.walk(ROOT / "tidegauge", followlinks=True)
    files = (Path(folder, name) for folder, _, names in walked for name in names)
    return {str(f.relative_to(ROOT)) for f in files if f.suffix == ".py" or f.name == "py.typed"}


@pytest.mark.parametrize("wheel", [".", "direct"])
def test_a_wheel_holds_every_module_once_below_one_name(dist: Path, wheel: str) -> None:
    (path,) = (dist / wheel).glob("*.whl")
    names = zipfile.ZipFile(path).namelist()
    assert sorted(n for n in names if ".dist-info/" not in n) == sorted(modules())
    tops = {"tidegauge", f"tidegauge-{version('tidegauge')}.dist-info"}
    assert {n.split("/")[0] for n in names} == tops
    assert {"tidegauge/py.typed", "tidegauge/streams/runtime/worker.py"} <= {*names}


def test_a_source_archive_holds_files_where_the_repository_has_links(dist: Path) -> None:
    (path,) = dist.glob("*.tar.gz")
    members = [m for m in tarfile.open(path) if not m.isdir()]
    names = [m.name.partition("/")[2] for m in members]
    assert {n for n in names if n.endswith((".py", "py.typed"))} == modules()
    assert len(names) == len({*names}) and all(m.isfile() for m in members)


def write_modules(folder: Path) -> list[Path]:
    files = [folder / name for name in USERS]
    for file in files:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("hers = True")
    return files


@pytest.fixture
def site(dist: Path, tmp_path: Path) -> Path:
    """Return a folder with modules of a user's, into which the wheel is installed."""
    hers = write_modules(tmp_path / "site")
    pip = (sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target")
    ran(*pip, tmp_path / "site", *dist.glob("*.whl"), cwd=tmp_path)  # the rest is where tests run
    assert [file.read_text() for file in hers] == ["hers = True"] * 3
    return tmp_path / "site"


USING = """
import sys
import tidegauge.detectors, tidegauge.streams.cli, tidegauge.streams.runtime.worker
from tidegauge import Producer

assert tidegauge.__file__.startswith(sys.argv[1]), tidegauge.__file__
assert {"schemas", "detectors", "streams"} & {*sys.modules} == set()
import schemas, detectors, streams
print(schemas.__file__, detectors.__file__, streams.__file__, sep="\\n")
"""


def test_modules_of_a_users_break_nothing_and_are_hers(site: Path, tmp_path: Path) -> None:
    hers = write_modules(tmp_path / "hers")  # in the working folder, on the path, and installed
    path = os.pathsep.join([str(tmp_path / "hers"), str(site)])
    told = ran(sys.executable, "-c", USING, site, cwd=tmp_path / "hers", PYTHONPATH=path)
    assert told.split() == [str(file) for file in hers]
    for command in ([site / "bin/tidegauge"], [sys.executable, "-m", "tidegauge"]):
        assert "demo" in ran(*command, "--help", cwd=tmp_path / "hers", PYTHONPATH=path)


def test_a_type_checker_finds_types_and_unknown_names(site: Path, tmp_path: Path) -> None:
    """``__getattr__`` would make of any name something that fits everywhere."""
    (tmp_path / "server.py").write_text(
        "from tidegauge import Counts, Producer\n"
        "from tidegauge import Consumer\n"
        "counts: Counts = Producer(model='fraud').counts\n"
        "sent: str = counts.sent\n"
    )
    mypy = (sys.executable, "-m", "mypy", "--strict", "--cache-dir", "cache", "server.py")
    done = subprocess.run(
        mypy, env={**os.environ, "PYTHONPATH": str(site)},
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert re.findall("server.py:([0-9]+): error", done.stdout) == ["2", "4"], done.stdout
