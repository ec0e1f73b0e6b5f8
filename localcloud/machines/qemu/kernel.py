"""The kernel and initial RAM disk of a disk image, read from its /boot without mounting it."""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from localcloud.machines.errors import MachineError, tool_path


@dataclass(frozen=True)
class Kernel:
    """A kernel that QEMU boots directly, with its initial RAM disk."""

    version: str
    image: Path
    initrd: Path


def newest_version(names: list[str]) -> str | None:
    """Return the highest version of which a folder listing has both vmlinuz-VERSION and initrd.img-VERSION."""
    images = {name.removeprefix("vmlinuz-") for name in names if name.startswith("vmlinuz-")}
    initrds = {name.removeprefix("initrd.img-") for name in names if name.startswith("initrd.img-")}
    return max(images & initrds, key=_natural, default=None)


def extract_kernel(disk: Path, folder: Path) -> Kernel:
    """Copy the disk's newest kernel into `folder`. Needs no root. Raises MachineError if the disk has no kernel."""
    names = [line.split("/")[5] for line in _debugfs(disk, "ls -p /boot").splitlines() if line.count("/") >= 6]
    version = newest_version(names)
    if version is None:
        raise MachineError(f"cannot boot {disk.name}: no kernel with its initial RAM disk in its /boot")
    kernel = Kernel(version, folder / "vmlinuz", folder / "initrd.img")
    for name, target in ((f"vmlinuz-{version}", kernel.image), (f"initrd.img-{version}", kernel.initrd)):
        target.unlink(missing_ok=True)
        _debugfs(disk, f'dump "/boot/{name}" "{target}"')
        if not target.is_file() or target.stat().st_size == 0:
            raise MachineError(f"cannot boot {disk.name}: /boot/{name} cannot be read")
    return kernel


def command_line(init_arguments: list[str], console: str, cloud_range: str) -> str:
    """Return the kernel's command line; ec2-boot (in the base image) routes `cloud_range` out of the machine. Values with blanks
    are quoted. The kernel cannot escape a double quote."""
    words = [
        "root=/dev/vda", "rw", "rootflags=noatime,noinit_itable", f"console={console}", "net.ifnames=0",
        "systemd.show_status=true", f"ec2.reach={cloud_range}",
    ]  # fmt: skip
    for argument in init_arguments:
        if '"' in argument or "\n" in argument:
            raise MachineError(
                f"cannot give {argument!r} to the machine: double quotes and line breaks are not supported"
            )
        words.append(f'"{argument}"' if re.search(r"\s", argument) else argument)
    return " ".join(words)


def _natural(version: str) -> list[tuple[int, int | str]]:
    return [(1, int(part)) if part.isdecimal() else (0, part) for part in re.findall(r"\d+|\D+", version)]


def _debugfs(disk: Path, request: str) -> str:
    done = subprocess.run([tool_path("debugfs"), "-R", request, str(disk)], check=False, capture_output=True, text=True)
    if done.returncode != 0:
        raise MachineError(f"cannot read {disk}: {done.stderr.strip()}")
    return done.stdout
