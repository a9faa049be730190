import json
import logging
import math
import socket
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

import tidegauge.producer as producer_module
from tests.tidegauge.conftest import HOUR
from tests.tidegauge.transports import GUARD, Hanging, Slow, Tape, ids
from tidegauge import Counts, Producer
from tidegauge.frames import MAX_BYTES
from tidegauge.transport import Done, KafkaTransport

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


def test_rows_that_are_large_leave_in_several_frames(make: Make, tape: Tape) -> None:
    producer = make(tape)
    for n in range(500):
        producer.prediction(f"req-{n}", 0.5, {"text": "x" * 2_000})
    assert producer.flush(GUARD)
    frames = tape.frames()
    assert all(len(json.dumps(frame, separators=(",", ":"))) <= MAX_BYTES for frame in frames)
    assert ids(frames) == [f"req-{n}" for n in range(500)]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (("", 0.5, {}, 0), "id must"),
        (("x" * 513, 0.5, {}, 0), "id must"),
        ((7, 0.5, {}, 0), "id must"),
        (("\ud800", 0.5, {}, 0), "surrogates"),
        (("req", math.nan, {}, 0), "prediction must be a finite number"),
        (("req", math.inf, {}, 0), "prediction must be a finite number"),
        (("req", "", {}, 0), "prediction: a class must have 1 to 512 characters, got 0"),
        (("req", {}, {}, 0), "prediction: expected 1 to 1000 classes, got 0"),
        (("req", {"cat": 2.5}, {}, 0), "prediction: a class's probability must be 0 to 1"),
        (("req", {1: 0.5}, {}, 0), "prediction: a name must be a str, got int"),
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


def test_features_of_none_are_no_features(make: Make, tape: Tape) -> None:
    producer = make(tape)
    producer.prediction("req-1", 0.5, None)
    assert producer.flush(GUARD)
    assert (tape.frame()["features"], producer.failed) == ({}, 0)


def test_features_that_are_no_mapping_fail_and_say_so_without_an_error_for_the_caller(
    make: Make, tape: Tape, caplog: pytest.LogCaptureFixture
) -> None:
    producer = make(tape)
    producer.prediction("req-1", 0.5, [1.0, 2.0])  # type: ignore[arg-type]  # what is tested
    assert (producer.sent, producer.failed, producer.dropped) == (0, 1, 0)
    assert "features must be a dict of names and values, got list" in caplog.text


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
    make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    hanging = Hanging()
    producer = make(hanging, max_rows=4, max_buffered_rows=10)
    for n in range(4):
        producer.prediction(f"req-{n}", 0.5, {})
    assert hanging.entered.wait(GUARD)
    for n in range(4, 25):
        producer.prediction(f"req-{n}", 0.5, {})
    assert producer.counts == Counts(sent=0, failed=0, dropped=15, pending=10)
    assert len(caplog.records) == 1
    assert "10 rows (max_buffered_rows) wait for" in caplog.text
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
    assert len(caplog.records) == 1 and "No broker at far:9092 yet" in caplog.text
    assert not producer.close(timeout_s=0)
    assert producer.counts == Counts(sent=0, failed=1, dropped=0, pending=0)
    assert "1 had no answer from far:9092 in 0.0 s (connection refused)" in caplog.text


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


def test_a_thread_that_could_not_start_is_tried_again_with_a_later_row(
    make: Make, tape: Tape, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(producer_module, "RETRY_S", 0.0)
    producer = make(tape)
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        producer.label("req-1", 1.0)
        assert not producer.flush(GUARD)
    assert "can't start new thread" in caplog.text
    producer.label("req-2", 1.0)
    assert producer.flush(GUARD)
    assert ids(tape.frames()) == ["req-1", "req-2"]


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
    assert [record.name for record in caplog.records] == ["tidegauge.producer"] * 2


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
    transport = KafkaTransport({"bootstrap_servers": []})
    with pytest.raises(OSError, match="no address given"):
        transport.connect()
    transport.close()
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


def test_a_row_after_close_is_dropped_with_a_word_and_a_second_close_is_none(
    make: Make, tape: Tape, caplog: pytest.LogCaptureFixture
) -> None:
    producer = make(tape)
    producer.label("req-1", 1.0)
    assert producer.close()
    assert caplog.text == ""
    producer.label("req-2", 1.0)
    assert producer.counts == Counts(sent=1, failed=0, dropped=1, pending=0)
    assert "1 were dropped so far; the last one, of tidegauge.labels: the producer is closed" in (
        caplog.text
    )
    assert producer.close() and producer.close()
    assert len(caplog.records) == 1


def test_what_two_producers_take_is_kept_apart(make: Make) -> None:
    tapes = Tape(), Tape()
    first, second = (make(tape, model=model) for tape, model in zip(tapes, "ab", strict=True))
    first.label("req-1", 1.0)
    second.label("req-2", 1.0)
    assert first.close()
    second.label("req-3", 1.0)
    assert second.close()
    assert [ids(tape.frames()) for tape in tapes] == [["req-1"], ["req-2", "req-3"]]


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
        ({"version": 3}, "version: a name must be a str, got int"),
        ({"version": "\ud800"}, "version: text must be without lone surrogates"),
        ({"linger_s": -0.1}, "linger_s must be >= 0, got -0.1"),
        ({"linger_s": math.nan}, "linger_s must"),
        ({"max_rows": 0}, "max_rows must be 1 to 100000, got 0"),
        ({"max_rows": 100_001}, "max_rows must"),
        ({"max_rows": 500, "max_buffered_rows": 499}, "max_buffered_rows must be >= max_rows"),
        ({"kafka_options": {"ack": 1}}, r"got \['ack'\]"),
        ({"kafka_options": {"bootstrap_servers": "far:9092"}}, r"got \['bootstrap_servers'\]"),
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
