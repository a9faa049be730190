import threading
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

import tidegauge.producer as producer_module
from tests.tidegauge.transports import Tape
from tidegauge import Producer

HOUR = 3600.0  # a linger that no test waits for


@pytest.fixture
def tape() -> Tape:
    return Tape()


@pytest.fixture
def make() -> Iterator[Callable[..., Producer]]:
    made = []

    def make(transport: Any, **settings: Any) -> Producer:
        settings = {"model": "fraud", "linger_s": HOUR, **settings}
        made.append(Producer(transport=lambda: transport, **settings))
        return made[-1]

    yield make
    for producer in made:
        producer.close(timeout_s=0)


@pytest.fixture
def waiting(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Return what is set once a thread of the producer made next waits with a timeout."""
    event = threading.Event()

    class Watched(threading.Condition):
        def wait(self, timeout: float | None = None) -> bool:
            if timeout is not None:
                event.set()  # under the lock: who takes it next finds this thread waiting
            return super().wait(timeout)

    watched = SimpleNamespace(Condition=Watched, Lock=threading.Lock, Thread=threading.Thread)
    monkeypatch.setattr(producer_module, "threading", watched)
    return event
