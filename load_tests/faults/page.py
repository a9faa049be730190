"""The page of the docs: written anew from the results of a run.

python -m load_tests.faults.page RESULTS.json
"""

import re
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

import msgspec

from load_tests.faults.data import BUDGET, FAULTY, REFERENCE, ROWS, WINDOWS
from load_tests.faults.run import Null
from load_tests.faults.told import Finding

PAGE: Final = Path(__file__).parents[2] / "docs" / "detection.md"
SOON: Final = 3  # windows
HELD_BACK: Final = "diamonds"
LONGEST: Final = 110  # characters of a sentence in a table
PARTS: Final = {
    "values": "Values of features",
    "scores": "Scores",
    "rows": "Rows, ids, clocks",
    "labels": "Labels, and worlds that change",
}

HOW: Final = f"""\
# What is told of which fault

`make faults` injects faults into real data, asks the monitor what it sees, and writes this page;
`make faults-quick` does less of it and writes nothing.

## How it is measured

- The data are the flights of the demo: a year of departures from New York with the weather, and a
  model that says how likely a flight is late. Labels come when a flight has landed.
- **Independent**: the rows of the year are dealt anew over its times; windows of {ROWS} rows.
  **Dependent**: the weeks of the year are dealt anew: days depend on each other as they do, and the
  seasons are gone; windows of a day, some 930 rows.
- The first {REFERENCE} windows are the reference. The fault begins {FAULTY.first - REFERENCE}
  windows later and lasts {FAULTY.last - FAULTY.first}; {WINDOWS - FAULTY.last} more follow. A spec
  of windows, reference and budget, and nothing else: {BUDGET.count:g} false alarm in
  {BUDGET.windows} windows.
- **Declared**: the independent form with a spec that also says what its rows keep for certain.
  **Sliced**: the dependent form with a spec that names slices by origin and carrier, and faults of
  one of these.
- A fault is told when a series is told in these {FAULTY.last - FAULTY.first} windows that the same
  run without the fault does not tell. *After 1* is at the end of the first window that has it; a
  number stands for each run.
- The model scores the rows as they are with the fault, but where it says "in the log only".
- Messages go through the worker's core, without a broker; the same log gives the same alerts.
"""


class Results(msgspec.Struct, frozen=True):
    """All that one run found."""

    facts: dict[str, str]  # version, machine, duration
    findings: list[Finding]
    nulls: list[Null]


def lines(results: Results) -> Iterator[str]:
    """Yield the page's lines."""
    yield HOW
    yield from (f"- {name}: {fact}" for name, fact in results.facts.items())
    yield "\n## In numbers\n"
    yield from _totals(results.findings)
    ours = [found for found in results.findings if found.form != HELD_BACK]
    for part, title in PARTS.items():
        yield f"\n## {title}\n"
        yield from _faults([found for found in ours if found.part == part])
    yield "\n## Told by nothing\n"
    yield from _untold(ours)
    yield "\n## A set that nothing was tuned on\n"
    yield from _held_back([found for found in results.findings if found.form == HELD_BACK])
    yield "\n## Where nothing is wrong\n"
    yield from _nulls(results.nulls)


def _totals(findings: Sequence[Finding]) -> Iterator[str]:
    forms = list(dict.fromkeys(found.form for found in findings))
    by_form = [[found for found in findings if found.form == form] for form in forms]
    told = [[found for found in of_form if found.after is not None] for of_form in by_form]
    yield f"| | {' | '.join(forms)} |"
    yield f"|---|{'---|' * len(forms)}"

    def row(name: str, counts: Iterable[str]) -> str:
        return f"| {name} | {' | '.join(counts)} |"

    yield row("told", (f"**{len(t)} of {len(f)}**" for t, f in zip(told, by_form, strict=True)))
    yield row(f"within {SOON} windows", (str(sum((f.after or 0) <= SOON for f in t)) for t in told))
    yield row(
        "largest series is of the spoilt column", (_share(t, lambda f: f.on_it) for t in told)
    )
    yield row("begin told within a window", (_share(t, _dated) for t in told))
    yield row("told as one incident", (_share(t, lambda f: f.incidents == 1) for t in told))
    yield row(
        "resolved when the run ends", (_share(t, lambda f: f.resolved is not None) for t in told)
    )
    broken = [[found for found in t if not found.real] for t in told]
    real = [[found for found in t if found.real] for t in told]
    yield row("something is broken, and retraining is asked for", map(_asking, broken))
    yield row("the world has changed, and retraining is asked for", map(_asking, real))


def _share(found: Sequence[Finding], holds: Callable[[Finding], bool | None]) -> str:
    known = [said for one in found if (said := holds(one)) is not None]
    return f"{sum(known)} of {len(known)}"


def _dated(found: Finding) -> bool | None:
    return None if found.since is None else abs(found.since) <= 1


def _asking(found: Sequence[Finding]) -> str:
    return _share(found, lambda one: one.asked is not None)


def _faults(findings: Sequence[Finding]) -> Iterator[str]:
    forms = list(dict.fromkeys(found.form for found in findings))
    heads = ["fault", *(f"{form}: after" for form in forms)]
    yield f"| {' | '.join(heads)} | named as | advised | asks to retrain on |"
    yield f"|---|{'---|' * len(forms)}---|---|---|"
    for name in dict.fromkeys(found.fault for found in findings):
        of_fault = [found for found in findings if found.fault == name]
        after = [_after([f for f in of_fault if f.form == form]) for form in forms]
        told = next((found for found in of_fault if found.after is not None), None)
        cells = [name, *after, *(_words(told) if told else ("", "", ""))]
        yield f"| {' | '.join(cells)} |"


def _after(found: Sequence[Finding]) -> str:
    return ", ".join("not" if one.after is None else str(one.after) for one in found)


def _words(told: Finding) -> tuple[str, str, str]:
    asks = "" if told.asked is None else f"windows {told.asked[0]} to {told.asked[1]}"
    return short(told.title), short(told.advice), asks


def short(sentence: str) -> str:
    """Return what a title or an advice says, without model and date, cut to fit a table.

    >>> short("flights@1: since 4 Mar 2013 17:35 UTC temp moved up, from 57.0 to 82.9 on average")
    'temp moved up, from 57.0 to 82.9 on average'
    """
    said = re.sub(r"^\S+: (since .*? UTC )?", "", sentence).replace("|", r"\|")
    return said if len(said) <= LONGEST else said[: LONGEST - 1].rsplit(" ", 1)[0] + " …"


def _untold(findings: Sequence[Finding]) -> Iterator[str]:
    told = {found.fault for found in findings if found.after is not None}
    names = [name for name in dict.fromkeys(f.fault for f in findings) if name not in told]
    yield from (f"- {name}" for name in names)
    if not names:
        yield "Every fault is told in one run at least."


def _held_back(findings: Sequence[Finding]) -> Iterator[str]:
    if not findings:
        yield "Left out: the package plotnine, which has the diamonds, was not installed."
        return
    yield (
        "Diamonds (plotnine, MIT), dealt anew: windows of 300, a model that tells the price, which "
        "comes half an hour later. Watched in the same way.\n"
    )
    yield from _faults(findings)


def _nulls(nulls: Sequence[Null]) -> Iterator[str]:
    per = f"series in {BUDGET.windows} windows"
    yield (
        f"Promised: {BUDGET.count:g} false alarm of a series in {BUDGET.windows} windows. Where "
        "fewer rows come, series that are told in every run tell of that; they are not counted.\n"
    )
    yield f"| form | rows that come | runs | windows | incidents | {per} | which | in every run |"
    yield "|---|---|---|---|---|---|---|---|"
    for form, kept in dict.fromkeys((null.form, null.kept) for null in nulls):
        runs = [null for null in nulls if (null.form, null.kept) == (form, kept)]
        windows = sum(null.windows for null in runs)
        told = Counter(series for null in runs for series in null.series)
        always = [s for s in told if kept < 1 and all(s in null.series for null in runs)]
        for series in always:
            del told[series]
        which = ", ".join(f"{series} {count}" for series, count in told.most_common(5))
        yield (
            f"| {form} | {kept:.0%} | {len(runs)} | {windows:,} "
            f"| {sum(null.incidents for null in runs)} "
            f"| {BUDGET.windows * told.total() / windows:.2f} | {which} | {', '.join(always)} |"
        )


def write(results: Results, page: Path = PAGE) -> None:
    """Write the page."""
    page.write_text("\n".join(lines(results)) + "\n", encoding="utf-8")


if __name__ == "__main__":
    write(msgspec.json.decode(Path(sys.argv[1]).read_bytes(), type=Results))
