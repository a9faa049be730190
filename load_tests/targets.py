"""What is aimed at, in one table, and how what was measured stands to it."""

from collections.abc import Mapping
from typing import Final, Literal, NamedTuple


class Target(NamedTuple):
    """A bound of one figure."""

    figure: str
    bound: float
    side: Literal["≥", "≤"] = "≥"
    unit: str = ""


TARGETS: Final = (
    Target("single rows / bare aiokafka + orjson", 2.0),
    Target("single rows / plain Faust + River", 40.0),
    Target("JSON frames / plain Faust + River", 100.0),
    Target("Arrow frames / plain Faust + River", 200.0),
    Target("1,000 models interleaved / one model", 0.33),
    Target("all series / the defaults", 0.5),
    Target("three slices / the defaults", 0.5),
    Target("latency at half of the maximum rate, p99", 40.0, "≤", " ms"),
    Target("memory of a waiting prediction", 100.0, "≤", " B"),
)


class Verdict(NamedTuple):
    """A target, what was measured, and whether that reaches it."""

    target: Target
    value: float | None
    reached: bool

    def __str__(self) -> str:
        """Return it as people read it.

        >>> print(verdicts({"single rows / bare aiokafka + orjson": 1.5})[0])
        single rows / bare aiokafka + orjson: 1.5, target ≥ 2: MISSED by 25%
        """
        figure, bound, side, unit = self.target
        aim = f"target {side} {bound:g}{unit}"
        if self.value is None:
            return f"{figure}: not measured, {aim}: MISSED"
        word = "reached" if self.reached else f"MISSED by {abs(self.value / bound - 1):.0%}"
        return f"{figure}: {self.value:.3g}{unit}, {aim}: {word}"


def verdicts(figures: Mapping[str, float]) -> list[Verdict]:
    """Return how each target stands; one that was not measured is missed."""
    found = []
    for target in TARGETS:
        value = figures.get(target.figure)
        above = value is not None and (
            value >= target.bound if target.side == "≥" else value <= target.bound
        )
        found.append(Verdict(target, value, above))
    return found
