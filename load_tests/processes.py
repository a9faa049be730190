"""Contenders as processes: started, watched for what they use, and always ended."""

import contextlib
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from typing import IO, Final

import numpy as np
import psutil

SAMPLE_S: Final = 0.02
END_WITHIN_S: Final = 15.0


class QuietError(Exception):
    """A contender has ended, says nothing any more, or says that it cannot read its rows."""


class Contender:
    """A running process and what it said.

    Attributes
    ----------
    process
        As ``subprocess`` has it; standard output is a pipe.
    """

    def __init__(self, command: tuple[str, ...], said: IO[str]) -> None:
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=said, text=True)
        self._said = said

    @property
    def last_words(self) -> str:
        """Return the end of its standard error."""
        self._said.seek(0)
        return self._said.read()[-1500:]

    def end(self) -> None:
        """End it, by force where it does not listen."""
        self.process.terminate()
        try:
            self.process.communicate(timeout=END_WITHIN_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.communicate()


@contextlib.contextmanager
def running(*command: str) -> Iterator[Contender]:
    """Run a command for the length of a ``with`` block."""
    with tempfile.TemporaryFile("w+") as said:
        contender = Contender(command, said)
        try:
            yield contender
        finally:
            contender.end()


def python(module: str, *words: str) -> tuple[str, ...]:
    """Return the command that runs a module with this interpreter."""
    return (sys.executable, "-m", module, *words)


class CpuClock(threading.Thread):
    """Samples the processor time of a process and its children, against the wall clock."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self._root = psutil.Process(pid)
        self._times_s: list[float] = []
        self._used_s: list[float] = []
        self._over = threading.Event()

    def run(self) -> None:
        """Take samples until told to stop, or the process is gone."""
        with contextlib.suppress(psutil.NoSuchProcess):
            while not self._over.wait(SAMPLE_S):
                family = [self._root, *self._root.children(recursive=True)]
                self._used_s.append(sum(sum(p.cpu_times()[:2]) for p in family))
                self._times_s.append(time.time())

    def stop(self) -> None:
        """End the thread."""
        self._over.set()
        self.join()

    def used_s(self, begun_s: float, ended_s: float) -> float:
        """Return the seconds of processor time used between two times of day."""
        before, after = np.interp([begun_s, ended_s], self._times_s, self._used_s)
        return float(after - before)
