"""Run folders under build/: one a bake, each with an id, a record of how far it came, and a lock that shows it alive."""

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
    """A run of this process or an earlier one, and the facts in its run.json."""

    def record(self, **facts: Any) -> None:
        """Add facts to run.json, atomically: a reader sees the old ones or the new ones."""
        write_json(self.folder / "run.json", {**self.facts(), **facts})

    def facts(self) -> dict[str, Any]:
        """What run.json holds; empty when the run was killed before it wrote any."""
        with contextlib.suppress(FileNotFoundError, json.JSONDecodeError):
            facts: dict[str, Any] = json.loads((self.folder / "run.json").read_text(encoding="utf-8"))
            return facts
        return {}


def new(build: Path, now: datetime) -> Run:
    """Make the folder of a new run; its id sorts by time and cannot collide with a colleague's."""
    run_id = f"{now:%Y%m%d-%H%M%S}-{secrets.token_hex(3)}"
    folder = build / run_id
    folder.mkdir(parents=True)
    return Run(run_id, folder)


def list_runs(build: Path) -> list[Run]:
    """All runs of this checkout, oldest first."""
    return [Run(path.parent.name, path.parent) for path in sorted(build.glob("*/run.json"))]


def discard(run: Run) -> None:
    """Remove the folder of a run that had nothing to do."""
    for path in sorted(run.folder.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
    run.folder.rmdir()


@contextlib.contextmanager
def lock(path: Path, on_wait: str = "", say: Any = None) -> Iterator[int]:
    """Hold an exclusive lock on a file; waits for whoever has it.

    The kernel lets go of it when the last process that inherited the descriptor ends, however it ends. A Packer that
    outlives a killed bake therefore keeps the next bake waiting until it has cleaned up.

    Args:
        path: The lock file; it is made when it is not there and never removed.
        on_wait: What to say (through `say`) when somebody else has it.
        say: Called with `on_wait`.

    Yields:
        The locked file descriptor.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if say:
                say(on_wait)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield descriptor
    finally:
        os.close(descriptor)


def write_json(path: Path, value: Any) -> None:
    """Write JSON for people to read, atomically."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, sort_keys=True) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write a file, atomically."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    beside.write_text(text, encoding="utf-8")
    beside.replace(path)


@contextlib.contextmanager
def record_run(
    ctx: Context, kind: str, *, ended: Callable[[Run, str], None] | None = None, **facts: Any
) -> Iterator[Run]:
    """Open a run and close it as finished or failed; killed, it stays marked as running.

    Args:
        shop: Where.
        kind: What it does (`bake`, `promotion`, …); its log is called so, too.
        ended: What is still to be done at the end: called with the reason of a failure, or with nothing. Where it does
            not come through, the run stays marked as running, so that the next one knows that something may be left.
        facts: What else its record says from the beginning.
    """
    run = new(ctx.build, ctx.clock.now())
    run.record(state="running", kind=kind, started=timestamp(ctx.clock), **facts)
    with ctx.progress.log_to(run.folder / f"{kind}.log"):
        try:
            yield run
        except BaseException as error:
            reason = str(error) or type(error).__name__
            if ended:
                ended(run, reason)
            run.record(state="failed", error=reason)
            raise
        if ended:
            ended(run, "")
        run.record(state="finished", phases=ctx.progress.phases)
