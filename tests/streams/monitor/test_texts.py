"""Texts as places in a buffer are those that were put in."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tidegauge.streams.monitor.intake.texts import Texts


@settings(derandomize=True, deadline=None)
@given(st.lists(st.text(max_size=6)))
def test_all_in_turn_are_those_that_are_asked_for_one_by_one(told: list[str]) -> None:
    texts = Texts.of(told)
    chosen = np.random.default_rng(len(told)).integers(0, max(len(told), 1), 2 * len(told))
    some = Texts(texts.buffer, texts.spans[chosen])  # in another order, some twice
    assert list(texts) == told
    assert (
        list(some) == [told[at] for at in chosen.tolist()] == [some[at] for at in range(len(some))]
    )
