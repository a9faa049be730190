"""What becomes of rows when the program ends without ``close``, under each Python at hand.

That a real Kafka gets them is told by tests/end_to_end/test_client_exit.py.
"""

import json
import os
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.tidegauge.pythons import RUNNING, VERSIONS, interpreter, run

every_python = pytest.mark.parametrize("python", VERSIONS)

PRINTING = """
import os
from tidegauge import Producer

class Printing:
    def send(self, topic, key, value, done):
        os.write(1, f"{os.getpid() == parent} {value.decode()}\\n".encode())
        done(None)

    def close(self): ...

parent = os.getpid()
producer = Producer(model="fraud", linger_s=3600, transport=Printing)
producer.label("req-1", 1.0, ts_ms=0)
"""


@pytest.fixture
def closed_port() -> Iterator[str]:
    """Return an address that refuses connections."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))  # bound, never listening
        yield f"127.0.0.1:{held.getsockname()[1]}"


def printed(script: str, python: str = RUNNING) -> str:
    """Return what a script prints, which must do so without a word of complaint."""
    done = run(python, script)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


@every_python
def test_rows_left_at_exit_are_sent(python: str) -> None:
    assert printed(PRINTING, python).count('"ids":["req-1"]') == 1


@every_python
def test_rows_left_at_an_exit_before_the_connection_are_sent(python: str) -> None:
    late = PRINTING.replace("transport=Printing", "transport=open_at_exit").replace(
        "parent =",
        """
import atexit, threading
exiting = threading.Event()

def open_at_exit():
    exiting.wait()
    return Printing()

parent =""",
    )
    # Registered last, so called first.
    script = late + "atexit.register(exiting.set)"
    assert printed(script, python).count('"ids":["req-1"]') == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@every_python
def test_a_forked_child_sends_its_own_rows_and_none_of_its_parent(python: str) -> None:
    forking = """
if os.fork() == 0:
    producer.label("child", 1.0, ts_ms=0)
    os._exit(0 if producer.close() and producer.sent == 1 else 1)
assert os.wait()[1] == 0
"""
    quiet = "import warnings; warnings.simplefilter('ignore')  # of forking with threads\n"
    lines = sorted(printed(quiet + PRINTING + forking, python).splitlines())
    assert [(line.split()[0], json.loads(line.split()[1])["ids"]) for line in lines] == [
        ("False", ["child"]),
        ("True", ["req-1"]),
    ]


OFFERING = """
import atexit, sys
from tidegauge import Producer

producer = Producer(sys.argv[1], model="fraud")

def offer():
    for n in range(3):
        producer.label(f"req-{n}", 1.0)

"""


@every_python
def test_rows_that_reach_no_broker_by_the_end_are_counted_on_stderr(
    python: str, closed_port: str
) -> None:
    # The second has its first row when it is too late for a thread under 3.12.
    scripts = [OFFERING + "offer()", OFFERING + "atexit.register(offer)"]
    interpreter(python)  # or skip, which a pool's thread cannot
    with ThreadPoolExecutor(len(scripts)) as pool:  # each waits for five seconds
        ended = list(pool.map(lambda script: run(python, script, closed_port), scripts))
    for done in ended:
        assert done.returncode == 0
        assert "Closed: 0 rows were sent, 3 failed and 0 were dropped" in done.stderr
        assert f"3 had no answer from {closed_port}" in done.stderr


def test_rows_that_failed_after_the_last_complaint_are_told_at_the_end() -> None:
    script = PRINTING + "for n in range(5): producer.label('req', [1])"
    done = run(RUNNING, script)
    assert "Closed: 1 rows were sent, 5 failed and 0 were dropped" in done.stderr
    assert "no answer" not in done.stderr
