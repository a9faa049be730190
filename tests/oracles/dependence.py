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


def variances(between: float, noise: list[float], floor: float) -> list[float]:
    """Return the variance of each window's value."""
    return [max(between + of_rows, floor**2) for of_rows in noise]


def standardised(
    values: list[float], between: float, noise: list[float], floor: float
) -> tuple[float, list[float]]:
    """Return the mean, each window weighted by its precision, and the deviations in sds."""
    v = variances(between, noise, floor)
    weights = math.fsum(1 / one for one in v)
    mean = math.fsum(value / one for value, one in zip(values, v, strict=True)) / weights
    return mean, [(value - mean) / math.sqrt(one) for value, one in zip(values, v, strict=True)]


def paule_mandel(values: list[float], noise: list[float], expected: float) -> float:
    """Return the variance between windows that gives the expected sum of squares, or nearly 0."""

    def squares(between: float) -> float:
        return math.fsum(z**2 for z in standardised(values, between, noise, 0.0)[1])

    low, high = 1e-20, 2e-20
    if squares(low) <= expected:
        return low
    while squares(high) > expected:
        high *= 2
    while high - low > 1e-13 * high:
        middle = (low + high) / 2
        low, high = (middle, high) if squares(middle) > expected else (low, middle)
    return high


def fit(
    values: list[float], rows: list[float], row_variance: float, floor: float
) -> dict[str, float]:
    """Return what a reference says, by the names of its fields."""
    n = len(values)
    noise = [row_variance / count for count in rows]
    weight, rho = 0.0, DECAYS[0]
    for _ in range(3):
        expected = n * (1 - variance_of_mean(n, weight, rho))
        between = paule_mandel(values, noise, expected)
        weight, rho = memory(standardised(values, between, noise, floor)[1])
    remainder = 1 - variance_of_mean(n, weight, rho)
    between = paule_mandel(values, noise, n * remainder)
    mean, z = standardised(values, between, noise, floor)
    clipped = [clip(value) for value in z]
    left = deviation(clipped) / deviation(z) if deviation(z) > 0 else 1.0
    return {
        "windows": n,
        "mean": mean,
        "between": math.sqrt(between),
        "row_variance": row_variance,
        "floor": floor,
        "typical": math.sqrt(n / math.fsum(1 / one for one in variances(between, noise, floor))),
        "weight": weight,
        "rho": rho,
        "centre": math.fsum(clipped) / n,
        "scale": left * math.sqrt(remainder / max(remainder, 0.4)),
        "extreme": max(abs(value) for value in z),
    }


def deviation(values: list[float]) -> float:
    """Return the standard deviation about the mean."""
    mean = math.fsum(values) / len(values)
    return math.sqrt(math.fsum((value - mean) ** 2 for value in values) / len(values))
