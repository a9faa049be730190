"""The demo as a newcomer runs it: all of it, and nothing left behind."""

import os
import subprocess
import sys


def test_the_demo_tells_the_drift_and_is_silent_on_shuffled_rows() -> None:
    clean = {k: v for k, v in os.environ.items() if k != "TIDEGAUGE_BROKERS"}
    command = [sys.executable, "-m", "tidegauge", "demo"]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=280, check=False,
        env=clean | {"COLUMNS": "200"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert "injected by this demo" in done.stdout
    assert "retrain  on rows from 9 Apr 2013 07:53 to 13 Apr 2013 02:47 UTC" in done.stdout
    assert "Nothing was told." in done.stdout
