"""All kinds of faults, in the order of the page."""

from typing import Final

from load_tests.faults import kinds_of_outcomes, kinds_of_rows, kinds_of_values
from load_tests.faults.fault import Fault

FAULTS: Final[tuple[Fault, ...]] = (
    *kinds_of_values.FAULTS,
    *kinds_of_rows.FAULTS,
    *kinds_of_outcomes.FAULTS,
)
