"""Run other programs: argv lists, live output, and child processes that end with this one."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from goldenami.errors import ToolError


@dataclass(frozen=True)
class ProcessResult:
    """Exit code and output of a finished program."""

    code: int
    stdout: str
    stderr: str = ""

    @property
    def last_line(self) -> str:
        """Last line of its error output, else of its output, else its exit code."""
        lines = (self.stderr or self.stdout).strip().splitlines()
        return lines[-1] if lines else f"exited with {self.code}"


def which(tool: str) -> Path | None:
    """Return the path of a program on PATH, or None."""
    path = shutil.which(tool)
    return Path(path) if path else None


def run(
    argv: Sequence[str],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    stdin: str = "",
    timeout: float = 60,
    errors: str = "replace",
) -> ProcessResult:
    """Run a short program, with `env` added to the environment, and return its exit code and output.

    Args:
        errors: How output that is not UTF-8 is decoded; "surrogateescape" for the names of files.

    Raises:
        ToolError: The program is not installed, or did not finish within `timeout` seconds and was killed.
    """
    try:
        completed = subprocess.run(
            list(argv),
            cwd=cwd,
            env={**os.environ, **(env or {})},
            input=stdin,
            capture_output=True,
            text=True,
            errors=errors,
            timeout=timeout,
            check=False,
        )
    except FileNotFoundError:
        raise _missing(argv[0]) from None
    except subprocess.TimeoutExpired:
        raise ToolError(f"{argv[0]} did not finish within {timeout:.0f} s") from None
    return ProcessResult(completed.returncode, completed.stdout, completed.stderr)


def stream(
    argv: Sequence[str],
    on_line: Callable[[str], None],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    keep_open: Sequence[int] = (),
    output: Path | None = None,
    stop: signal.Signals = signal.SIGINT,
    grace: float = 120,
) -> int:
    """Run a long program, pass on each line of its output (both streams) as it comes, and return its exit code.

    The program has its own process group, so that ^C at the terminal reaches it once: on KeyboardInterrupt it is sent a
    signal and given time to clean up. If this process is killed, the kernel sends the same signal
    (`setpriv --pdeathsig`, where util-linux is installed).

    Args:
        keep_open: File descriptors that the program inherits, such as a lock that must be held while it runs.
        output: File for the output, which is read from there: a pipe would break if this process is killed, and the
            program would fail instead of cleaning up.
        stop: The signal that makes the program clean up and end.
        grace: Seconds for the clean-up after an interrupt, before the program is killed.

    Raises:
        ToolError: The program is not installed.
        KeyboardInterrupt: Again, after the program has ended.
    """
    if which(argv[0]) is None:
        raise _missing(argv[0])
    guard = ["setpriv", "--pdeathsig", stop.name.removeprefix("SIG"), "--"] if which("setpriv") else []
    with output.open("a", encoding="utf-8") if output else contextlib.nullcontext(subprocess.PIPE) as sink:
        begin = output.stat().st_size if output else 0
        child = subprocess.Popen(
            [*guard, *argv],
            cwd=cwd,
            env={**os.environ, **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            bufsize=1,
            start_new_session=True,
            pass_fds=tuple(keep_open),
        )
    source = output.open(encoding="utf-8", errors="replace") if output else child.stdout
    assert source is not None
    with source:
        if output:
            source.seek(begin)  # skip the output of an earlier program
        lines = _follow(source, child) if output else iter(source)
        try:
            for line in lines:
                on_line(line.rstrip("\n"))
            return child.wait()
        except BaseException:
            _interrupt(child, _follow(source, child) if output else lines, on_line, stop, grace)
            raise


def foreground(argv: Sequence[str]) -> int:
    """Run a program in the foreground and return its exit code.

    Raises:
        ToolError: The program is not installed.
    """
    try:
        return subprocess.run(list(argv), check=False).returncode
    except FileNotFoundError:
        raise _missing(argv[0]) from None


def _follow(source: IO[str], child: subprocess.Popen[str]) -> Iterator[str]:
    """Yield the lines of a file that a program is writing, until the program ends."""
    part = ""
    while True:
        ended = child.poll() is not None  # checked before reading, so that the last lines are read
        for piece in source:
            part += piece
            if part.endswith("\n"):
                yield part
                part = ""
        if ended:
            if part:
                yield part
            return
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(timeout=0.1)


def _interrupt(
    child: subprocess.Popen[str],
    lines: Iterator[str],
    on_line: Callable[[str], None],
    stop: signal.Signals,
    grace: float,
) -> None:
    """Stop a program, pass on its output while it cleans up, and kill it after the grace time."""
    with contextlib.suppress(ProcessLookupError):
        child.send_signal(stop)
    previous = signal.signal(signal.SIGALRM, _too_long)
    signal.setitimer(signal.ITIMER_REAL, grace)
    try:
        for line in lines:
            on_line(line.rstrip("\n"))
        child.wait()
    except BaseException:  # a second ^C, or the timeout: kill the process group
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)


def _too_long(_signal: int, _frame: object) -> None:
    raise TimeoutError


def _missing(tool: str) -> ToolError:
    return ToolError(f"{tool} is not installed or not on PATH", next="./invoke doctor")


@contextlib.contextmanager
def terminate_as_interrupt() -> Iterator[None]:
    """Convert SIGTERM and SIGHUP to KeyboardInterrupt within the block, so that there is one clean-up path.

    An ignored signal stays ignored, as `nohup` intends.
    """

    def interrupt(_signal: int, _frame: object) -> None:
        raise KeyboardInterrupt

    signals = [n for n in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(n) is not signal.SIG_IGN]
    previous = {number: signal.signal(number, interrupt) for number in signals}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
