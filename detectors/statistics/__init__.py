"""Statistics of rows and of windows, as arrays: what the detectors' verdicts rest on."""
