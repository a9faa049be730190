import json
import logging
import math
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from enum import IntEnum
from importlib.machinery import ModuleSpec
from queue import Queue
from types import SimpleNamespace
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tidegauge.frames as frames_module
import tidegauge.producer as producer_module
from schemas import events
from tidegauge import Counts, Producer
from tidegauge.__main__ import main
from tidegauge.frames import MAX_BYTES, MAX_FEATURES, clean, encode, plain
from tidegauge.transport import Done, KafkaTransport

HOUR = 3600.0  # a linger that no test waits for
GUARD = 20.0  # seconds until a wait that should end at once is called a failure
FRAMES: dict[str, Any] = {
    "predictions": events.PredictionFrame,
    "labels": events.LabelFrame,
    "features": events.FeatureFrame,
}


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


Make = Callable[..., Producer]


def test_a_prediction_travels_as_a_frame_keyed_by_model(make: Make, tape: Tape) -> None:
    producer = make(tape, model="betrug-ä", version="3", prefix="acme.")
    producer.prediction("req-1", 0.93, {"amount": 12.5, "country": "DE", "age": None}, ts_ms=7)
    assert producer.flush(GUARD)
    topic, key, frame = tape.sent.get_nowait()
    assert (topic, key) == ("acme.predictions", "betrug-ä".encode())
    assert frame == {
        "model": "betrug-ä",
        "version": "3",
        "ids": ["req-1"],
        "ts_ms": [7],
        "features": {"amount": [12.5], "country": ["DE"], "age": [None]},
        "predictions": [0.93],
    }


def test_labels_and_features_travel_on_their_own_topics(make: Make, tape: Tape) -> None:
    producer = make(tape)
    producer.features("req-1", {"amount": 1}, ts_ms=1)
    producer.label("req-1", True, ts_ms=2)
    producer.label("req-2", 0.5, ts_ms=3)
    assert producer.flush(GUARD)
    sent = {topic: frame for topic, _, frame in (tape.sent.get_nowait() for _ in range(2))}
    head = {"model": "fraud", "version": ""}
    assert sent == {
        "tidegauge.labels": head
        | {"ids": ["req-1", "req-2"], "ts_ms": [2, 3], "labels": [1.0, 0.5]},
        "tidegauge.features": head | {"ids": ["req-1"], "ts_ms": [1], "features": {"amount": [1]}},
    }


def test_a_frame_leaves_as_soon_as_it_is_full(make: Make, tape: Tape) -> None:
    producer = make(tape, max_rows=5)
    for n in range(5):
        producer.prediction(f"req-{n}", 0.5, {})
    assert tape.frame()["ids"] == [f"req-{n}" for n in range(5)]


def test_the_row_that_fills_a_frame_ends_the_linger(
    waiting: threading.Event, make: Make, tape: Tape
) -> None:
    producer = make(tape, max_rows=2)
    producer.prediction("req-1", 0.5, {})
    assert waiting.wait(GUARD)
    producer.prediction("req-2", 0.5, {})
    assert tape.frame()["ids"] == ["req-1", "req-2"]


def test_a_frame_that_is_not_full_leaves_after_the_linger(make: Make, tape: Tape) -> None:
    make(tape, linger_s=0.01).prediction("req-1", 0.5, {})
    assert tape.frame()["ids"] == ["req-1"]


def test_rows_that_wait_for_a_broker_leave_in_frames_of_at_most_max_rows(make: Make) -> None:
    hanging = Hanging()
    producer = make(hanging, max_rows=3)
    for n in range(3):
        producer.prediction(f"first-{n}", 0.5, {})
    assert hanging.entered.wait(GUARD)
    for n in range(7):
        producer.prediction(f"req-{n}", 0.5, {})
    hanging.released.set()
    assert producer.flush(GUARD)
    assert [len(frame["ids"]) for frame in hanging.frames()] == [3, 3, 3, 1]


def test_a_row_without_a_time_takes_the_clock(make: Make, tape: Tape) -> None:
    producer = make(tape, clock=lambda: 1732406400.1239)
    producer.prediction("req-1", 0.5, {})
    producer.prediction("req-2", 0.5, {}, ts_ms=0)
    assert producer.flush(GUARD)
    assert tape.frame()["ts_ms"] == [1732406400123, 0]


def test_a_feature_that_a_row_lacks_is_null_there(make: Make, tape: Tape) -> None:
    producer = make(tape)
    producer.prediction("req-1", 0.5, {"a": 1})
    producer.prediction("req-2", 0.5, {"b": 2})
    producer.prediction("req-3", 0.5, {})
    assert producer.flush(GUARD)
    assert tape.frame()["features"] == {"a": [1, None, None], "b": [None, 2, None]}


def test_the_caller_may_use_its_dict_again(make: Make, tape: Tape) -> None:
    producer = make(tape)
    features = {"a": 1}
    producer.prediction("req-1", 0.5, features)
    features["a"] = 2
    assert producer.flush(GUARD)
    assert tape.frame()["features"] == {"a": [1]}


whole = st.integers(-(2**53), 2**53)  # beyond, the wire is exact and the schemas' float64 is not
numbers = st.floats(-1e100, 1e100) | st.sampled_from([math.nan, math.inf, -math.inf])
values = st.none() | st.booleans() | numbers | whole | st.text(max_size=5)
rows = st.lists(
    st.tuples(
        st.text(min_size=1, max_size=8),
        st.integers(0, 2**47),
        st.dictionaries(st.text(max_size=2), values, max_size=4),
        st.floats(-1e100, 1e100) | st.booleans(),
    ),
    min_size=1,
    max_size=8,
)


def test_a_number_that_a_worker_would_reject_is_refused_here() -> None:
    with pytest.raises(ValueError, match="must lie within"):
        plain(1.1e100)


@given(rows, st.sampled_from(sorted(FRAMES)), st.sampled_from([1, 200, 10_000]))
def test_all_frames_decode_under_the_schemas_and_hold_the_rows_in_order(
    rows: list[tuple[str, int, dict[str, Any], float]], topic: str, limit: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(frames_module, "MAX_BYTES", limit)
        frames = encode("fraud", "3", topic, [clean((topic, *row)) for row in rows])
    found = []
    for payload, count in frames:
        frame = msgspec.json.decode(payload, type=FRAMES[topic])
        assert count == len(frame.ids) and (count == 1 or len(payload) <= limit)
        for n, key in enumerate(frame.ids):
            columns = getattr(frame, "features", {}).items()
            features = {name: column[n] for name, column in columns if column[n] is not None}
            value = getattr(frame, topic)[n] if topic != "features" else None
            found.append((key, frame.ts_ms[n], features, value))
    assert found == [
        (key, ts_ms, present(features) if topic != "labels" else {}, value)
        for key, ts_ms, features, value in (
            (*row[:3], row[3] if topic != "features" else None) for row in rows
        )
    ]


def present(features: dict[str, Any]) -> dict[str, Any]:
    """Return what of the features is not missing."""
    return {
        name: value
        for name, value in features.items()
        if value is not None and not (isinstance(value, float) and not math.isfinite(value))
    }


def test_rows_that_are_large_leave_in_several_frames(make: Make, tape: Tape) -> None:
    producer = make(tape)
    for n in range(500):
        producer.prediction(f"req-{n}", 0.5, {"text": "x" * 2_000})
    assert producer.flush(GUARD)
    frames = tape.frames()
    assert all(len(json.dumps(frame, separators=(",", ":"))) <= MAX_BYTES for frame in frames)
    assert ids(frames) == [f"req-{n}" for n in range(500)]


def test_rows_with_ever_new_features_stay_below_the_limit_of_the_wire() -> None:
    many = [
        clean(("predictions", f"req-{row}", 0, {f"{row}-{n}": 1 for n in range(900)}, 0.5))
        for row in range(5)
    ]
    frames = [
        msgspec.json.decode(payload) for payload, _ in encode("fraud", "", "predictions", many)
    ]
    assert all(len(frame["features"]) <= MAX_FEATURES for frame in frames)
    assert sum(len(frame["ids"]) for frame in frames) == len(many)


class Colour(IntEnum):
    RED = 1


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (math.nan, None),
        (math.inf, None),
        (-math.inf, None),
        (np.float64("inf"), None),
        (np.float32("nan"), None),
        (np.float64(1.5), 1.5),
        (np.float32(1.5), 1.5),
        (np.longdouble(1.5), 1.5),
        (np.int64(2**62 + 1), 2**62 + 1),
        (np.bool_(True), True),
        (np.str_("DE"), "DE"),
        (np.array(3), 3),
        (Decimal("12.5"), 12.5),
        (Decimal("NaN"), None),
        (Colour.RED, 1),
        (False, False),
        ("ä", "ä"),
    ],
)
def test_a_value_travels_as_the_plain_value_it_stands_for(value: Any, expected: Any) -> None:
    found = plain(value)
    assert found == expected and type(found) is type(expected)


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (("", 0.5, {}, 0), "id must"),
        (("x" * 513, 0.5, {}, 0), "id must"),
        ((7, 0.5, {}, 0), "id must"),
        (("\ud800", 0.5, {}, 0), "surrogates"),
        (("req", math.nan, {}, 0), "prediction must be a finite number"),
        (("req", math.inf, {}, 0), "prediction must be a finite number"),
        (("req", "0.5", {}, 0), "prediction must be a finite number"),
        (("req", None, {}, 0), "prediction must be a finite number"),
        (("req", 0.5, {}, -1), "ts_ms must"),
        (("req", 0.5, {}, 253_402_300_800_000), "ts_ms must"),
        (("req", 0.5, {}, 1.5), "ts_ms must"),
        (("req", 0.5, {}, True), "ts_ms must"),
        (("req", 0.5, {"a": [1]}, 0), "feature 'a': must be a number"),
        (("req", 0.5, {"a": np.zeros(2)}, 0), "feature 'a'"),
        (("req", 0.5, {"a": 2**63}, 0), "feature 'a': an integer must fit in 64 bits"),
        (("req", 0.5, {"a": "\ud800"}, 0), "feature 'a'"),
        (("req", 0.5, {3: 1}, 0), "feature 3: a name must be a str"),
        (("req", 0.5, dict.fromkeys(map(str, range(2001))), 0), "2000 features"),
    ],
)
def test_a_row_that_cannot_travel_fails_alone_and_says_why(
    row: tuple[Any, ...], reason: str, make: Make, tape: Tape, caplog: pytest.LogCaptureFixture
) -> None:
    producer = make(tape)
    producer.prediction("before", 0.5, {"a": 1})
    producer.prediction(*row)
    producer.prediction("after", 0.5, {"a": 2})
    assert producer.flush(GUARD)
    assert tape.frame()["ids"] == ["before", "after"]
    assert producer.counts == Counts(sent=2, failed=1, dropped=0, pending=0)
    assert reason in caplog.text


def test_features_that_are_no_mapping_fail_without_an_error_for_the_caller(
    make: Make, tape: Tape
) -> None:
    producer = make(tape)
    producer.prediction("req-1", 0.5, None)  # type: ignore[arg-type]  # what is tested
    assert (producer.sent, producer.failed, producer.dropped) == (0, 1, 0)


def test_many_failures_are_one_log_line_a_minute(
    make: Make, tape: Tape, caplog: pytest.LogCaptureFixture
) -> None:
    now = [0.0]
    producer = make(tape, clock=lambda: now[0])
    for now[0] in (0.0, 30.0, 59.0, 61.0, 90.0):
        producer.label("req", math.nan)
        assert producer.flush(GUARD)
    assert [record.args[0] for record in caplog.records if isinstance(record.args, tuple)] == [1, 4]


def test_callers_go_on_while_the_broker_hangs_and_the_newest_rows_beyond_the_bound_are_dropped(
    make: Make,
) -> None:
    hanging = Hanging()
    producer = make(hanging, max_rows=4, max_buffered_rows=10)
    for n in range(4):
        producer.prediction(f"req-{n}", 0.5, {})
    assert hanging.entered.wait(GUARD)
    for n in range(4, 25):
        producer.prediction(f"req-{n}", 0.5, {})
    assert producer.counts == Counts(sent=0, failed=0, dropped=15, pending=10)
    assert not producer.flush(timeout_s=0)
    hanging.released.set()
    assert producer.flush(GUARD)
    assert producer.counts == Counts(sent=10, failed=0, dropped=15, pending=0)
    assert ids(hanging.frames()) == [f"req-{n}" for n in range(10)]


def test_a_frame_without_an_answer_still_counts_against_the_bound(make: Make) -> None:
    slow = Slow()
    producer = make(slow, max_rows=2, max_buffered_rows=2)
    for _ in range(2):
        producer.label("req", 1.0)
    answer = slow.dones.get(timeout=GUARD)
    producer.label("req", 1.0)
    assert producer.counts == Counts(sent=0, failed=0, dropped=1, pending=2)
    answer(None)
    producer.label("req", 1.0)
    assert producer.counts == Counts(sent=2, failed=0, dropped=1, pending=1)


def test_a_flush_waits_for_the_rows_before_it_and_not_for_those_after(make: Make) -> None:
    slow = Slow()
    producer = make(slow, max_rows=2)
    producer.label("before", 1.0)
    with ThreadPoolExecutor(1) as pool:
        flushed = pool.submit(producer.flush, GUARD)
        first = slow.dones.get(timeout=GUARD)  # only the flush can have sent it: it has begun
        producer.label("after", 1.0)
        producer.label("after", 1.0)
        slow.dones.get(timeout=GUARD)
        first(None)
        assert flushed.result()
    assert producer.counts == Counts(sent=1, failed=0, dropped=0, pending=2)
    assert not producer.flush(timeout_s=0)


def test_what_the_broker_refuses_fails_and_the_next_frame_goes_on(make: Make) -> None:
    class Refusing(Tape):
        def send(self, topic: str, key: bytes, value: bytes, done: Done) -> None:
            ids = json.loads(value)["ids"]
            if ids == ["raise"]:
                raise RuntimeError("too large")
            done(OSError("lost") if ids == ["answer"] else None)

    producer = make(Refusing(), max_rows=1)
    for key in ("raise", "answer", "good"):
        producer.label(key, 1.0)
    assert producer.flush(GUARD)
    assert producer.counts == Counts(sent=1, failed=2, dropped=0, pending=0)


def test_an_unreachable_broker_costs_the_caller_nothing_and_one_log_line(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(producer_module, "RETRY_S", 0.0)
    attempts = threading.Semaphore(0)

    def refuse() -> Tape:
        attempts.release()
        raise OSError("connection refused")

    producer = Producer("far:9092", model="fraud", transport=refuse)
    producer.prediction("req-1", 0.5, {})
    assert all(attempts.acquire(timeout=GUARD) for _ in range(5))
    assert not producer.close(timeout_s=0)
    assert producer.counts == Counts(sent=0, failed=1, dropped=0, pending=0)
    assert len(caplog.records) == 1 and "No broker at far:9092 yet" in caplog.text


def test_rows_from_before_the_broker_came_are_sent_when_it_comes(
    tape: Tape, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(producer_module, "RETRY_S", 0.0)
    errors = [OSError("refused"), OSError("refused")]

    def come_late() -> Tape:
        if errors:
            raise errors.pop()
        return tape

    with Producer(model="fraud", transport=come_late) as producer:
        producer.prediction("req-1", 0.5, {})
        assert producer.flush(GUARD)
    assert tape.frame()["ids"] == ["req-1"]


def test_a_closed_port_leaves_callers_alone_and_kafka_python_quiet(
    caplog: pytest.LogCaptureFixture,
) -> None:
    told = threading.Event()
    listener = logging.Handler()
    listener.emit = lambda record: told.set()  # type: ignore[method-assign]  # shortest handler
    producer_module.log.addHandler(listener)
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))  # bound, never listening: connections are refused
        producer = Producer(f"127.0.0.1:{held.getsockname()[1]}", model="fraud")
        producer.prediction("req-1", 0.5, {})
        assert told.wait(GUARD)
        assert not producer.close(timeout_s=0.1)
    producer_module.log.removeHandler(listener)
    assert producer.failed == 1
    assert [record.name for record in caplog.records] == ["tidegauge.producer"]


@pytest.mark.parametrize(
    ("thread", "level", "wanted"),
    [
        ("tidegauge-producer", logging.INFO, False),
        ("tidegauge-producer-network-thread", logging.INFO, False),
        ("kafka-python-producer-1-network-thread", logging.INFO, True),
        ("MainThread", logging.INFO, True),
        ("tidegauge-producer", logging.DEBUG, True),
    ],
)
def test_only_the_lines_of_our_own_connection_are_kept_out_of_the_log(
    thread: str, level: int, wanted: bool, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(OSError, match="no address given"):
        KafkaTransport({"bootstrap_servers": []})  # as far as the filters
    caplog.set_level(level, logger="tidegauge")
    caplog.set_level(logging.ERROR, logger="kafka")  # the command line silences it

    def complain() -> None:
        threading.current_thread().name = thread
        logging.getLogger("kafka.cluster").error("Topic not found")

    speaker = threading.Thread(target=complain)
    speaker.start()
    speaker.join()
    assert ("Topic not found" in caplog.text) is wanted


def test_nothing_is_lost_or_doubled_when_threads_append_together(make: Make, tape: Tape) -> None:
    most = 50
    producer = make(tape, max_rows=most, linger_s=0.001)

    def offer(thread: int) -> None:
        for n in range(1_000):
            producer.prediction(f"{thread}-{n}", 0.5, {"n": n})

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(offer, range(4)))
    finally:
        sys.setswitchinterval(interval)
    assert producer.flush(GUARD)
    assert producer.counts == Counts(sent=4_000, failed=0, dropped=0, pending=0)
    frames = tape.frames()
    assert max(len(frame["ids"]) for frame in frames) <= most
    assert sorted(ids(frames)) == sorted(
        f"{thread}-{n}" for thread in range(4) for n in range(1_000)
    )


def test_the_end_of_a_with_sends_what_is_left_and_closes_the_connection(tape: Tape) -> None:
    with Producer(model="fraud", linger_s=HOUR, transport=lambda: tape) as producer:
        producer.label("req-1", 1.0)
    assert tape.frame()["ids"] == ["req-1"]
    assert tape.closed.is_set()
    producer.label("req-2", 1.0)
    assert producer.counts == Counts(sent=1, failed=0, dropped=1, pending=0)
    assert producer.close()


def test_a_close_that_gives_up_ends_a_flush_that_waits(
    waiting: threading.Event, make: Make
) -> None:
    hanging = Hanging()
    producer = make(hanging, max_rows=1)
    producer.label("under way", 1.0)
    assert hanging.entered.wait(GUARD)
    producer.label("waiting", 1.0)
    waiting.clear()
    with ThreadPoolExecutor(1) as pool:
        flushed = pool.submit(producer.flush, GUARD)
        assert waiting.wait(GUARD)
        assert not producer.close(timeout_s=0)
        assert flushed.result(GUARD / 2)  # told, and not by its own timeout
    assert producer.counts == Counts(sent=0, failed=2, dropped=0, pending=0)
    hanging.released.set()


def test_an_answer_after_close_is_not_counted_again(make: Make) -> None:
    slow = Slow()
    producer = make(slow, max_rows=1)
    producer.label("req-1", 1.0)
    answer = slow.dones.get(timeout=GUARD)
    assert not producer.close(timeout_s=0)
    answer(None)
    assert producer.counts == Counts(sent=0, failed=1, dropped=0, pending=0)


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"model": ""}, "model must have 1 to 200 characters, got 0"),
        ({"model": "x" * 201}, "got 201"),
        ({"version": "x" * 101}, "version may have 100 characters, got 101"),
        ({"linger_s": -0.1}, "linger_s must be >= 0, got -0.1"),
        ({"linger_s": math.nan}, "linger_s must"),
        ({"max_rows": 0}, "max_rows must be 1 to 100000, got 0"),
        ({"max_rows": 100_001}, "max_rows must"),
        ({"max_rows": 500, "max_buffered_rows": 499}, "max_buffered_rows must be >= max_rows"),
        ({"kafka_options": {"ack": 1}}, "ack"),
        ({"kafka_options": {"bootstrap_servers": "far:9092"}}, "which is brokers here"),
    ],
)
def test_a_setting_out_of_range_is_refused_at_once(settings: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        Producer(**{"model": "fraud", **settings})


def test_the_brokers_come_from_the_environment_unless_given(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TIDEGAUGE_BROKERS", "kafka-1:9092,kafka-2:9092")
    assert Producer(model="fraud").brokers == "kafka-1:9092,kafka-2:9092"
    assert Producer("near:9092", model="fraud").brokers == "near:9092"
    monkeypatch.delenv("TIDEGAUGE_BROKERS")
    assert Producer(model="fraud").brokers == "127.0.0.1:9092"


def run(script: str) -> str:
    """Return what a script prints in an interpreter of its own."""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_importing_tidegauge_loads_nothing_of_the_worker() -> None:
    heavy = "numpy numba river faust aiokafka msgspec pyarrow schemas detectors streams".split()
    found = run(f"import sys, tidegauge; print(sorted(set({heavy}) & set(sys.modules)))")
    assert found.strip() == "[]"


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


def test_rows_left_at_exit_are_sent() -> None:
    assert run(PRINTING).count('"ids":["req-1"]') == 1


def test_rows_left_at_an_exit_before_the_connection_are_sent() -> None:
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
    assert run(late + "atexit.register(exiting.set)").count('"ids":["req-1"]') == 1


@pytest.mark.skipif(not hasattr(__import__("os"), "fork"), reason="this system has no fork")
def test_a_forked_child_sends_its_own_rows_and_none_of_its_parent() -> None:
    forking = """
if os.fork() == 0:
    producer.label("child", 1.0, ts_ms=0)
    os._exit(0 if producer.close() and producer.sent == 1 else 1)
assert os.wait()[1] == 0
"""
    lines = sorted(run(PRINTING + forking).splitlines())
    assert [(line.split()[0], json.loads(line.split()[1])["ids"]) for line in lines] == [
        ("False", ["child"]),
        ("True", ["req-1"]),
    ]


def pretend_cli_lacks(module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the import of the command line end as if a module were not installed."""

    class Missing:
        def find_spec(self, name: str, *_: object) -> ModuleSpec | None:
            if name == "streams.cli":
                raise ModuleNotFoundError(f"No module named {module!r}", name=module)
            return None

    monkeypatch.delitem(sys.modules, "streams.cli", raising=False)
    monkeypatch.setattr(sys, "meta_path", [Missing(), *sys.meta_path])


def test_the_command_without_its_extra_says_in_one_line_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pretend_cli_lacks("typer", monkeypatch)
    with pytest.raises(SystemExit) as ended:
        main()
    told = "tidegauge: this command needs typer: pip install 'tidegauge[worker]'\n"
    assert (ended.value.code, capsys.readouterr().err) == (2, told)


def test_a_missing_module_of_ours_is_not_blamed_on_the_extra(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pretend_cli_lacks("schemas.events", monkeypatch)
    with pytest.raises(ModuleNotFoundError):
        main()


def test_the_command_runs_the_command_line(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    cli = SimpleNamespace(main=lambda: calls.append("ran"))
    monkeypatch.setitem(sys.modules, "streams.cli", cli)
    main()
    assert calls == ["ran"]
