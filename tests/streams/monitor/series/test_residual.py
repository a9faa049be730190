"""What the distance from what other features say tells, and nothing else does."""

import numpy as np
import pytest

from tests.streams.monitor.driver import SETTINGS
from tests.streams.monitor.traffic import REFERENCE, ROWS, Rows, traffic
from tidegauge.streams.monitor.partition import Partition


def aged(rows: Rows, rng: np.random.Generator) -> None:
    """Let a number follow from another, and the score from both."""
    rows.age = np.round((rows.amount + rng.normal(0, 4, ROWS)).astype(float), 3).astype(object)
    score = (rows.amount + rows.age).astype(float) / 200 + rng.normal(0, 0.03, ROWS)
    rows.score = np.round(np.clip(score, 0, 1), 4).astype(object)


def of_other_rows(rows: Rows, rng: np.random.Generator) -> None:
    """Let a number be that of another row: its distribution is what it was."""
    rows.age = rng.permutation(rows.age)


def scored_by_nobody(rows: Rows, rng: np.random.Generator) -> None:
    """Let scores be those of other rows."""
    rows.score = rng.permutation(rows.score)


def test_values_of_other_rows_are_told_of_the_number_and_of_what_goes_with_it() -> None:
    stream = traffic(1).send(REFERENCE + 30, aged)
    assert stream.alerts() == []
    stream.send(20, aged, of_other_rows)
    first, *_ = stream.alerts()
    assert (first["kind"], first["cause"]) == ("quality", "mismatched")
    title, advice = first["title"], first["advice"]
    assert "age, amount look like those of different rows or times" in title
    assert "and amount lies 38% of all ranks from what the others say of it (reference" in title
    assert "the join, the cache or the lag of what fills age, amount" in advice
    told = {alarm["series"] for alert in stream.alerts() for alarm in alert["series"]}
    assert told >= {"residual(age)", "residual(amount)"}  # nothing says which is of another row
    assert {name.partition("(")[0] for name in told} == {"residual"}


def test_scores_of_other_rows_are_told_although_no_label_comes() -> None:
    stream = traffic(1).send(REFERENCE + 5, aged).send(20, aged, scored_by_nobody)
    (alert,) = [alert for alert in stream.alerts() if alert["revision"] == 1]
    assert [alarm["series"] for alarm in alert["series"]] == ["residual(score)"]
    assert "whether scores and features are of the same request" in alert["advice"]


def by_country(rows: Rows, rng: np.random.Generator) -> None:
    """Let a number follow from a category."""
    rows.amount = rows.amount + np.where(rows.country == "DE", 40, 0)


def of_other_countries(rows: Rows, rng: np.random.Generator) -> None:
    """Let the category be that of another row."""
    rows.country = rng.permutation(rows.country)


def test_a_category_of_other_rows_is_told_by_the_number_that_follows_from_it() -> None:
    stream = traffic(3).send(REFERENCE + 30, by_country)
    assert stream.alerts() == []
    stream.send(20, by_country, of_other_countries)
    (alert,) = stream.alerts()
    assert [alarm["series"] for alarm in alert["series"]] == ["residual(amount)"]


def test_what_was_learned_of_relations_is_the_same_over_a_restart() -> None:
    stream = traffic(3).send(REFERENCE - 5, by_country)
    partition = stream.log.partition
    stream.log.partition = Partition.restore(0, SETTINGS, partition.snapshot())
    stream.send(30, by_country).send(20, by_country, of_other_countries)
    other = traffic(3).send(REFERENCE + 25, by_country).send(20, by_country, of_other_countries)
    assert stream.alerts() == other.alerts() != []
    assert stream.reports()[-1] == other.reports()[-1]


@pytest.mark.parametrize("seed", [1, 2])
def test_columns_that_follow_from_nothing_have_no_such_series(seed: int) -> None:
    series = traffic(seed).send(REFERENCE + 2).reports()[-1]["series"]
    assert [name for name in series if name.startswith("residual")] == []
