"""What the spread of a number tells, and nothing else does."""

import numpy as np

from tests.streams.monitor.traffic import REFERENCE, Rows, traffic


def variance_doubled(rows: Rows, rng: np.random.Generator) -> None:
    """Double the variance of a number and leave its median."""
    rows.amount = 50 + (rows.amount - 50) * 2**0.5


def test_a_number_whose_variance_doubles_around_the_same_median_is_told() -> None:
    stream = traffic(1).send(REFERENCE + 20)
    assert stream.alerts() == []
    stream.send(30, variance_doubled)
    (alert,) = [alert for alert in stream.alerts() if alert["revision"] == 1]
    stream.send(40)
    (told,) = alert["series"]
    assert (told["series"], told["direction"], alert["kind"]) == ("spread(amount)", "up", "drift")
    assert "amount lies farther apart around its middle, 0.3" in alert["title"]
    assert alert["advice"].startswith("Look for what has changed amount since ")
    over = stream.alerts()[-1]
    assert over["status"] == "resolved"
    assert "m: spread of amount" in over["title"]
