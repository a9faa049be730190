import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator

import pytest

from tidegauge.streams.runtime import unreachable as module
from tidegauge.streams.runtime.unreachable import listens, speaks_tls, unreachable


@contextlib.contextmanager
def server(answer: Callable[[socket.socket], None]) -> Iterator[str]:
    """Give the address of a server that answers one connection."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                answer(connection)

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"127.0.0.1:{listener.getsockname()[1]}"
        thread.join(10)


def refuse_by_alert(connection: socket.socket) -> None:
    """Speak TLS without a certificate: no cipher is left to agree on."""
    with contextlib.suppress(ssl.SSLError):
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).wrap_socket(connection, server_side=True)


def talk_http(connection: socket.socket) -> None:
    connection.recv(1000)
    connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")


def hang_up(connection: socket.socket) -> None:
    connection.recv(1000)  # as Kafka does with a length that cannot be


def test_an_alert_against_the_handshake_is_tls_too() -> None:
    with server(refuse_by_alert) as address:
        error = unreachable(address)
    assert f"{address} looks like TLS" in str(error)
    assert error.exit_code == 3


@pytest.mark.parametrize("answer", [talk_http, hang_up])
def test_what_does_not_speak_tls_is_not_taken_for_it(
    answer: Callable[[socket.socket], None],
) -> None:
    with server(answer) as address:
        assert "no Kafka broker answers at" in str(unreachable(address))


def test_who_says_nothing_is_not_waited_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CONNECT_S", 0.1)
    over = threading.Event()
    with server(lambda _: assert_waited(over)) as address:
        assert not speaks_tls(address)
        over.set()


def assert_waited(over: threading.Event) -> None:
    assert over.wait(10)


def test_where_nobody_listens_there_is_no_tls() -> None:
    assert (listens("127.0.0.1:1"), speaks_tls("127.0.0.1:1")) == (False, False)
