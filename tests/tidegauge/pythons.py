"""Every Python at hand that the client supports, with what the client needs to run under it."""

import atexit
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from importlib.metadata import version
from pathlib import Path
from tempfile import mkdtemp

import pytest

ROOT = Path(__file__).parent.parent.parent
VERSIONS = ("3.11", "3.12", "3.13")
RUNNING = f"{sys.version_info.major}.{sys.version_info.minor}"
NEEDED = ("kafka-python", "orjson", "crc32c")


def candidates(python: str) -> Iterator[str]:
    """Yield where this Python may be: on the path, or where pyenv keeps it."""
    if (found := shutil.which(f"python{python}")) is not None:
        yield found
    pyenv = Path(os.environ.get("PYENV_ROOT", "~/.pyenv")).expanduser()
    yield from map(str, pyenv.glob(f"versions/{python}.*/bin/python{python}"))


def runs(path: str) -> bool:
    """Tell whether it is a Python, and not the note of a version manager that there is none."""
    return subprocess.run([path, "-c", ""], capture_output=True, check=False).returncode == 0


@cache
def interpreter(python: str) -> tuple[str, dict[str, str]]:
    """Return a Python and the environment in which it finds the client; skip where there is none.

    Another than the one that runs the tests gets the wheels that our pip finds for it.
    """
    if python == RUNNING:
        return sys.executable, {**os.environ}
    path = next(filter(runs, candidates(python)), None)
    if path is None:
        pytest.skip(f"no Python {python} on this machine")
    wheels = Path(mkdtemp(prefix=f"tidegauge-python{python}-"))  # for the session, as the cache
    atexit.register(shutil.rmtree, wheels)
    asked = [f"{name}=={version(name)}" for name in NEEDED]
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--target", str(wheels), "--no-deps"]
    pip += ["--python-version", python, "--only-binary", ":all:", *asked]
    done = subprocess.run(pip, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"no wheels for Python {python}: {done.stderr[-200:]}")
    (wheels / "tidegauge-0.dist-info").mkdir()
    (wheels / "tidegauge-0.dist-info" / "METADATA").write_text("Name: tidegauge\nVersion: 0\n")
    return path, {**os.environ, "PYTHONPATH": os.pathsep.join([str(wheels), str(ROOT)])}


def run(python: str, script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a script to its end in an interpreter of its own."""
    path, environment = interpreter(python)
    return subprocess.run(
        [path, "-c", script, *arguments],
        env=environment, cwd="/", capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
