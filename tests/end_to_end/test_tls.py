import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tidegauge.streams.runtime import broker as module
from tidegauge.streams.runtime.broker import EmbeddedBroker, find_java
from tidegauge.streams.runtime.unreachable import speaks_tls

PASSWORD = "changeit"


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
        return port


@pytest.fixture(scope="module")
def listeners(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """The addresses of one Kafka's plaintext listener and of its TLS listener."""
    store = tmp_path_factory.mktemp("tls") / "keys.p12"
    subprocess.run(
        [
            *(str(find_java().parent / "keytool"), "-genkeypair", "-alias", "kafka"),
            *("-keyalg", "RSA", "-dname", "CN=localhost", "-keystore", str(store)),
            *("-storetype", "PKCS12", "-storepass", PASSWORD),
        ],
        check=True,
        capture_output=True,
    )
    tls = f"127.0.0.1:{free_port()}"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "SETTINGS", _with_tls(module.SETTINGS, tls, store))
        broker = EmbeddedBroker()
        broker.start()
    try:
        yield broker.address, tls
    finally:
        broker.close()


def _with_tls(settings: str, address: str, store: Path) -> str:
    lines = settings.replace(
        "PLAINTEXT://{host}:{port}", f"PLAINTEXT://{{host}}:{{port}},SSL://{address}"
    )
    return lines.replace("CONTROLLER:PLAINTEXT", "CONTROLLER:PLAINTEXT,SSL:SSL") + (
        f"ssl.keystore.location={store}\nssl.keystore.password={PASSWORD}\n"
    )


def test_a_listener_that_speaks_tls_is_told_from_one_that_does_not(
    listeners: tuple[str, str],
) -> None:
    plain, tls = listeners
    assert (speaks_tls(plain), speaks_tls(tls)) == (False, True)


@pytest.mark.parametrize(
    "arguments",
    [["alerts", "--wait", "0s"], ["topics", "create"], ["worker", "--wait", "0s"], ["status"]],
)
def test_every_command_says_that_a_port_looks_like_tls(
    arguments: list[str], listeners: tuple[str, str]
) -> None:
    _, tls = listeners
    done = subprocess.run(
        [sys.executable, "-m", "tidegauge", *arguments, "--brokers", tls],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 3
    assert f"{tls} looks like TLS" in done.stderr
    assert done.stderr.count("\n") == 1
