"""The state folder of a local cloud: its paths, its marker file and its locks."""

from __future__ import annotations

import fcntl
import grp
import json
import os
import pwd
import shutil
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from localcloud import credentials
from localcloud.credentials import Credentials
from localcloud.errors import CloudError

MARKER = ".goldenami-local-cloud"


def default_state_dir() -> Path:
    """Return GOLDENAMI_STATE, else goldenami/ in the XDG state home."""
    return _folder("GOLDENAMI_STATE", "XDG_STATE_HOME", "~/.local/state")


def default_cache_dir() -> Path:
    """Return GOLDENAMI_CACHE, else goldenami/ in the XDG cache home. All local clouds share its base images.

    Raises CloudError if another user may write to it.
    """
    cache = _folder("GOLDENAMI_CACHE", "XDG_CACHE_HOME", "~/.cache")
    require_private(cache)
    return cache


def _folder(variable: str, xdg_variable: str, xdg_default: str) -> Path:
    if chosen := os.environ.get(variable):
        return Path(chosen).expanduser()
    return Path(os.environ.get(xdg_variable) or xdg_default).expanduser() / "goldenami"


@dataclass(frozen=True)
class StateDir:
    """The state folder of one local cloud."""

    root: Path

    @classmethod
    def at(cls, state: Path | None) -> StateDir:
        """Return a folder; the default one if None. Raises CloudError if another user may write to it."""
        root = (state or default_state_dir()).expanduser().resolve()
        require_private(root)
        return cls(root)

    @property
    def disks(self) -> Path:
        """Folder of the disk files; the server may mount a file system with reflinks there (reflinks.py)."""
        return self.root / "disks"

    @property
    def disk_store(self) -> Path:
        """File that holds the file system with reflinks."""
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
        """Folder of the S3 objects' bodies, named by their SHA-256."""
        return self.root / "objects"

    @property
    def databases(self) -> Path:
        """Folder of the PostgreSQL servers, named by the resource ids of their DB instances."""
        return self.root / "databases"

    @property
    def snapshot_file(self) -> Path:
        """State of the AWS API as of the last answered request."""
        return self.root / "api.state"

    @property
    def log(self) -> Path:
        return self.root / "server.log"

    @property
    def server_file(self) -> Path:
        """Endpoint and process id of the running server (JSON); written once it answers."""
        return self.root / "server.json"

    @property
    def owner_file(self) -> Path:
        """The owner's access key (JSON), readable by the owner only."""
        return self.root / "owner.json"

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
        """Create the folder and its subfolders. Raises CloudError if it contains foreign files."""
        if self.root.is_dir() and any(self.root.iterdir()) and not self.is_owned():
            raise CloudError(
                f"{self.root} is not a local cloud's folder and is not empty: set GOLDENAMI_STATE to another folder"
            )
        try:
            self.root.mkdir(parents=True, exist_ok=True, mode=0o700)
            (self.root / MARKER).touch()
            for folder in (self.volumes, self.snapshots, self.machines, self.objects, self.databases):
                folder.mkdir(parents=True, exist_ok=True)
            credentials.ensure_owner(self.owner_file)
        except OSError as error:
            raise CloudError(f"Cannot use the state folder {self.root}: {error}") from error

    def move_aside(self) -> Path:
        """Move an unreadable state and its disks to a new subfolder, so that no data is deleted. Return that folder."""
        name = f"unreadable-{time.strftime('%Y%m%d-%H%M%S')}"
        for path in (self.snapshot_file, self.objects, self.databases, self.volumes, self.snapshots):
            target = path.parent / name  # below disks/ for disks, which may be another file system
            target.mkdir(exist_ok=True)
            path.rename(target / path.name)
        self.prepare()
        return self.root / name

    def is_owned(self) -> bool:
        """Return True if the folder belongs to a local cloud: it has the marker file."""
        return (self.root / MARKER).is_file()

    def remove(self) -> None:
        """Delete the folder. Raises CloudError if it has no marker file."""
        if not self.root.exists():
            return
        if not self.is_owned():
            raise CloudError(f"Cannot delete {self.root}: it has no {MARKER} file, so it is not a local cloud's folder")
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
        """Return the endpoint and process id of the last server, which may have crashed; None if there are none."""
        try:
            info: dict[str, Any] = json.loads(self.server_file.read_text())
        except (OSError, ValueError):
            return None
        return info

    def read_owner(self) -> Credentials:
        """Return the owner's access key. Raises CloudError if there is none."""
        try:
            return credentials.read_owner(self.owner_file)
        except (OSError, ValueError, KeyError) as error:
            raise CloudError(f"Cannot read the access key of the local cloud, {self.owner_file}: {error}") from error

    @contextmanager
    def locked(self, name: str, *, wait: bool = True) -> Iterator[bool]:
        """Hold `<root>/<name>.lock`. Without `wait`, yields False if another process holds the lock."""
        with (self.root / f"{name}.lock").open("w") as handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
                return
            yield True


def require_private(path: Path) -> None:
    """Raise CloudError if another user may replace a folder or its contents, because code is loaded from it.

    It must belong to the caller, and each folder above it to the caller or root. Nobody else may write there, but in folders
    above it with the sticky bit, such as /tmp.
    """
    user = os.geteuid()
    for folder in (path, *path.parents):
        try:
            info = folder.stat()
        except FileNotFoundError:
            continue
        above = folder != path
        shared = info.st_mode & (stat.S_IWOTH if _is_own_group(info.st_gid, user) else stat.S_IWOTH | stat.S_IWGRP)
        if info.st_uid != user and not (above and info.st_uid == 0):
            raise CloudError(f"Cannot use {path}: {folder} belongs to another user; set another folder")
        if shared and not (above and info.st_mode & stat.S_ISVTX):
            raise CloudError(f"Cannot use {path}: other users may write to {folder}; run chmod go-w on it")


def _is_own_group(group: int, user: int) -> bool:
    """Return True for the private group that distributions create with each user: it has the user's name and no other member."""
    try:
        name, entry = pwd.getpwuid(user).pw_name, grp.getgrgid(group)
    except KeyError:
        return False
    return entry.gr_name == name and set(entry.gr_mem) <= {name}


def write_atomically(path: Path, content: bytes) -> None:
    """Replace a file atomically and durably: a reader, or a crash, sees the old or the new content."""
    new = path.with_name(path.name + ".new")
    with new.open("wb") as handle:
        handle.write(content)
        handle.flush()
        os.fsync(handle.fileno())
    new.replace(path)
