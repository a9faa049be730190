"""Least shifts worth an alert: what a spec says in a column's own unit, made that of a series."""

from tidegauge.schemas.monitors import EffectSpec
from tidegauge.schemas.references import NumericProfile, SeriesProfile
from tidegauge.streams.monitor.series.base import Series


def least_effect(
    said: EffectSpec,
    series: Series,
    column: str,
    profile: SeriesProfile,
    numeric: NumericProfile | None,
    usual: float,
) -> float:
    """Return the least shift of a series that is told, in standard deviations of its rows.

    Parameters
    ----------
    said
        What the spec says.
    series, column
        Which one it is; the column is empty where it has none.
    profile
        What the reference says of the series.
    numeric
        What it says of the column, where that is a number.
    usual
        What holds where the spec says nothing of it.
    """
    gate = said.of(column or series.statistic)
    if gate is None:
        return usual
    usual = gate.sd or usual
    if series.is_share:
        return usual if gate.share is None else gate.share / profile.sd
    if gate.absolute is None:
        return usual
    return series.moved(gate.absolute, numeric, usual * profile.sd) / profile.sd
