"""Faults injected into real data, and what a monitor says of them."""

import os

# Two processes on two cores: threads of numpy's linear algebra would only wait for each other.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
