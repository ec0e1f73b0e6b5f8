"""The only door to other programs: argv lists, live output, and children that never outlive us."""

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
    """A finished program: its exit code and what it printed."""

    code: int
    stdout: str
    stderr: str = ""

    @property
    def last_line(self) -> str:
        """Last line of its error output, else of its output, else its exit code."""
        lines = (self.stderr or self.stdout).strip().splitlines()
        return lines[-1] if lines else f"exited with {self.code}"


def which(tool: str) -> Path | None:
    """Where a program is on PATH, or None."""
    found = shutil.which(tool)
    return Path(found) if found else None


def run(
    argv: Sequence[str],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    stdin: str = "",
    timeout: float = 60,
) -> ProcessResult:
    """Run a short program to its end and return what it printed, whatever its exit code.

    Args:
        argv: The program and its arguments; never a shell string.
        cwd: The folder to run in.
        env: Variables to add to ours.
        stdin: Text for its standard input.
        timeout: Seconds after which it is killed.

    Raises:
        ToolError: The program is not installed, or did not end in time.
    """
    try:
        done = subprocess.run(
            list(argv),
            cwd=cwd,
            env={**os.environ, **(env or {})},
            input=stdin,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout,
            check=False,
        )
    except FileNotFoundError:
        raise _missing(argv[0]) from None
    except subprocess.TimeoutExpired:
        raise ToolError(f"{argv[0]} did not finish within {timeout:.0f} s") from None
    return ProcessResult(done.returncode, done.stdout, done.stderr)


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
    """Run a long program, handing over each line that it prints (both streams) as it comes.

    The program gets a process group of its own, so that ^C at the terminal reaches it once, from here: on
    KeyboardInterrupt it is sent a signal and given time to clean up after itself. Should we be killed
    outright, the kernel sends it the same signal (`setpriv --pdeathsig`, where util-linux is there).

    Args:
        argv: The program and its arguments.
        on_line: Called with each line, without its newline.
        cwd: The folder to run in.
        env: Variables to add to ours.
        keep_open: File descriptors that the program inherits (a lock that must live as long as it does).
        output: A file for what it prints, which is then read from there: a pipe would break when we are killed, and
            the program would die of it instead of cleaning up.
        stop: The signal that makes it clean up and end.
        grace: Seconds that it gets to clean up after an interrupt, before it is killed.

    Returns:
        Its exit code.

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
            source.seek(begin)  # what an earlier program wrote is not this one's
        lines = _follow(source, child) if output else iter(source)
        try:
            for line in lines:
                on_line(line.rstrip("\n"))
            return child.wait()
        except BaseException:
            _interrupt(child, _follow(source, child) if output else lines, on_line, stop, grace)
            raise


def foreground(argv: Sequence[str]) -> int:
    """Run a program on our own terminal and return its exit code.

    Raises:
        ToolError: The program is not installed.
    """
    try:
        return subprocess.run(list(argv), check=False).returncode
    except FileNotFoundError:
        raise _missing(argv[0]) from None


def _follow(source: IO[str], child: subprocess.Popen[str]) -> Iterator[str]:
    """The lines of a file that a program is still writing, until it has ended."""
    part = ""
    while True:
        ended = child.poll() is not None  # asked before reading, so that its last words are read
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
    """Ask the program to stop, show what it says while it cleans up, and kill it when it takes too long."""
    with contextlib.suppress(ProcessLookupError):
        child.send_signal(stop)
    previous = signal.signal(signal.SIGALRM, _too_long)
    signal.setitimer(signal.ITIMER_REAL, grace)
    try:
        for line in lines:
            on_line(line.rstrip("\n"))
        child.wait()
    except BaseException:  # a second ^C, or the time is up: end the whole group
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)


def _too_long(_signal: int, _frame: object) -> None:
    raise TimeoutError


def _missing(tool: str) -> ToolError:
    return ToolError(f"{tool} is not installed, or not on PATH", next="./invoke doctor")


@contextlib.contextmanager
def terminate_as_interrupt() -> Iterator[None]:
    """Let SIGTERM and SIGHUP end the block the way ^C does, so that there is one clean-up path.

    A signal that is ignored stays so: `nohup` means it.
    """

    def interrupt(_signal: int, _frame: object) -> None:
        raise KeyboardInterrupt

    wanted = [n for n in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(n) is not signal.SIG_IGN]
    previous = {number: signal.signal(number, interrupt) for number in wanted}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
