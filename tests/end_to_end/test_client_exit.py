"""A program that ends without ``close`` has sent its rows, whichever Python runs it."""

import os
from concurrent.futures import ThreadPoolExecutor

import msgspec
import pytest

from tests.end_to_end.workers import bodies
from tests.tidegauge.pythons import RUNNING, VERSIONS, interpreter, run
from tidegauge.schemas.events import PredictionFrame
from tidegauge.schemas.topics import TopicNames

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")

BEGINNING = """
import os, signal, sys, threading, time, warnings
from concurrent.futures import ThreadPoolExecutor
from tidegauge import Producer

warnings.simplefilter("ignore")  # of forking with threads
brokers, prefix, name = sys.argv[1:]
producer = Producer(brokers, model="fraud", prefix=prefix)

def offer(*numbers):
    for number in numbers:
        producer.prediction(f"{name} {number}", 0.5, {"amount": number}, ts_ms=number)

def offer_late(*numbers):
    time.sleep(0.3)
    offer(*numbers)

def refuse(self):
    raise RuntimeError("can't create new thread at interpreter shutdown")

"""
ENDS = {  # each offers rows 0, 1 and 2
    "its end": ("offer(0, 1, 2)", 0),
    "no thread after the first row": ("offer(0); threading.Thread.start = refuse; offer(1, 2)", 0),
    "an exception": ("offer(0, 1, 2); raise ValueError", 1),
    "sys.exit": ("offer(0, 1, 2); sys.exit(3)", 3),
    "a handler of SIGTERM": (
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit(0)); offer(0, 1, 2); "
        "os.kill(os.getpid(), signal.SIGTERM); time.sleep(60)",
        0,
    ),
    "a thread": ("offer(0); threading.Thread(target=offer_late, args=(1, 2)).start()", 0),
    "a pool": ("offer(0); ThreadPoolExecutor(1).submit(offer_late, 1, 2)", 0),
    "a forked child": ("offer(0); os.fork() or offer(1, 2)", 0),
    "two producers": (
        "offer(0, 1); producer = Producer(brokers, model='spam', prefix=prefix); offer(2)",
        0,
    ),
    "a late connection": ("producer.flush(0); offer(0); time.sleep(1); offer(1, 2)", 0),
}


@pytest.mark.parametrize("python", VERSIONS)
def test_every_row_arrives_once_however_the_program_ends(
    python: str, brokers: str, topics: TopicNames, prefix: str
) -> None:
    interpreter(python)  # or skip, which a pool's thread cannot

    def end(name: str) -> tuple[int, str]:
        done = run(python, BEGINNING + ENDS[name][0], brokers, prefix, name)
        return done.returncode, done.stderr.splitlines()[-1] if done.stderr else ""

    with ThreadPoolExecutor(2) as pool:
        ended = dict(zip(ENDS, pool.map(end, ENDS), strict=True))
    assert {name: code for name, (code, _) in ended.items()} == {n: c for n, (_, c) in ENDS.items()}
    assert [told for _, told in ended.values() if told not in ("", "ValueError")] == []
    frames = bodies(brokers, topics.predictions, PredictionFrame)
    found = sorted(key for frame in frames for key in frame.ids)
    assert found == sorted(f"{name} {number}" for name in ENDS for number in range(3))


def test_a_child_of_multiprocessing_that_closes_has_sent_its_rows(
    brokers: str, topics: TopicNames, prefix: str
) -> None:
    script = BEGINNING + (
        "import multiprocessing\n"
        "def work():\n"
        "    with producer: offer(0, 1, 2)\n"
        "multiprocessing.get_context('fork').Process(target=work).start()"
    )
    done = run(RUNNING, script, brokers, prefix, "child")
    assert (done.returncode, done.stderr) == (0, "")
    (frame,) = bodies(brokers, topics.predictions, PredictionFrame)
    assert msgspec.to_builtins(frame)["ids"] == ["child 0", "child 1", "child 2"]
