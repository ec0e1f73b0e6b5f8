"""The state folder: where everything that the local cloud keeps lies, and the proof that it is ours."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from localcloud.errors import CloudError

MARKER = ".goldenami-local-cloud"


def default_state_dir() -> Path:
    """GOLDENAMI_STATE, else goldenami/ in the XDG state home."""
    if chosen := os.environ.get("GOLDENAMI_STATE"):
        return Path(chosen).expanduser()
    home = os.environ.get("XDG_STATE_HOME") or "~/.local/state"
    return Path(home).expanduser() / "goldenami"


def default_cache_dir() -> Path:
    """GOLDENAMI_CACHE, else goldenami/ in the XDG cache home: base images, shared by all local clouds."""
    if chosen := os.environ.get("GOLDENAMI_CACHE"):
        return Path(chosen).expanduser()
    home = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(home).expanduser() / "goldenami"


@dataclass(frozen=True)
class StateDir:
    """Paths of one local cloud's state."""

    root: Path

    @classmethod
    def at(cls, state: Path | None) -> StateDir:
        return cls((state or default_state_dir()).expanduser().resolve())

    @property
    def disks(self) -> Path:
        """Where disk files lie; in the server's eyes perhaps a file system of its own (reflinks.py)."""
        return self.root / "disks"

    @property
    def disk_store(self) -> Path:
        """The file that holds that file system."""
        return self.root / "disks.xfs"

    @property
    def volumes(self) -> Path:
        return self.disks / "volumes"

    @property
    def snapshots(self) -> Path:
        return self.disks / "snapshots"

    @property
    def machines(self) -> Path:
        return self.root / "machines"

    @property
    def objects(self) -> Path:
        """Bodies of S3 objects, named by their SHA-256."""
        return self.root / "objects"

    @property
    def databases(self) -> Path:
        """Homes of PostgreSQL servers, named by their DB instances' resource ids."""
        return self.root / "databases"

    @property
    def snapshot_file(self) -> Path:
        """What the AWS API knows, as of the last answered request."""
        return self.root / "api.state"

    @property
    def log(self) -> Path:
        return self.root / "server.log"

    @property
    def server_file(self) -> Path:
        """How to reach the running server (JSON); written when it answers."""
        return self.root / "server.json"

    @property
    def range_file(self) -> Path:
        return self.root / "range"

    def volume(self, volume_id: str) -> Path:
        return self.volumes / f"{volume_id}.raw"

    def snapshot(self, snapshot_id: str) -> Path:
        return self.snapshots / f"{snapshot_id}.raw"

    def machine(self, instance_id: str) -> Path:
        return self.machines / instance_id

    def prepare(self) -> None:
        """Make the folder ours. Raises CloudError where it holds somebody else's files."""
        if self.root.is_dir() and any(self.root.iterdir()) and not self.is_owned():
            raise CloudError(
                f"{self.root} is not a folder of the local cloud and is not empty: name another in GOLDENAMI_STATE"
            )
        try:
            self.root.mkdir(parents=True, exist_ok=True, mode=0o700)
            (self.root / MARKER).touch()
            for folder in (self.volumes, self.snapshots, self.machines, self.objects, self.databases):
                folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise CloudError(f"The state folder {self.root} cannot be used: {error}") from error

    def move_aside(self) -> Path:
        """Move a state that cannot be read, with its disks, into a folder of its own: nothing of it is deleted."""
        aside = f"unreadable-{time.strftime('%Y%m%d-%H%M%S')}"
        for path in (self.snapshot_file, self.objects, self.databases, self.volumes, self.snapshots):
            beside = path.parent / aside  # disks stay among disks: those may be a file system of their own
            beside.mkdir(exist_ok=True)
            path.rename(beside / path.name)
        self.prepare()
        return self.root / aside

    def is_owned(self) -> bool:
        return (self.root / MARKER).is_file()

    def remove(self) -> None:
        """Delete the state and nothing else. Raises CloudError when the folder is not marked as ours."""
        if not self.root.exists():
            return
        if not self.is_owned():
            raise CloudError(f"{self.root} carries no {MARKER} file, so it is not deleted: not a local cloud's folder")
        for child in self.root.iterdir():
            if child.name == MARKER:  # last, so that an interrupted removal can be repeated
                continue
            if child.is_dir() and not child.is_symlink():
                shutil.rmtree(child)
            else:
                child.unlink()
        (self.root / MARKER).unlink()
        self.root.rmdir()

    def read_server_file(self) -> dict[str, Any] | None:
        """What the last server wrote about itself; it may be dead."""
        try:
            told: dict[str, Any] = json.loads(self.server_file.read_text())
        except (OSError, ValueError):
            return None
        return told

    @contextmanager
    def locked(self, name: str, *, wait: bool = True) -> Iterator[bool]:
        """Hold `<root>/<name>.lock`; yields False at once when another process has it and wait is False."""
        with (self.root / f"{name}.lock").open("w") as handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
                return
            yield True


def write_atomically(path: Path, content: bytes) -> None:
    """Replace a file atomically and durably: a reader or a crash sees the old or the new, never a part."""
    new = path.with_name(path.name + ".new")
    with new.open("wb") as handle:
        handle.write(content)
        handle.flush()
        os.fsync(handle.fileno())
    new.replace(path)
