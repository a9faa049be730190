"""Events as CloudEvents 1.0 in Kafka's binary mode, with ids that a replay repeats."""

from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tidegauge.schemas import cloudevents, rejected
from tidegauge.schemas.cloudevents import headers, stable_id


def event_headers(time_ms: int = 1_366_243_200_123) -> cloudevents.Headers:
    return headers(id="i", type="io.test.v1", source="/a/b", subject="größe", time_ms=time_ms)


def test_the_headers_are_the_attributes_of_the_specification() -> None:
    assert dict(event_headers()) == {
        "ce_specversion": b"1.0",
        "ce_id": b"i",
        "ce_type": b"io.test.v1",
        "ce_source": b"/a/b",
        "ce_subject": "größe".encode(),
        "ce_time": b"2013-04-18T00:00:00.123Z",
        "content-type": b"application/json",
    }


@settings(derandomize=True, deadline=None)
@given(ms=st.integers(0, 4_102_444_800_000))  # to the year 2100
def test_event_time_is_kept_to_the_millisecond(ms: int) -> None:
    text = dict(event_headers(ms))["ce_time"].decode()
    seconds = datetime.fromisoformat(text) - datetime(1970, 1, 1, tzinfo=UTC)
    assert round(seconds.total_seconds() * 1000) == ms


def test_the_cloudevents_package_reads_them() -> None:
    bindings = pytest.importorskip("cloudevents.core.bindings.kafka", reason="not a dependency")
    formats = pytest.importorskip("cloudevents.core.formats.json", reason="not a dependency")
    message = bindings.KafkaMessage(
        headers=dict(event_headers()), key=b"m", value=b'{"model": "m"}'
    )
    event = bindings.from_binary(message, formats.JSONFormat())
    assert (event.get_id(), event.get_type()) == ("i", "io.test.v1")
    assert (event.get_source(), event.get_subject()) == ("/a/b", "größe")
    assert event.get_time() == datetime(2013, 4, 18, 0, 0, 0, 123_000, tzinfo=UTC)
    assert event.get_data() == {"model": "m"}


def test_an_id_follows_from_its_parts_alone_and_never_changes() -> None:
    assert stable_id("fraud", "3", 17) == "1255f9a71e8dcb2a708a92551df2f2cc"


def test_parts_that_join_to_the_same_text_have_different_ids() -> None:
    parts: list[tuple[str | int, ...]] = [
        ("a", "bc"), ("ab", "c"), ("abc",), ("a", "b", "c"), ("abc", ""), ("", "abc"),
        ('a","b', "c"), ("a", 1), ("a", "1"), ("a1",),
    ]  # fmt: skip
    assert len({stable_id(*own) for own in parts}) == len(parts)


def test_a_dead_letter_names_its_origin_as_kafka_connect_does() -> None:
    found = rejected.headers(topic="t", partition=3, offset=7, reason="größe: no", error="E")
    assert dict(found) == {
        "__connect.errors.topic": b"t",
        "__connect.errors.partition": b"3",
        "__connect.errors.offset": b"7",
        "__connect.errors.connector.name": b"tidegauge",
        "__connect.errors.stage": b"VALUE_CONVERTER",
        "__connect.errors.exception.class.name": b"E",
        "__connect.errors.exception.message": "größe: no".encode(),
    }
