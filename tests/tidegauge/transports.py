"""Brokers that a test plays itself, for the producer's ``transport``."""

import json
import threading
from queue import Queue
from typing import Any

from tidegauge.transport import Done

GUARD = 20.0  # seconds until a wait that should end at once is called a failure


class Tape:
    """A broker that takes all it gets."""

    def __init__(self) -> None:
        self.sent: Queue[tuple[str, bytes, dict[str, Any]]] = Queue()
        self.closed = threading.Event()

    def send(self, topic: str, key: bytes, value: bytes, done: Done) -> None:
        self.sent.put((topic, key, json.loads(value)))
        done(None)

    def close(self) -> None:
        self.closed.set()

    def frame(self) -> dict[str, Any]:
        return self.sent.get(timeout=GUARD)[2]

    def frames(self) -> list[dict[str, Any]]:
        return [self.frame() for _ in range(self.sent.qsize())]


def ids(frames: list[dict[str, Any]]) -> list[str]:
    """Return the ids of all frames in order."""
    return [key for frame in frames for key in frame["ids"]]


class Hanging(Tape):
    """A broker that lets the sending thread wait until it is released."""

    def __init__(self) -> None:
        super().__init__()
        self.entered, self.released = threading.Event(), threading.Event()

    def send(self, topic: str, key: bytes, value: bytes, done: Done) -> None:
        self.entered.set()
        self.released.wait()
        super().send(topic, key, value, done)


class Slow(Tape):
    """A broker whose answers the test gives, frame by frame."""

    def __init__(self) -> None:
        super().__init__()
        self.dones: Queue[Done] = Queue()

    def send(self, topic: str, key: bytes, value: bytes, done: Done) -> None:
        self.dones.put(done)
