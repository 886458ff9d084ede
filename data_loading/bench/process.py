"""A peer in a process of its own that answers commands over a pipe; its memory is read from /proc meanwhile."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

from data_loading.errors import UserError

ROOT = Path(__file__).parents[2]  # the folder that holds data_loading
MB = 1e6


class PeerProcess:
    """A child process that runs `data_loading.bench.worker` for one peer.

    name: of the peer, for errors.  python: path of the interpreter if the peer has an environment of its own.
    Raises UserError if the interpreter cannot be started.
    """

    def __init__(self, name: str, python: str | None = None):
        self.name, self.ended = name, False  # ended: whether it was killed because it did not answer
        path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
        quiet = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive", "PYTHONPATH": path}
        self.errors = tempfile.TemporaryFile("w+")  # noqa: SIM115  (closed with the process)
        try:
            self.process = subprocess.Popen(
                [python or sys.executable, "-P", "-m", "data_loading.bench.worker"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self.errors,
                text=True,
                env={**os.environ, **quiet},
                start_new_session=True,  # a process group of its own, so that its children can be killed too
            )
        except OSError as error:
            self.errors.close()
            raise UserError(f"{name}: {python} cannot be started: {error.strerror or error}") from error

    def ask(self, do: str, within: float, **arguments) -> dict:
        """Send a command and return its answer.

        do: name of a method of `worker.Service`.  within: seconds; after that the process and its children are killed.
        Raises UserError, with the peer's name, if it does not answer in time, ends, or answers with an error.
        """
        late = threading.Timer(within, self._end)
        late.start()
        try:
            self.process.stdin.write(json.dumps({"do": do, **arguments}) + "\n")
            self.process.stdin.flush()
            line = self.process.stdout.readline()
        except BrokenPipeError:
            line = ""
        except BaseException:  # Ctrl-C reaches this process only
            self._end()
            raise
        finally:
            late.cancel()
        answered = line.endswith("\n")  # a process killed in the middle of a line has not answered
        if not answered and self.ended:
            waited = f"{within:.0f}" if within >= 1 else f"{within:.1g}"
            raise UserError(f"peer {self.name}: no answer within {waited} s; it was ended; leave it out with --peers")
        if not answered:
            self.errors.seek(0)
            last = (self.errors.read().strip().splitlines() or ["it said nothing"])[-1]
            raise UserError(f"peer {self.name}: its process ended: {last}; leave it out with --peers")
        answer = json.loads(line)
        if "error" in answer:
            raise UserError(f"peer {self.name}: {answer['error']}; leave it out with --peers")
        return answer

    def ask_watched(self, do: str, within: float, **arguments) -> tuple[dict, float | None]:
        """The answer of `ask`, and the peak memory of the process and its children meanwhile, MB; None if unknown."""
        peak, done = [0.0], threading.Event()

        def watch():
            while not done.wait(0.05):
                peak[0] = max(peak[0], memory_mb(self.process.pid))

        watcher = threading.Thread(target=watch, daemon=True)
        watcher.start()
        try:
            return self.ask(do, within, **arguments), max(peak[0], memory_mb(self.process.pid)) or None
        finally:
            done.set()
            watcher.join()

    def _end(self) -> None:
        """Kill the process and its children, which would keep its pipes open."""
        self.ended = True
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)

    def close(self) -> None:
        """End the process and its children; the command pipe is closed first, and after 10 s they are killed."""
        with contextlib.suppress(BrokenPipeError):  # it ended before it read the last command
            self.process.stdin.close()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self._end()
            self.process.wait()
        self.process.stdout.close()
        self.errors.close()


def memory_mb(pid: int) -> float:
    """Memory of a process and its descendants, MB, shared pages counted once; 0 without Linux's /proc."""
    total, left = 0, [pid]
    while left:
        one = Path("/proc") / str(left.pop())
        try:
            fields = dict(line.split(":", 1) for line in (one / "smaps_rollup").read_text().splitlines()[1:])
            total += int(fields["Pss"].split()[0]) * 1024
            left += [int(word) for task in (one / "task").iterdir() for word in (task / "children").read_text().split()]
        except (OSError, KeyError, ValueError):  # the process has just ended, or the system is not Linux
            continue
    return total / MB
