"""The mixture e-detector from its formula: every sum over the whole history, again and again."""

import math

SHIFTS = (0.25, 1.0, 4.0, 16.0)


def threshold(false_alarms: float, horizon: float, windows: int) -> float:
    """Return the level of log E for a budget, given the windows of the reference."""
    return math.log(horizon / false_alarms) * (1 + 20 / windows)


def log_terms(history: list[float], variances: list[float], of_reference: float) -> list[float]:
    """Return the log of E's term for each length m = 1, 2, ...; variances[m - 1] is V0(m)."""
    terms = []
    for m in range(1, min(len(history), len(variances)) + 1):
        d = math.fsum(history[-m:]) / m
        v = variances[m - 1] + of_reference
        logs = [
            0.5 * math.log(v / (v + g)) + 0.5 * d * d * g / (v * (v + g)) + math.log(0.25)
            for g in SHIFTS
        ]
        terms.append(log_sum(logs))
    return terms


def log_sum(logs: list[float]) -> float:
    """Return the log of a sum, given the logs of its terms."""
    highest = max(logs)
    return highest + math.log(math.fsum(math.exp(value - highest) for value in logs))
