"""Control groups of machines, in every hierarchy (version 1, hybrid or 2). Without a group for each machine, two containers would
share one path in systemd's hierarchy and manage each other's services."""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from localcloud.machines.errors import MachineError


def parse_hierarchies(mountinfo: str) -> list[tuple[Path, frozenset[str]]]:
    """Return the mount points and options of the control group hierarchies in the text of /proc/self/mountinfo. The options are
    "unified" for version 2, and the names of the controllers for version 1."""
    hierarchies = []
    for line in mountinfo.splitlines():
        fields, _, rest = line.partition(" - ")
        kind, _, options = rest.split(" ", 2)
        if kind == "cgroup2":
            hierarchies.append((Path(fields.split()[4]), frozenset({"unified"})))
        elif kind == "cgroup":
            hierarchies.append((Path(fields.split()[4]), frozenset(options.split(","))))
    return hierarchies


def group_name(folder: Path) -> str:
    """Return the name of a machine's group. It contains the folder's digest: two clouds may have equal instance ids."""
    return f"goldenami-{folder.name}-{hashlib.sha256(str(folder).encode()).hexdigest()[:8]}"


def group_paths(folder: Path) -> list[Path]:
    """Return the path of the machine's group in each hierarchy."""
    mounts = parse_hierarchies(Path("/proc/self/mountinfo").read_text())
    return list(dict.fromkeys(mount / group_name(folder) for mount, _ in mounts))


def create(folder: Path) -> list[Path]:
    """Create the machine's groups. Raises MachineError if control groups are not writable."""
    paths = group_paths(folder)
    if not paths:
        raise MachineError("cannot run containers: no control groups are mounted under /sys/fs/cgroup")
    try:
        for path in paths:
            path.mkdir(exist_ok=True)
            # In version 1 these are empty at first, and a group with empty ones takes no process.
            for setting in ("cpuset.cpus", "cpuset.mems"):
                if (path / setting).exists() and not (path.parent / "cpuset.sane_behavior").exists():
                    with contextlib.suppress(OSError):
                        (path / setting).write_text((path.parent / setting).read_text())
    except OSError as error:
        raise MachineError(f"cannot run containers: control groups are not writable here ({error})") from error
    return paths


def remove(folder: Path, timeout: float = 5.0) -> list[str]:
    """Remove the machine's groups, deepest first, once their last process has ended. Return the removed paths."""
    removed, deadline = [], time.monotonic() + timeout
    for top in group_paths(folder):
        while top.is_dir():
            for path, _, _ in os.walk(top, topdown=False):
                with contextlib.suppress(OSError):
                    Path(path).rmdir()
            if not top.is_dir():
                removed.append(str(top))
            elif time.monotonic() > deadline:
                break
            else:
                time.sleep(0.01)
    return removed


@contextmanager
def frozen(folder: Path) -> Iterator[bool]:
    """Freeze every process of the machine. Yields False, and freezes none, if no freezer is mounted."""
    freezer = _find_freezer(folder)
    if freezer is None:
        yield False
        return
    freezer.control.write_text(freezer.freeze)
    try:
        deadline = time.monotonic() + 5
        while freezer.frozen not in freezer.state.read_text() and time.monotonic() < deadline:
            time.sleep(0.005)
        yield True
    finally:
        freezer.control.write_text(freezer.thaw)


def thaw(folder: Path) -> None:
    """Thaw processes that a crashed server left frozen: version 1 does not even deliver SIGKILL to them."""
    if freezer := _find_freezer(folder):
        with contextlib.suppress(OSError):
            freezer.control.write_text(freezer.thaw)


class _Freezer(NamedTuple):
    """The control and state files of a group's freezer, with the words that each version uses."""

    control: Path
    freeze: str
    thaw: str
    state: Path
    frozen: str


def _find_freezer(folder: Path) -> _Freezer | None:
    for mount, options in parse_hierarchies(Path("/proc/self/mountinfo").read_text()):
        path = mount / group_name(folder)
        if "freezer" in options and path.is_dir():
            return _Freezer(path / "freezer.state", "FROZEN", "THAWED", path / "freezer.state", "FROZEN")
        if "unified" in options and (path / "cgroup.freeze").exists() and list(_processes(path)):
            return _Freezer(path / "cgroup.freeze", "1", "0", path / "cgroup.events", "frozen 1")
    return None


def _processes(path: Path) -> Iterator[int]:
    for folder, _, _ in os.walk(path):
        with contextlib.suppress(OSError):
            yield from (int(pid) for pid in Path(folder, "cgroup.procs").read_text().split())


def list_processes(folder: Path) -> list[int]:
    """Return the ids of the machine's processes in this process's PID namespace."""
    return sorted({pid for path in group_paths(folder) if path.is_dir() for pid in _processes(path)})
