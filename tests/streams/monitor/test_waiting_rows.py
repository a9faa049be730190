"""Rows of many models wait for more of their own, and nothing shows it."""

import random
from typing import Any

import numpy as np
import pytest

from tests.streams.monitor.driver import (
    Driver,
    assert_equal,
    batch_of,
    by_monitor,
    comparable,
    pairs,
    pieces,
    rejected,
)
from tests.streams.monitor.logs import NOON_MS, label, row
from tidegauge.schemas.monitors import LabelSpec, MonitorSpec, ReferenceSpec, WindowSpec
from tidegauge.streams.monitor.intake import waiting_rows as module
from tidegauge.streams.monitor.intake.plain import PlainPart
from tidegauge.streams.monitor.intake.plain_rows import PlainRows
from tidegauge.streams.monitor.intake.texts import Texts
from tidegauge.streams.monitor.intake.waiting_rows import EVER, NONE, Patience, WaitingRows
from tidegauge.streams.monitor.offline import LoggedRecord

MODELS = 6
ROWS = 6000
STEPS_MS = (20_000, 90_000)  # between two rows
WINDOWS = (None, WindowSpec(rows=150), WindowSpec(every="1h"))


def specs() -> dict[str, MonitorSpec]:
    """Return a spec a model: windows are chosen, blocks of rows, or hours."""
    return {
        f"m{n}": MonitorSpec(
            model=f"m{n}", windows=WINDOWS[n % 3], reference=ReferenceSpec(windows=5)
        )
        for n in range(MODELS)
    }


def rows(seed: int, step_ms: int) -> list[LoggedRecord]:
    """Return rows of models in random order; some move, some rows are bad, late, or have more."""
    chance, found = random.Random(seed), list[LoggedRecord]()
    for n in range(ROWS):
        model = f"m{chance.randrange(MODELS)}"
        ts_ms = NOON_MS + n * step_ms - (7_200_000 if chance.random() < 0.02 else 0)
        a = chance.gauss(200 if model == "m1" and n > ROWS // 2 else 100, 10)
        features: dict[str, object] = {"a": a, "b": chance.choice(["x", "y", "größe", None])}
        if model == "m2" and n > ROWS // 3:
            features["c"] = n % 5
        value = row(model, f"r{n % (ROWS - 500)}", ts_ms, features, chance.random())
        if model in ("m3", "m4") and 0.6 < n / ROWS < 0.7 and chance.random() < 0.1:
            value = value.replace(b'"a": ', b'"a": "much", "z": ')
        found.append(LoggedRecord(n, NOON_MS + n * step_ms, b"m", value))
    return found


def tell_the_same(found: Driver, expected: Driver) -> None:
    for outputs in (by_monitor, pairs):
        assert_equal(outputs(found.outputs), outputs(expected.outputs))
    assert rejected(found.outputs) == rejected(expected.outputs)


@pytest.mark.parametrize("seed", range(4))
def test_rows_that_wait_change_no_output_and_let_none_wait(seed: int) -> None:
    chance, step_ms = random.Random(seed), STEPS_MS[seed % 2]
    found, expected = Driver(specs()), Driver(specs(), as_objects=True)
    cuts, waited, waiting = chance.sample(range(50), chance.randint(1, 3)), 0, 0
    for number, batch in enumerate(pieces(rows(seed, step_ms), cuts)):
        for driver in (found, expected):
            driver.fold("predictions", batch)
            if number % 97 == 50:  # labels of rows that wait, and of rows to come
                about = [batch[0].offset, batch[-1].offset, batch[-1].offset + 40]
                driver.fold(
                    "labels",
                    [
                        LoggedRecord(
                            driver.partition.next_offset["labels"] + at, NOON_MS, b"m",
                            label(f"m{n % 2}", f"r{n}", NOON_MS + n * step_ms, 1.0),
                        )
                        for at, n in enumerate(about)
                    ],
                )  # fmt: skip
            if number % 83 == 40:
                driver.change("m5", "", specs()["m1"])
            driver.feed_back()
        rest = len(found.partition.rows["predictions"].reader.waiting)
        waiting, waited = max(waiting, rest), waited + (rest > 0)
        tell_the_same(found, expected)
        assert found.partition.moved == expected.partition.moved
        if number % 60 == 59:
            assert comparable(found.partition.snapshot()) == comparable(
                expected.partition.snapshot()
            )
            assert not len(found.partition.rows["predictions"].reader.waiting)
    assert by_monitor(expected.outputs)
    assert waited > 20
    assert waiting > 60


def part(places: list[int], start: int, numbers: int = 2, texts: int = 1) -> PlainPart:
    """Return rows sorted by places, each with texts that say which one it is."""
    at = np.arange(start, start + len(places))
    own = np.array(places, np.int32)
    ids = Texts.of([f"id-{n}" for n in at.tolist()])
    names = Texts.of(["x" * (n % 5) for n in at.tolist() for _ in range(texts)])
    buffer = np.concatenate([ids.buffer, names.buffer])
    spans = (names.spans + (len(ids.buffer), 0)).reshape(len(at), texts, 2)  # noqa: RUF005 (a sum)
    spans[at % 7 == 0, :, 1] = -1  # missing
    table = np.stack([at + 0.5 * n for n in range(numbers)], axis=1)
    rows = PlainRows(own, own > 0, at * 10, ids.spans, table, spans, at * 10 + 1)
    return PlainPart(buffer, at, rows)


def told(found: PlainPart) -> list[tuple[object, ...]]:
    """Return what rows say, wherever their texts lie."""
    rows = found.rows
    texts = [
        [None if length < 0 else Texts(found.buffer, own)[at] for at, (_, length) in enumerate(own)]
        for own in rows.texts
    ]
    columns = (
        rows.ts_ms.tolist(),
        rows.logged_ms.tolist(),
        list(Texts(found.buffer, rows.ids)),
        rows.numbers.tolist(),
    )
    return [*zip(found.offsets.tolist(), rows.strange.tolist(), *columns, texts, strict=True)]


@pytest.mark.parametrize("room", [100, 3000, 20_000, 1 << 20])
@pytest.mark.parametrize("seed", range(3))
def test_of_each_version_all_rows_are_given_in_their_order(
    monkeypatch: pytest.MonkeyPatch, seed: int, room: int
) -> None:
    monkeypatch.setattr(module, "BYTES", room)
    monkeypatch.setattr(module, "TEXT_BYTES", room // 16)
    monkeypatch.setattr(module, "ENOUGH", 20)
    chance, waiting, start = random.Random(seed), WaitingRows(), 0
    given, expected = dict[int, list[Any]](), dict[int, list[Any]]()
    for step in range(300):
        waiting.begin()
        places = sorted(chance.choices(range(8), [4, 1, 1, 1, 1, 1, 1, 1], k=chance.randrange(40)))
        new = part(places, start, texts=2 if step > 200 else 1)
        start += len(places)
        for place, one in zip(places, told(new), strict=True):
            expected.setdefault(place, []).append(one)
        found = [*waiting.offer(new)]
        if chance.random() < 0.1 and (own := waiting.take(2)) is not None:
            found.append((2, own))
        if step % 50 == 49:
            found += waiting.give_all()
            assert not len(waiting)
        for place, own in found:
            given.setdefault(place, []).extend(told(own))
            waiting.allow(place, Patience(chance.randrange(30), -EVER, EVER) if place else NONE)
        late = {k: own[len(given.get(k, ())) :] for k, own in expected.items()}
        assert {k: own + late[k] for k, own in given.items()} == {k: expected[k] for k in given}
        assert len(waiting) == sum(map(len, late.values()))
        oldest = [own[0][0] for own in late.values() if own]
        assert waiting.oldest <= min(oldest, default=EVER)
        assert max(map(len, late.values()), default=0) <= module.ENOUGH
    assert not late[0]  # none may wait of it


def test_rows_wait_only_as_far_as_their_times_go() -> None:
    waiting = WaitingRows()
    for last_ms, waits in ((40, True), (39, False)):
        waiting.allow(0, Patience(9, 20, last_ms))
        assert (not [*waiting.offer(part([0, 0, 0], 2))]) == waits
        [*waiting.give_all()]
    waiting.allow(0, Patience(9, 21, 90))
    assert [place for place, _ in waiting.offer(part([0, 0, 0], 2))] == [0]


def test_rows_that_were_taken_and_may_not_be_folded_yet_are_the_oldest() -> None:
    waiting = WaitingRows()
    for place in (0, 1):
        waiting.allow(place, Patience(9, -EVER, EVER))
    assert not [*waiting.offer(part([0, 0, 1, 1], 5))]
    assert waiting.take(0) is not None
    assert waiting.oldest == 5
    waiting.begin()
    assert waiting.oldest == 7
    [*waiting.give_all()]
    assert waiting.oldest == 7
    waiting.begin()
    assert waiting.oldest == EVER


@pytest.mark.parametrize("size", [20, 97])
def test_of_several_versions_no_prediction_is_forgotten_before_its_time(size: int) -> None:
    # One log of a model says how far its rows have come, whichever version they are of.
    chance, step_ms, horizon_ms = random.Random(0), 600_000, 2 * 86_400_000
    days = MonitorSpec(
        model="m",
        windows=WindowSpec(rows=150),
        reference=ReferenceSpec(windows=5),
        labels=LabelSpec(horizon="2d"),
    )
    times = range(NOON_MS, NOON_MS + 3000 * step_ms, step_ms)
    scored = [
        LoggedRecord(
            n, ms, b"m", row("m", f"r{n}", ms, {"a": n % 9}, 0.5, f"v{chance.randrange(6)}")
        )
        for n, ms in enumerate(times)
    ]
    late_ms = horizon_ms - step_ms
    told = [
        LoggedRecord(n, ms + horizon_ms, b"m", label("m", f"r{n}", ms + late_ms, 1.0))
        for n, ms in enumerate(times)
    ]
    driver = Driver({"m": days})
    for at in range(0, len(scored), size):
        driver.fold("predictions", scored[at : at + size])
    for at in range(0, len(told), size):
        driver.fold("labels", told[at : at + size])
    assert sum(map(len, pairs(driver.outputs).values())) == len(scored)


def test_what_was_in_memory_before_shows_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    # One model has a category and one has none; they wait in the same arrays.
    def used(shape: Any, dtype: Any = float, **_: object) -> Any:
        whole = np.dtype(dtype).kind in "iu"
        return np.full(shape, min(10**9, np.iinfo(dtype).max) if whole else 1, dtype)

    monkeypatch.setattr(np, "empty", used)
    found, expected, waiting = Driver(specs()), Driver(specs(), as_objects=True), 0
    for start in range(0, 3000, 100):
        batch = list[LoggedRecord]()
        for n in range(start, start + 100):
            features: dict[str, object] = {"a": n % 7}
            if n % 2:
                features["b"] = "x"
            value = row(f"m{n % 2}", f"r{n}", NOON_MS + n, features, 0.5)
            batch.append(LoggedRecord(n, NOON_MS, b"m", value))
        for driver in (found, expected):
            driver.fold("predictions", batch)
        waiting = max(waiting, len(found.partition.rows["predictions"].reader.waiting))
    tell_the_same(found, expected)
    assert by_monitor(expected.outputs)
    assert waiting > 100


def interleaved(start: int, stop: int, models: int = 4) -> list[LoggedRecord]:
    return [
        LoggedRecord(
            n, NOON_MS, b"m", row(f"m{n % models}", f"r{n}", NOON_MS + n, {"a": n % 7}, 0.5)
        )
        for n in range(start, stop)
    ]


def test_a_label_of_a_row_that_waits_does_not_await_it() -> None:
    driver = Driver(specs())
    for start in range(0, 1800, 40):
        driver.fold("predictions", interleaved(start, start + 40))
    assert len(driver.partition.rows["predictions"].reader.waiting)
    for n, awaited in [*((n, False) for n in range(1760, 1800)), (1800, True)]:
        about = [LoggedRecord(n, NOON_MS, b"m", label(f"m{n % 4}", f"r{n}", NOON_MS + n, 1.0))]
        assert driver.partition.awaits_predictions(batch_of(about)) == awaited


def test_rows_that_came_before_windows_were_chosen_count_for_the_first_one() -> None:
    # Under the spec that comes, nothing is certain until they are in the open window.
    found, expected = Driver(), Driver()
    spec = MonitorSpec(model="m0", windows=WindowSpec(rows=40), reference=ReferenceSpec(windows=5))
    for driver, size in ((found, 3), (expected, 60)):
        driver.fold("predictions", interleaved(0, 130, models=1))
        driver.change("m0", "", spec)
        for start in range(130, 310, size):
            driver.fold("predictions", interleaved(start, min(start + size, 310), models=1))
    assert by_monitor(found.outputs) == by_monitor(expected.outputs)
    assert comparable(found.partition.snapshot()) == comparable(expected.partition.snapshot())
