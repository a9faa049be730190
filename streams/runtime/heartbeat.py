"""Shows from outside that a worker is well: a file whose time of change moves on."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

from tidegauge.streams.runtime.errors import ConfigurationError

BEAT_S = 5.0


def check_heartbeat(file: Path) -> None:
    """Touch ``file`` once; raise ConfigurationError where that cannot be done."""
    try:
        file.touch()
    except OSError as error:
        raise ConfigurationError(
            f"expected a heartbeat file that can be written, got {error}; name one in a folder "
            "that is there, by --heartbeat-file or TIDEGAUGE_HEARTBEAT_FILE"
        ) from error


def heartbeat(file: Path) -> Callable[[], Awaitable[None]]:
    """Return a task that touches ``file`` every 5 s until it is cancelled.

    It shows that the event loop runs. That rows are read is the watchdog's to see, which ends a
    worker that reads none; and then the file grows old.
    """

    async def beat() -> None:
        while True:
            file.touch()
            await asyncio.sleep(BEAT_S)

    return beat
