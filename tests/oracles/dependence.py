"""The model of a reference's windows from its definition: sums written out, one after another."""

import math

DECAYS = (0.3, 0.5, 0.7, 0.8, 0.88, 0.93, 0.96)


def variance_of_mean(windows: int, weight: float, rho: float) -> float:
    """Return the variance of a mean as the mean of all covariances, in units of the variance."""
    total = 0.0
    for i in range(windows):
        for j in range(windows):
            total += 1.0 if i == j else weight * rho ** abs(i - j)
    return total / windows**2


def autocorrelations(values: list[float]) -> list[float]:
    """Return c_k / c_0 N / (N - k) for the lags k = 1, 2, ... up to min(N / 4, 14)."""
    n = len(values)
    mean = math.fsum(values) / n
    c = [
        math.fsum((values[i] - mean) * (values[i - k] - mean) for i in range(k, n)) / n
        for k in range(min(n // 4, 14) + 1)
    ]
    return [c[k] / c[0] * n / (n - k) if c[0] > 0 else 0.0 for k in range(1, len(c))]


def memory(values: list[float]) -> tuple[float, float]:
    """Return weight and rho of a reference that is not constant."""
    n = len(values)
    raw = autocorrelations(values)
    if not raw or max(values) == min(values):
        return 0.0, DECAYS[0]
    bias = 1 / n
    for _ in range(3):
        r = [value * (1 - bias) + bias for value in raw]
        fits = []
        for rho in DECAYS:
            model = [rho ** (k + 1) for k in range(len(r))]
            best = sum(a * b for a, b in zip(r, model, strict=True)) / sum(b * b for b in model)
            weight = min(max(best, 0.0), 1.0)
            misfit = sum((a - weight * b) ** 2 for a, b in zip(r, model, strict=True))
            fits.append((round(misfit, 12), rho, weight))
        _, rho, weight = min(fits)
        bias = min(variance_of_mean(n, weight, rho), 0.6)
    total, least = sum(r[:3]), 2 * math.sqrt(3 / n)
    if total < least:
        weight *= (max(total, 0.0) / least) ** 2
    return weight, rho


def clip(value: float) -> float:
    """Return the value within -3 to 3."""
    return min(max(value, -3.0), 3.0)


def fit(values: list[float], floor: float) -> dict[str, float]:
    """Return what a reference says, by the names of its fields."""
    n = len(values)
    mean = math.fsum(values) / n
    weight, rho = memory(values)
    remainder = 1 - variance_of_mean(n, weight, rho)
    variance = math.fsum((value - mean) ** 2 for value in values) / n
    sd = max(math.sqrt(variance / remainder), floor)
    z = [clip((value - mean) / sd) for value in values]
    centre = math.fsum(z) / n
    spread = math.sqrt(math.fsum((value - centre) ** 2 for value in z) / n)
    scale = min(1.0, max(spread / math.sqrt(max(remainder, 0.4)), floor / sd))
    extreme = max(abs(value - mean) / sd for value in values)
    return {
        "windows": n,
        "mean": mean,
        "sd": sd,
        "weight": weight,
        "rho": rho,
        "centre": centre,
        "scale": scale,
        "extreme": extreme,
    }
