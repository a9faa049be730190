"""A worker that is upgraded goes on from a snapshot of an earlier layout."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from tests.streams.monitor.driver import SETTINGS, published
from tests.streams.runtime.goldens import Upgraded, golden
from tidegauge.schemas.monitors import WindowSpec
from tidegauge.streams.monitor.control.control import control_digest
from tidegauge.streams.monitor.intake.columns import Columns
from tidegauge.streams.monitor.partition import Partition
from tidegauge.streams.monitor.snapshot import LAYOUT, Snapshot
from tidegauge.streams.monitor.status import model_statuses

both = pytest.mark.parametrize("layout", [1, 2])


def open_incidents(partition: Partition) -> set[str]:
    return {incident.id for status in model_statuses(partition) for incident in status.open}


@both
async def test_windows_go_on_at_their_numbers_and_nothing_is_rejected(layout: int) -> None:
    worker = Upgraded(await golden(layout))
    statuses = model_statuses(worker.partition)
    stood = {(*s.key, own.source): (own.windows, own.rows) for s in statuses for own in s.streams}
    worker.go_on(100)
    found: dict[Any, list[tuple[int, int]]] = {}
    for own in published(worker.outputs, "windows"):
        whose = own["model"], own["version"], own["source"]
        found.setdefault(whose, []).append((own["window"], own["observed"] - own["rows"]))
    watched = {key for key, (windows, _) in stood.items() if windows and key[0] != "slow"}
    assert found.keys() >= watched - {("fraud", "2", "outcomes")}
    for key in watched & found.keys():
        first = stood[key][0]
        assert [window for window, _ in found[key]] == list(range(first, first + len(found[key])))
        assert found[key][0][1] == stood[key][1]
    assert published(worker.outputs, "rejected") == []


@both
async def test_what_was_told_and_goes_on_is_not_told_again(layout: int) -> None:
    worker = Upgraded(await golden(layout))
    before = open_incidents(worker.partition)
    worker.go_on(100, moved=True)
    assert published(worker.outputs, "alerts") == []
    assert open_incidents(worker.partition) == before
    ids = [dict(output.headers)["ce_id"] for output in worker.outputs if output.topic == "windows"]
    assert len(set(ids)) == len(ids) > 10


async def test_what_was_told_is_told_again_once_it_is_much_worse() -> None:
    worker = Upgraded(await golden(2)).go_on(200, moved=True, off=1000)
    (alert,) = published(worker.outputs, "alerts")
    assert (alert["model"], alert["status"], alert["revision"]) == ("house", "ongoing", 2)


async def test_what_was_told_is_resolved_under_its_id_once_it_is_over() -> None:
    worker = Upgraded(await golden(2))
    (churn,) = (own for own in model_statuses(worker.partition) if own.model == "churn")
    worker.go_on(400)
    alerts = [alert for alert in published(worker.outputs, "alerts") if alert["model"] == "churn"]
    assert [alert["incident"] for alert in alerts] == [own.id for own in churn.open]
    assert {(alert["status"], alert["revision"]) for alert in alerts} == {("resolved", 2)}
    assert all("back within tolerance" in alert["title"] for alert in alerts)


@both
async def test_its_snapshot_is_of_today_and_says_all(layout: int) -> None:
    data = await golden(layout)
    renewed = Partition.restore(0, SETTINGS, data).snapshot()
    assert msgspec.msgpack.decode(renewed.root)["layout"] == LAYOUT
    direct, again = Upgraded(data).go_on(60), Upgraded(renewed).go_on(60)
    assert again.outputs == direct.outputs
    assert again.partition.snapshot() == direct.partition.snapshot()


async def altered(model: str, alter: Callable[[dict[str, Any]], None]) -> Snapshot:
    """Return the snapshot of layout 2 with other controls of a model."""
    data = await golden(2)
    parts = {place: msgspec.msgpack.decode(part) for place, part in data.parts.items()}
    for part in parts.values():
        for held in part.get("controls", []):
            if held["spec"]["model"] == model:
                alter(held)
    return Snapshot(data.root, {p: msgspec.msgpack.encode(part) for p, part in parts.items()})


async def test_an_incident_of_what_must_be_learned_first_is_closed_with_the_next_window() -> None:
    worker = Upgraded(
        await altered("churn", lambda own: own["spec"]["reference"].update(windows=50))
    )
    outcomes = worker.partition.outcomes.monitors["churn", "7"]
    assert (outcomes.gathered, outcomes.needed) == (40, 50)
    (incident,) = outcomes.incidents.open
    worker.go_on(25)
    (alert,) = published(worker.outputs, "alerts")
    assert (alert["incident"], alert["status"], alert["revision"]) == (incident.id, "resolved", 2)
    assert outcomes.incidents.open == []


async def test_what_is_declared_rules_and_earlier_rows_are_read_as_they_were() -> None:
    declared = {"kind": {"type": "categorical"}}
    data = await altered("slow", lambda own: own["spec"].update(features=declared))
    own = Partition.restore(0, SETTINGS, data).rows["predictions"]
    held = Columns(("weight",), ("kind",))
    assert own.reader.columns["slow", ""] == Columns(("weight",), ("kind",), ("kind",))
    assert own.past["slow", ""] == [(702, held)]


async def test_a_model_without_a_spec_has_the_defaults_of_today_where_it_learns() -> None:
    learning = Partition.restore(0, SETTINGS, await golden(2))
    assert learning.rows["predictions"].monitors["visits", ""].windows is None
    assert learning.outcomes.monitors["visits", ""].windows is None
    none = control_digest(None, None)
    data = await altered("house", lambda own: own.update(digest=none))
    learned = Partition.restore(0, SETTINGS, data)
    assert learned.rows["predictions"].monitors["house", ""].windows == WindowSpec(every="1s")
    assert learned.outcomes.monitors["house", ""].windows == WindowSpec(rows=1000)
