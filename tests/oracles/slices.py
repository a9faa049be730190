"""What a window has of each slice: all rows are gone through once more for each of them."""

import math
from collections.abc import Sequence


def add_up(
    slots: Sequence[Sequence[int]],
    ranks: Sequence[Sequence[float]],
    values: Sequence[Sequence[float]],
    codes: Sequence[Sequence[int]],
    slices: int,
) -> tuple[list[int], list[list[int]], list[list[float]]]:
    """Return rows, values that are there, and the sums of ranks, of their squares and of values."""
    rows, known, sums = list[int](), list[list[int]](), list[list[float]]()
    for own in range(slices):
        among = [at for at, places in enumerate(slots) if own in places]
        rows.append(len(among))
        numbers = range(len(ranks[0]) if ranks else 0)
        there = [[at for at in among if not math.isnan(values[at][column])] for column in numbers]
        texts = range(len(codes[0]) if codes else 0)
        known.append(
            [len(column) for column in there]
            + [sum(codes[at][column] >= 0 for at in among) for column in texts]
        )
        sums.append(
            [math.fsum(ranks[at][column] for at in there[column]) for column in numbers]
            + [math.fsum(ranks[at][column] ** 2 for at in there[column]) for column in numbers]
            + [math.fsum(values[at][column] for at in there[column]) for column in numbers]
        )
    return rows, known, sums


def in_common(
    slots: Sequence[Sequence[int]], losses: Sequence[float], one: int, other: int
) -> list[float]:
    """Return how many pairs two slices have in common, and the sums of losses and their squares."""
    own = [
        loss
        for places, loss in zip(slots, losses, strict=True)
        if one in places and other in places and not math.isnan(loss)
    ]
    return [len(own), math.fsum(own), math.fsum(loss * loss for loss in own)]
