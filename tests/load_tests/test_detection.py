"""What a run tells of a fault, and how the page says it."""

import msgspec
import pytest

from load_tests.faults import page, told
from load_tests.faults.data import FAULTY
from load_tests.faults.fault import Fault, values
from load_tests.faults.kinds_of_values import scaled
from load_tests.faults.page import Results, lines
from load_tests.faults.run import NO_FAULT, Null, heard, null, spoil, thin
from load_tests.faults.told import Finding, Said, compare
from tests.load_tests.made import form
from tidegauge.schemas.retraining import RetrainingRequest

TIMES_TEN = Fault("temp: x 10", values("temp", scaled(10)), "values", ("temp",), rescored=True)


# From Python 3.12 on a fork is warned of where threads run; these children use none of them.
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_fault_is_told_dated_and_over_and_its_twin_is_silent() -> None:
    made = form(rows=60)
    runs = [lambda: spoil(NO_FAULT, made, 0), lambda: spoil(TIMES_TEN, made, 0),
            lambda: thin(made, 0.5, 0)]  # fmt: skip
    twin, with_it, thinned = heard(made, runs, processes=2)
    found = compare(TIMES_TEN, made, 0, with_it, twin)
    assert (found.after, found.since, found.on_it) == (1, 0, True)
    assert "temp" in found.title and found.advice
    assert found.resolved is not None and 0 < found.resolved <= 20
    for both in (twin, with_it):  # what is told without the fault, too, is not told of it
        nothing = compare(NO_FAULT, made, 0, both, both)
        assert (nothing.after, nothing.series, nothing.asked) == (None, [], None)
    assert null(made, 0.5, 0, thinned).series == []


def test_a_request_from_before_the_fault_is_not_of_it() -> None:
    request = RetrainingRequest(
        model="m", version="1", incident="i", alert="a", reason="r",
        requested_ms=0, train_from_ms=0, train_to_ms=0, quiet_until_ms=0,
    )  # fmt: skip
    made = form(rows=2)
    asked = [
        told._asked(made, Said(requests=[(FAULTY.first + later, request)]), {"i"})  # noqa: SLF001 - what a finding rests on
        for later in (-0.5, 0.5)
    ]
    assert asked == [None, (-FAULTY.first, -FAULTY.first)]


def finding(**said: object) -> Finding:
    usual = {"fault": "temp: x 10", "part": "values", "form": "independent", "seed": 0}
    return Finding(**{"real": False, **usual, **said})  # type: ignore[arg-type]


RESULTS = Results(
    {"Tidegauge": "0.1.0"},
    [
        finding(after=3, title="flights@1: since 4 Mar 2013 17:35 UTC temp moved up, from 1 to 10",
                advice="Look at a | b.", since=0, on_it=True, asked=(0, 3), resolved=14),
        finding(seed=1, after=7, title="later", advice="other", since=3, on_it=False),
        finding(form="dependent"),
        finding(form="dependent", seed=1),
        finding(fault="silence", part="rows"),
        finding(fault="silence", part="rows", form="dependent"),
    ],
    [
        Null(form="by day", kept=1.0, seed=0, windows=80, incidents=1, series=["rank(x)"]),
        Null(form="by day", kept=0.1, seed=0, windows=45, incidents=1, series=["rows", "loss"]),
        Null(form="by day", kept=0.1, seed=1, windows=45, incidents=1, series=["rows"]),
    ],
)  # fmt: skip


def test_the_page_is_written_from_stored_results(tmp_path: object) -> None:
    stored = msgspec.json.decode(msgspec.json.encode(RESULTS), type=Results)
    text = "\n".join(lines(stored))
    assert (
        "| temp: x 10 | 3, 7 | not, not | temp moved up, from 1 to 10 | Look at a \\| b. "
        "| windows 0 to 3 |" in text
    )
    assert "| silence | not | not |  |  |  |" in text
    assert "| told | **2 of 3** | **0 of 3** |" in text
    assert "| within 3 windows | 1 | 0 |" in text
    assert "| largest series is of the spoilt column | 1 of 2 | 0 of 0 |" in text
    assert text.split("## Told by nothing")[1].strip().startswith("- silence\n")


def test_what_is_told_whenever_traffic_falls_is_no_false_alarm() -> None:
    text = "\n".join(lines(RESULTS))
    assert "| by day | 100% | 1 | 80 | 1 | 1.12 | rank(x) 1 |  |" in text
    assert "| by day | 10% | 2 | 90 | 2 | 1.00 | loss 1 | rows |" in text


def test_a_long_sentence_is_cut_between_words() -> None:
    cut = page.short("m@1: since 1 May 2013 UTC " + "word " * 60)
    assert len(cut) <= page.LONGEST and cut.endswith("word …")
