"""Columns are learned until something can be decided by what was learned."""

import msgspec
import pytest

from tests.streams.monitor.series.rows import COLUMN, KINDS, ROWS_OF_MODEL, SPEC, USUAL, block
from tidegauge.schemas.monitors import ReferenceSpec
from tidegauge.streams.monitor.series.view import Numbers, Pairs, View
from tidegauge.streams.monitor.verdict.input_cohort import InputCohort
from tidegauge.streams.monitor.verdict.monitor import Monitor
from tidegauge.streams.monitor.verdict.outcome_cohort import OutcomeCohort


@pytest.mark.parametrize("reads", [Numbers, Pairs])
def test_a_window_in_which_a_column_has_no_row_is_none_of_its_reference(reads: type[View]) -> None:
    spec = msgspec.structs.replace(SPEC, reference=ReferenceSpec(windows=3))
    cohort = (
        InputCohort(spec, 0.2, 1.0, [COLUMN], [], None)
        if reads is Numbers
        else OutcomeCohort(spec, 0.1, 1.0, None)
    )
    monitor = Monitor(ROWS_OF_MODEL, spec, spec.windows, [cohort])
    monitor.fold(block(KINDS[reads], *[(20, USUAL)] * 2))
    monitor.begin(monitor.bounds)  # as where a column comes up: of the window no row is left
    monitor.close()
    monitor.fold(block(KINDS[reads], *[(20, USUAL)] * 2, first=3))
    assert (cohort.gathered, cohort.watch) == (2, None)
    monitor.fold(block(KINDS[reads], *[(20, USUAL)] * 2, first=5))
    assert cohort.watch is not None
    assert (cohort.gathered, cohort.reference_windows) == (3, 3)
