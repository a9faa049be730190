"""What is told of faults in real data: ``python -m load_tests.faults [--quick] [--page]``."""

import argparse
import importlib.metadata
import os
import platform
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from load_tests.faults import page
from load_tests.faults.data import WINDOWS, by_day, dependent, independent
from load_tests.faults.diamonds import FAULTS as DIAMONDS
from load_tests.faults.diamonds import read_diamonds, shuffled_diamonds
from load_tests.faults.fault import Fault
from load_tests.faults.kinds_of_rules import FAULTS as RULES
from load_tests.faults.kinds_of_rules import declared
from load_tests.faults.kinds_of_slices import FAULTS as SLICED
from load_tests.faults.kinds_of_slices import sliced
from load_tests.faults.registry import FAULTS
from load_tests.faults.run import Make, Null, findings, nulls
from load_tests.faults.told import Finding
from tidegauge.streams.demo.flights import read_flights


class Size(NamedTuple):
    """How much is run."""

    seeds: int  # of each fault in each form
    null_seeds: int
    null_windows: int


FULL: Final = Size(2, 8, 360)
QUICK: Final = Size(1, 2, WINDOWS)


def main() -> None:
    """Run all and print the page, or write it."""
    parser = argparse.ArgumentParser(prog="python -m load_tests.faults", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one run of each fault")
    parser.add_argument("--page", action="store_true", help=f"write {page.PAGE.name}")
    parser.add_argument("--results", type=Path, help="write all that was found there, as JSON")
    asked = parser.parse_args()
    begun = time.perf_counter()
    size = QUICK if asked.quick else FULL
    processes = os.cpu_count() or 1
    flights = read_flights()
    forms: list[tuple[Make, Sequence[Fault]]] = [
        (partial(independent, flights), FAULTS),
        (partial(dependent, flights), FAULTS),
        (partial(declared, flights), RULES),
        (partial(sliced, flights), SLICED),
        (partial(by_day, flights), ()),  # for null runs only
    ]
    if diamonds := read_diamonds():
        forms.append((partial(shuffled_diamonds, diamonds), DIAMONDS))
    found: list[Finding] = []
    quiet: list[Null] = []
    for make, faults in forms:
        if faults:
            found += findings(make, faults, size.seeds, processes)
        quiet += nulls(make, size.null_seeds, processes, size.null_windows)
        print(f"{len(found) + len(quiet)} runs are done", file=sys.stderr)
    facts = {
        "Tidegauge": importlib.metadata.version("tidegauge"),
        "Machine": f"{platform.machine()}, {processes} cores, Python {platform.python_version()}",
        "This run": f"{len(found) + len(quiet)} runs in {time.perf_counter() - begun:.0f} s",
    }
    whole = page.Results(facts, found, quiet)
    if asked.results:
        asked.results.write_bytes(msgspec.json.encode(whole))
    if asked.page:
        page.write(whole)
    else:
        print("\n".join(page.lines(whole)))


if __name__ == "__main__":
    main()
