"""Checks between columns: what the language is, what it says of rows, and how it is told."""

from typing import Any

import msgspec
import numpy as np
import pytest

from tests.streams.monitor.driver import Driver, published
from tests.streams.monitor.logs import NOON_MS, frame, row
from tests.streams.monitor.traffic import REFERENCE, SPEC, Rows, share, traffic
from tidegauge.schemas.monitors import FeatureSpec
from tidegauge.streams.monitor.intake.block import NO_IDS, Block
from tidegauge.streams.monitor.intake.dictionary import Dictionary
from tidegauge.streams.monitor.offline import LoggedRecord
from tidegauge.streams.monitor.series import check
from tidegauge.streams.monitor.series.checked import Check, Checked
from tidegauge.streams.monitor.series.expression import Expression

NAN = np.nan
HOLDS, BREAKS, SAYS_NOTHING = "+", "-", "."


def block() -> Block:
    """Return five rows: numbers a, b and a-b, texts c and d."""
    numbers = np.array(
        [[1.0, 2.0, 9.0], [2.0, 2.0, 0.0], [3.0, 0.0, 0.0], [NAN, 1.0, 0.0], [-1.0, NAN, 0.0]]
    )
    dictionaries = Dictionary(), Dictionary()
    texts = ["DE", "FR", "DE", None, "PL"], ["DE", "DE", "AA", "FR", None]
    pairs = zip(dictionaries, texts, strict=True)
    codes = np.stack([own.encode(values) for own, values in pairs], axis=1)
    at = np.arange(5)
    return Block(at, at, NO_IDS, numbers, ("a", "b", "a-b"), codes, ("c", "d"), dictionaries)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("b >= a", "++-.."),
        ("a < b", "+--.."),
        ("a == b or a > b", "-++.."),
        ("not a == b and a != 3", "+--.."),
        ("0 < a < 3", "++-.-"),
        ("a + b * 2 - 1 <= 5", "+++.."),
        ("a / b > 0.7", "-+..."),  # of the third row it cannot be said
        ("abs(a) == 1", "+--.+"),
        ("-a < 0", "+++.-"),
        ("a in [1, 2]", "++-.-"),
        ("a not in (1, 2)", "--+.+"),
        ("c == 'DE'", "+-+.-"),
        ("'DE' == c", "+-+.-"),
        ("c != d", "-++.."),
        ("c >= d", "+++.."),
        ("c < 'FR'", "+-+.-"),
        ("c in ['DE', 'FR']", "+++.-"),
        ("d not in ['DE']", "--++."),
        ("a is missing", "---+-"),
        ("a is not missing", "+++-+"),
        ("a is missing or b is missing", "---++"),
        ("b is missing or b > 0", "++-+."),
        ("`a-b` > 0", "+----"),
        ("(a > 1 or\n`a-b` > 0)", "+++.-"),  # a break between lines changes no place
        ("gone > 0", "....."),
        ("gone == 'x'", "....."),
        ("gone is missing", "+++++"),
        ("c > 0", "....."),  # a text where it asks for a number
        ("a == c", "....."),
    ],
)
def test_what_a_check_says_of_each_row(text: str, found: str) -> None:
    view = Checked({text: Check(text)}, block())
    series = check.Check()
    pairs = zip(series.hits(view)[:, 0].tolist(), series.among(view)[:, 0].tolist(), strict=True)
    told = [BREAKS if hit else HOLDS if counts else SAYS_NOTHING for hit, counts in pairs]
    assert "".join(told) == found


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "expected a comparison such as end >= start, got invalid syntax at character 1"),
        ("a >", "expected a comparison such as end >= start, got invalid syntax at character 4"),
        ("a + b", "expected a comparison such as end >= start, got 'a + b' at character 1"),
        ("a", "expected a comparison such as end >= start, got 'a' at character 1"),
        ("a > 0 and b", "expected a comparison such as end >= start, got 'b' at character 11"),
        ("a > 'x' + 1", "expected a number, got \"'x'\" at character 5"),
        ("a > 0 or a == 'x'", "expected a number, got \"'x'\" at character 15"),
        ("a ** 2 > 1", "expected a comparison such as end >= start, got 'a ** 2' at character 1"),
        ("a.b > 1", "expected a comparison such as end >= start, got 'a.b' at character 1"),
        ("a[0] > 1", "expected a comparison such as end >= start, got 'a[0]' at character 1"),
        ("(lambda: 1)() > a", "expected abs as the only function, got '(lambda: 1)()' at"),
        ("__import__('os') > a", "expected abs as the only function, got"),
        ("abs(a, b) > 1", "expected abs as the only function, got 'abs(a, b)' at character 1"),
        ("a in b", "expected a list such as ['DE', 'FR'], got 'b' at character 6"),
        ("a in [1, 'x']", "expected a number, got \"'x'\" at character 10"),
        ("a in []", "expected a list such as ['DE', 'FR'], got '[]' at character 6"),
        ("a is None", "expected missing after is, got 'None' at character 6"),
        ("1 is missing", "expected a column before is missing, got '1' at character 1"),
        ("(a > 1) == (b > 1)", "expected a column, a number or a text, got 'a > 1'"),
        ("1 < 2", "expected a comparison such as end >= start, got no column in '1 < 2'"),
        ("a > 1e101", "expected a comparison such as end >= start, got '1e101' at character 5"),
        ("not " * 25 + "a > 1", "expected at most 20 levels, got 'not not not not not a > 1'"),
        ("größe > 0 und", "got invalid syntax at character 11"),
        (
            "`größe-x` > [1]",
            "expected a comparison such as end >= start, got '[1]' at character 13",
        ),
        ("a > 0\0", "expected a comparison such as end >= start, got source code"),
        ("(" * 100 + "a", "was never closed"),
    ],
)
@pytest.mark.filterwarnings("ignore:.*is.* with:SyntaxWarning")
def test_what_is_no_check_is_refused_with_its_place(text: str, told: str) -> None:
    with pytest.raises(ValueError) as caught:
        Expression(text)
    assert told in str(caught.value)


def test_examples_have_the_values_of_all_columns_and_the_offset() -> None:
    text = "b >= a and c != 'PL'"
    view = Checked({text: Check(text)}, block())
    assert list(view.named(0, np.array([False, False, True, True, False]))) == [
        "offset 2: b 0, a 3, c DE",
        "offset 3: b 1, a missing, c missing",
    ]


def checking(*checks: str, **fields: Any) -> Any:
    return msgspec.structs.replace(SPEC, checks=list(checks), **fields)


def swapped(rows: Rows, rng: np.random.Generator) -> None:
    """Let some ages lie beyond what goes with a country."""
    rows.age[share(rng, 0.3)] = 17


def test_rows_that_break_a_check_are_told_at_once_with_values_and_offsets() -> None:
    spec = checking("age >= 18 or country == 'PL'", "amount < 500")
    stream = traffic(1, spec).send(REFERENCE + 10)
    assert stream.alerts() == []
    alert = stream.send(1, swapped).alerts()[0]
    (told,) = [alarm for alarm in alert["series"] if alarm["statistic"] == "check"]
    assert told["series"] == "check(age >= 18 or country == 'PL')"
    assert (told["detector"], alert["kind"]) == ("blatant", "quality")
    began = f"of rows break the check age >= 18 or country == 'PL' (offset {REFERENCE + 10}: age 17"
    assert began in alert["title"]
    assert stream.reports()[-1]["series"]["check(amount < 500)"]["value"] == 0.0


def test_a_check_that_the_columns_do_not_fit_is_among_what_is_not_watched() -> None:
    stream = traffic(1, checking("country > 5", "amount > 0", "gone > 0")).send(3)
    assert stream.reports()[-1]["not_watched"] == ["check(country > 5)", "check(gone > 0)"]


def test_a_check_may_name_the_score() -> None:
    stream = traffic(1, checking("score <= 0.2")).send(3)
    assert "rows break the check score <= 0.2 (offset 0: score 0." in stream.alerts()[0]["title"]


def told_of_a_log(batch: int) -> tuple[list[Any], list[Any]]:
    """Return the alerts and reports of a log of rows and a frame, folded in batches."""
    rng, values = np.random.default_rng(3), []
    for n in range(3000):
        features = {"x": int(rng.integers(20)), "c": str(rng.choice(["DE", "FR"]))}
        if n >= 1500 and n % 7 == 0:
            features |= {"x": -n % 5 - 1, "c": f"new{n % 90}"}
        values.append(row("m", f"r{n}", NOON_MS + n, features, 0.5))
    values = [*values[:2000], frame(values[2000:2400]), *values[2400:]]
    limits = {"x": {"min": 0, "required": True}, "c": {"pattern": "[A-Z]{2}"}}
    spec = checking("x >= 0 or c == 'DE'", features=msgspec.convert(limits, dict[str, FeatureSpec]))
    driver = Driver({"m": spec})
    records = [LoggedRecord(n, NOON_MS, b"m", value) for n, value in enumerate(values)]
    for start in range(0, len(records), batch):
        driver.fold("predictions", records[start : start + batch])
    return published(driver.outputs, "alerts"), published(driver.outputs, "windows")


def test_what_breaks_rules_is_the_same_wherever_the_log_is_cut_into_batches() -> None:
    alerts, reports = told_of_a_log(10_000)
    told = {alarm["statistic"] for alert in alerts for alarm in alert["series"]}
    assert {"limit", "check"} <= told
    for batch in (1, 97):
        assert told_of_a_log(batch) == (alerts, reports)
