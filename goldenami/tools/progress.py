"""Progress output on stderr: phases with their durations, and details within them."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

from rich.console import Console
from rich.status import Status
from rich.text import Text

from goldenami.text import printable
from goldenami.tools.clock import Clock


@dataclass
class Progress:
    """Progress of an operation, and the duration of each phase in seconds.

    On a terminal the latest detail is shown beside a spinner and only phases stay on the screen; elsewhere (a log, CI)
    every detail is a line. Within `log_to`, all of it is also written to the run's log.
    """

    clock: Clock
    stream: TextIO = field(default_factory=lambda: sys.stderr)
    phases: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._console = Console(file=self.stream, highlight=False, markup=False, emoji=False, soft_wrap=True)
        self._start = self.clock.monotonic()
        self._status: Status | None = None
        self._log: TextIO | None = None

    @contextlib.contextmanager
    def log_to(self, path: Path) -> Iterator[None]:
        """Also write the progress to a file within the block."""
        before = self._log
        with path.open("a", encoding="utf-8", buffering=1) as self._log:
            try:
                yield
            finally:
                self._log = before

    def info(self, text: str) -> None:
        """Print a line that stays on the screen."""
        text = printable(text)
        self._write(text)
        self._console.print(Text.assemble((self._elapsed(), "dim"), f" {text}"))

    def detail(self, text: str) -> None:
        """Show what is being done."""
        text = printable(text)
        self._write("  " + text)
        if self._status is not None:
            self._status.update(Text.assemble((self._elapsed(), "dim"), f" {text[:100]}"))
        else:
            self._console.print(Text.assemble((self._elapsed(), "dim"), f"   {text}"))

    def record(self, text: str) -> None:
        """Write a line to the log only."""
        self._write("  " + printable(text))

    @contextlib.contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Print the start of a phase and, at its end, its duration."""
        begin = self.clock.monotonic()
        self.info(f"{name} …")
        if self._console.is_terminal and self._status is None:
            self._status = self._console.status(Text(name))
            self._status.start()
        try:
            yield
        finally:
            if self._status is not None:
                self._status.stop()
                self._status = None
            took = self.clock.monotonic() - begin
            self.phases[name] = round(self.phases.get(name, 0) + took, 1)
            word = "stopped" if sys.exc_info()[0] else "done"
            self.info(f"{name}: {word} ({took:.1f} s)")

    def _elapsed(self) -> str:
        seconds = int(self.clock.monotonic() - self._start)
        return f"[{seconds // 60:02d}:{seconds % 60:02d}]"

    def _write(self, text: str) -> None:
        if self._log is not None:
            self._log.write(f"{self.clock.now():%Y-%m-%dT%H:%M:%SZ} {text}\n")
