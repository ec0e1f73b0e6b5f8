"""A control group of its own for each machine, in every hierarchy (version 1, hybrid or 2), and its removal.

Without it two containers would share one path in systemd's hierarchy, and each would manage the other's services.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from localcloud.machines.errors import MachineError


def parse_hierarchies(mountinfo: str) -> list[tuple[Path, frozenset[str]]]:
    """Mount points of the control group hierarchies and their options, from /proc/self/mountinfo's text.

    Version 2 has the option "unified" here, version 1 its controllers' names.
    """
    found = []
    for line in mountinfo.splitlines():
        fields, _, rest = line.partition(" - ")
        kind, _, options = rest.split(" ", 2)
        if kind == "cgroup2":
            found.append((Path(fields.split()[4]), frozenset({"unified"})))
        elif kind == "cgroup":
            found.append((Path(fields.split()[4]), frozenset(options.split(","))))
    return found


def group_name(folder: Path) -> str:
    """The group's name: instance ids may be the same in two local clouds, folders are not."""
    return f"goldenami-{folder.name}-{hashlib.sha256(str(folder).encode()).hexdigest()[:8]}"


def group_paths(folder: Path) -> list[Path]:
    mounts = parse_hierarchies(Path("/proc/self/mountinfo").read_text())
    return list(dict.fromkeys(mount / group_name(folder) for mount, _ in mounts))


def create(folder: Path) -> list[Path]:
    """Make the machine's groups. Raises MachineError when control groups cannot be written here."""
    made = group_paths(folder)
    if not made:
        raise MachineError("cannot run containers: no control groups are mounted under /sys/fs/cgroup")
    try:
        for path in made:
            path.mkdir(exist_ok=True)
            for setting in (
                "cpuset.cpus",
                "cpuset.mems",
            ):  # version 1 starts them empty, and then takes no process
                if (path / setting).exists() and (path.parent / "cpuset.sane_behavior").exists() is False:
                    with contextlib.suppress(OSError):
                        (path / setting).write_text((path.parent / setting).read_text())
    except OSError as error:
        raise MachineError(f"cannot run containers: control groups are not writable here ({error})") from error
    return made


def remove(folder: Path, timeout: float = 5.0) -> list[str]:
    """Remove the machine's groups, deepest first, once their last process is gone. Returns what was removed."""
    removed = []
    deadline = time.monotonic() + timeout
    for top in group_paths(folder):
        if not top.is_dir():
            continue
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
    """Hold every process of the machine still. Yields False where no freezer is mounted (nothing is held then)."""
    switch = _freezer(folder)
    if switch is None:
        yield False
        return
    control, stop, go, state, stopped = switch
    control.write_text(stop)
    try:
        deadline = time.monotonic() + 5
        while stopped not in state.read_text() and time.monotonic() < deadline:
            time.sleep(0.005)
        yield True
    finally:
        control.write_text(go)


def thaw(folder: Path) -> None:
    """Let go of what a server that died held still: version 1 does not even deliver SIGKILL to it."""
    if switch := _freezer(folder):
        with contextlib.suppress(OSError):
            switch[0].write_text(switch[2])


def _freezer(folder: Path) -> tuple[Path, str, str, Path, str] | None:
    for mount, options in parse_hierarchies(Path("/proc/self/mountinfo").read_text()):
        path = mount / group_name(folder)
        if "freezer" in options and path.is_dir():
            return path / "freezer.state", "FROZEN", "THAWED", path / "freezer.state", "FROZEN"
        if "unified" in options and (path / "cgroup.freeze").exists() and list(_processes(path)):
            return path / "cgroup.freeze", "1", "0", path / "cgroup.events", "frozen 1"
    return None


def _processes(path: Path) -> Iterator[int]:
    for folder, _, _ in os.walk(path):
        with contextlib.suppress(OSError):
            yield from (int(pid) for pid in Path(folder, "cgroup.procs").read_text().split())


def list_processes(folder: Path) -> list[int]:
    """The machine's processes, as this process numbers them."""
    return sorted({pid for path in group_paths(folder) if path.is_dir() for pid in _processes(path)})
