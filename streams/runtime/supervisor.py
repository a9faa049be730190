"""Run one command and end it when whoever asked for it is gone.

Started by `streams.runtime.broker` as a script of its own, so it uses only the standard library.
Its standard input is a pipe that nobody else writes to: the kernel closes it even when the parent
died of ``kill -9``, and that end of file is the signal to stop.
"""

import contextlib
import select
import shutil
import subprocess
import sys
from pathlib import Path

GRACE_S = 5.0
POLL_S = 0.1
# What a living parent says before it closes the pipe; it looks after its files itself.
STOP = b"stop"
KILL = b"kill"


def main(log: str, temporary: str, command: list[str]) -> int:
    """Run ``command`` with its output in ``log``, return its exit code as a shell does.

    The directory ``temporary`` ("" for none) is removed if the parent went without a word.
    """
    with Path(log).open("ab") as output:
        child = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
        )
    while not select.select([sys.stdin], [], [], POLL_S)[0]:
        if child.poll() is not None:
            return _exit_code(child)
    last_words = sys.stdin.buffer.read()
    if last_words != KILL:
        child.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(GRACE_S)
    child.kill()  # does nothing where it has ended
    child.wait()
    if temporary and not last_words:
        shutil.rmtree(temporary, ignore_errors=True)
    return _exit_code(child)


def _exit_code(ended: "subprocess.Popen[bytes]") -> int:
    """Return 128 and the signal's number for what a signal has ended."""
    code = ended.returncode
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2], sys.argv[3:]))
