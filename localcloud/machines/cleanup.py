"""Cleanup after a server that was killed: processes, mounts, loop devices and control groups of its machines."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from localcloud.machines import cgroups, port_redirect, supervised


def reap(machines_folder: Path) -> list[str]:
    """Remove processes, mounts, loop devices and control groups of the machines in this folder. Return the actions. Usually
    little is left: a machine's processes end with its server, and the kernel then frees the rest. Must not be called while a
    server of this folder runs."""
    actions: list[str] = []
    if not machines_folder.is_dir():
        return actions
    folders = sorted(path for path in machines_folder.iterdir() if path.is_dir())
    if os.geteuid() == 0:
        for folder in folders:
            cgroups.thaw(folder)
    actions += [f"ended process {pid}" for pid in supervised.kill_processes(machines_folder)]
    if os.geteuid() == 0:
        for mount in _mounts(machines_folder):
            subprocess.run(["umount", "--lazy", "--detach-loop", str(mount)], check=False, capture_output=True)
            actions.append(f"unmounted {mount}")
        for folder in folders:
            if port_redirect.remove_redirects(folder):
                actions.append(f"removed the port redirects of {folder.name}")
            if cgroups.remove(folder):
                actions.append(f"removed the control groups of {folder.name}")
    for folder in folders:
        for name in ("slirp.sock", "qmp.sock", "netns", "netns-services"):
            (folder / name).unlink(missing_ok=True)
    return actions


def _mounts(folder: Path) -> list[Path]:
    """Return the mounts below this folder in this process's mount namespace, deepest first."""
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    paths = (Path(line.split()[4].encode().decode("unicode_escape")) for line in lines)
    return sorted((path for path in paths if folder in path.parents), key=lambda path: len(path.parts), reverse=True)
