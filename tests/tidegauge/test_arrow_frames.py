"""What the client sends in Arrow's format is what it sends as JSON."""

import sys
from typing import Any

import msgspec
import orjson
import pytest

from tidegauge import Producer
from tidegauge.arrow_frames import dumps
from tidegauge.frames import MAX_BYTES, clean, encode
from tidegauge.streams.monitor.intake.arrow_frames import read_frame
from tidegauge.transport import Done, headers


class Bytes:
    """A broker that keeps what it gets as it came."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []

    def send(self, topic: str, key: bytes, value: bytes, done: Done) -> None:
        self.sent.append(value)
        done(None)

    def close(self) -> None: ...


@pytest.mark.parametrize("topic", ["predictions", "labels", "features"])
def test_a_frame_stands_for_the_json_frame_of_the_same_rows(topic: str) -> None:
    features: dict[str, Any] = {"amount": 12.5, "n": 2**60 + 1, "country": "größe", "no": None}
    if topic == "labels":
        features = {}
    value = None if topic == "features" else 0.1
    rows = [clean((topic, f"req-{n}", n, features, value)) for n in range(3)]
    ((payload, count),) = encode("fraud", "3", topic, rows, dumps)
    ((as_json, _),) = encode("fraud", "3", topic, rows)
    frame = orjson.loads(as_json)
    frame.setdefault("features", {})  # of labels nobody reads them
    assert count == 3
    assert headers(payload) == [("content-type", b"application/vnd.apache.arrow.stream")]
    assert orjson.loads(read_frame(payload).as_json()) == frame


def test_values_of_several_types_in_a_column_go_as_json() -> None:
    rows = [clean(("features", str(n), 0, {"x": x}, None)) for n, x in enumerate((1.5, "a"))]
    ((payload, _),) = encode("fraud", "", "features", rows, dumps)
    assert headers(payload) == []
    assert orjson.loads(payload)["features"] == {"x": [1.5, "a"]}


def test_a_large_frame_is_cut() -> None:
    rows = [clean(("features", str(n), 0, {"x": "y" * 1000}, None)) for n in range(900)]
    frames = encode("fraud", "", "features", rows, dumps)
    assert sum(count for _, count in frames) == 900
    assert max(len(payload) for payload, _ in frames) <= MAX_BYTES


def test_a_producer_sends_it_where_it_is_asked_to() -> None:
    broker = Bytes()
    with Producer(model="fraud", format="arrow", transport=lambda: broker) as producer:
        producer.prediction("req-1", 0.93, {"amount": 12.5}, ts_ms=5)
    frame = msgspec.json.decode(read_frame(broker.sent[0]).as_json())
    assert (frame["ids"], frame["predictions"]) == (["req-1"], [0.93])
    assert producer.counts.sent == 1


def test_without_pyarrow_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "tidegauge.arrow_frames", raising=False)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ModuleNotFoundError) as caught:
        Producer(model="fraud", format="arrow")
    assert caught.value.__notes__ == [
        "format='arrow' needs pyarrow: install the extra tidegauge[arrow]"
    ]


def test_another_format_is_refused() -> None:
    with pytest.raises(ValueError, match="format must be 'json' or 'arrow', got 'avro'"):
        Producer(model="fraud", format="avro")  # type: ignore[arg-type]  # what is refused
