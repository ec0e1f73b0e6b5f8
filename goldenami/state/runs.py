"""Run folders under build/: each has an id, a run.json with its progress, and a log."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from goldenami.context import Context
from goldenami.state.run_model import RunFolder
from goldenami.tools.clock import timestamp


class Run(RunFolder):
    """A run of this process or an earlier one, with the facts in its run.json."""

    def record(self, **facts: Any) -> None:
        """Add facts to run.json. The file is replaced atomically."""
        write_json(self.folder / "run.json", {**self.facts(), **facts})

    def facts(self) -> dict[str, Any]:
        """Return the facts in run.json; empty if the run was killed before it wrote any."""
        with contextlib.suppress(FileNotFoundError, json.JSONDecodeError):
            facts: dict[str, Any] = json.loads((self.folder / "run.json").read_text(encoding="utf-8"))
            return facts
        return {}


def create(build: Path, now: datetime) -> Run:
    """Create the folder of a new run. Run ids sort by time and are unique across machines."""
    run_id = f"{now:%Y%m%d-%H%M%S}-{secrets.token_hex(3)}"
    folder = build / run_id
    folder.mkdir(parents=True)
    return Run(run_id, folder)


def list_runs(build: Path) -> list[Run]:
    """Return all runs of this checkout, oldest first."""
    return [Run(path.parent.name, path.parent) for path in sorted(build.glob("*/run.json"))]


def discard(run: Run) -> None:
    """Delete the folder of a run that had nothing to do."""
    for path in sorted(run.folder.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
    run.folder.rmdir()


@contextlib.contextmanager
def lock(path: Path, on_wait: str = "", log: Callable[[str], object] | None = None) -> Iterator[int]:
    """Hold an exclusive lock on a file; wait while another process holds it.

    The kernel releases the lock when the last process that inherited the descriptor ends. If a bake is killed while Packer
    still runs, the next bake therefore waits until Packer has cleaned up.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if log:
                log(on_wait)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield descriptor
    finally:
        os.close(descriptor)


def write_json(path: Path, value: Any) -> None:
    """Write indented JSON to a file, atomically."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, sort_keys=True) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write a text file, atomically."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)


@contextlib.contextmanager
def record_run(
    ctx: Context, kind: str, *, on_end: Callable[[Run, str], None] | None = None, **facts: Any
) -> Iterator[Run]:
    """Record a run as running, then as finished or failed. The record of a killed run stays at running.

    Args:
        on_end: Called at the end with the run and the reason of the failure (empty on success). If it raises, the run stays
            at running, so that the next run cleans up after it.
    """
    run = create(ctx.build, ctx.clock.now())
    run.record(state="running", kind=kind, started=timestamp(ctx.clock), **facts)
    with ctx.progress.log_to(run.folder / f"{kind}.log"):
        try:
            yield run
        except BaseException as error:
            reason = str(error) or type(error).__name__
            if on_end:
                on_end(run, reason)
            run.record(state="failed", error=reason)
            raise
        if on_end:
            on_end(run, "")
        run.record(state="finished", phases=ctx.progress.phases)
