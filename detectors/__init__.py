"""Online algorithms on arrays: rows of many series in, findings out; no clock, disk or network."""
