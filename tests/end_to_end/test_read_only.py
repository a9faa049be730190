"""A worker where nothing can be written: neither to a cache nor to a directory for the moment."""

import subprocess
import sys
from pathlib import Path

from tests.end_to_end.workers import HELD, until

# Root may write anywhere, so what looks for a place to write to is told that there is none.
NOWHERE = """
import sys, tempfile
from numba.core import caching

def refuse(*_):
    raise OSError(30, "Read-only file system")

caching._CacheLocator.ensure_cache_path = tempfile._get_default_tempdir = refuse
tempfile.tempdir = None
from tidegauge.streams.cli import main
main()
"""
HINT = "Nowhere to keep compiled kernels"


def test_a_worker_starts_where_nothing_can_be_written(
    brokers: str, prefix: str, topics: object, tmp_path: Path
) -> None:
    log = tmp_path / "worker.log"
    command = [sys.executable, "-c", NOWHERE, "worker", "--brokers", brokers, "--prefix", prefix]
    with log.open("wb") as output:
        worker = subprocess.Popen(command, cwd=tmp_path, stdout=output, stderr=output)
    try:
        until(lambda: bool(HELD.search(log.read_text())), log.read_text)
        worker.terminate()
        assert worker.wait(30) == 0, log.read_text()
    finally:
        worker.kill()
    assert log.read_text().count(HINT) == 1
    assert "NUMBA_CACHE_DIR" in log.read_text()
    assert list(tmp_path.iterdir()) == [log]
