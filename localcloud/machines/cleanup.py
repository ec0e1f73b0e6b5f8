"""After a kill -9 of the server: end what its machines left, so that the next start begins clean."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from localcloud.machines import cgroups, port_redirect, supervised


def reap(machines_folder: Path) -> list[str]:
    """End processes, mounts, loop devices and control groups of the machines in this folder. Returns what was done.

    Normally there is little: a machine's processes see its server die and go, and the kernel then frees the rest.
    Must not be called while a server of this folder runs.
    """
    done: list[str] = []
    if not machines_folder.is_dir():
        return done
    folders = sorted(path for path in machines_folder.iterdir() if path.is_dir())
    if os.geteuid() == 0:
        for folder in folders:
            cgroups.thaw(folder)
    done += [f"ended process {pid}" for pid in supervised.kill_processes(machines_folder)]
    if os.geteuid() == 0:
        for mount in _mounts(machines_folder):
            subprocess.run(["umount", "--lazy", "--detach-loop", str(mount)], check=False, capture_output=True)
            done.append(f"unmounted {mount}")
        for folder in folders:
            if port_redirect.remove_redirects(folder):
                done.append(f"removed the port detours of {folder.name}")
            if cgroups.remove(folder):
                done.append(f"removed the control groups of {folder.name}")
    for folder in folders:
        for name in ("slirp.sock", "qmp.sock", "netns", "netns-services"):
            (folder / name).unlink(missing_ok=True)
    return done


def _mounts(folder: Path) -> list[Path]:
    """Mounts below this folder in our own mount namespace, deepest first."""
    found = []
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        path = Path(line.split()[4].encode().decode("unicode_escape"))
        if folder in path.parents:
            found.append(path)
    return sorted(found, key=lambda path: len(path.parts), reverse=True)
