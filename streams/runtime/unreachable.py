"""No broker answers: one error for all commands, which says so where a port speaks TLS."""

import contextlib
import socket
import ssl
from collections.abc import Iterator

from tidegauge.streams.runtime.errors import BrokerUnreachableError, ConfigurationError

CONNECT_S = 2.0  # to wait for a connection, and for each answer on it


def unreachable(brokers: str) -> BrokerUnreachableError:
    """Return the error to raise after no broker of the list answered; it tries each for TLS."""
    encrypted = [address for address in brokers.split(",") if speaks_tls(address)]
    if encrypted:
        return BrokerUnreachableError(
            f"no Kafka broker answers without encryption at {brokers}: {encrypted[0]} looks like "
            "TLS, which worker and command line do not speak; name a plaintext listener in "
            "--brokers or TIDEGAUGE_BROKERS"
        )
    return BrokerUnreachableError(
        f"no Kafka broker answers at {brokers}: check --brokers or TIDEGAUGE_BROKERS, or start one "
        "with `tidegauge broker`"
    )


def listens(address: str) -> bool:
    """Tell whether anything accepts connections at ``host:port``."""
    with contextlib.suppress(OSError), _connected(address):
        return True
    return False


def speaks_tls(address: str) -> bool:
    """Tell whether the port answers a TLS hello: with a handshake, or with an alert against it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # it is only a question
    try:
        with _connected(address) as plain, context.wrap_socket(plain):
            return True
    except ssl.SSLError as error:
        return "ALERT" in (error.reason or "")
    except OSError:
        return False


@contextlib.contextmanager
def _connected(address: str) -> Iterator[socket.socket]:
    host, _, port = address.strip().rpartition(":")
    try:
        target = host.strip("[]"), int(port)
    except ValueError as error:
        raise ConfigurationError(f"brokers must be host:port, got {address!r}") from error
    with socket.create_connection(target, timeout=CONNECT_S) as connection:
        yield connection
