"""The error of a machine that cannot be made or run, and the check that names a missing tool's package."""

from __future__ import annotations

import shutil
from collections.abc import Iterable

from localcloud.errors import CloudError

PACKAGES = {
    "mmdebstrap": "mmdebstrap",
    "mkfs.ext4": "e2fsprogs",
    "e2fsck": "e2fsprogs",
    "resize2fs": "e2fsprogs",
    "debugfs": "e2fsprogs",
    "tar": "tar",
    "newuidmap": "uidmap",
    "systemd-nspawn": "systemd-container",
    "slirp4netns": "slirp4netns",
    "socat": "socat",
    "ip": "iproute2",
    "mount": "mount",
    "losetup": "mount",
    "mkfs.xfs": "xfsprogs",
    "umount": "mount",
    "unshare": "util-linux",
    "nsenter": "util-linux",
    "setpriv": "util-linux",
    "nft": "nftables",
    "qemu-system-x86_64": "qemu-system-x86",
    "qemu-system-aarch64": "qemu-system-arm",
}
"""Debian's and Ubuntu's package of every tool that this package runs."""

_SYSTEM_PATH = ":/usr/local/sbin:/usr/sbin:/sbin"


class MachineError(CloudError):
    """A machine, or a disk of one, cannot be made or run; the message says why and what mends it."""


def find_tool(name: str) -> str | None:
    """Where a tool lies: on PATH, or in the administrator's folders that a plain user's PATH leaves out."""
    return shutil.which(name) or shutil.which(name, path=_SYSTEM_PATH)


def missing_tools(names: Iterable[str]) -> list[str]:
    """The tools among `names` that are not installed."""
    return [name for name in names if find_tool(name) is None]


def install_hint(names: Iterable[str]) -> str:
    """One sentence: which tools are missing and the command that installs them."""
    names = list(names)
    packages = sorted({PACKAGES.get(name, name) for name in names})
    verb = "is" if len(names) == 1 else "are"
    return f"{', '.join(names)} {verb} not installed; run: sudo apt-get install --yes {' '.join(packages)}"


def require_tools(names: Iterable[str], purpose: str) -> None:
    """Raise MachineError when a tool is missing. `purpose` completes 'cannot …'."""
    if absent := missing_tools(names):
        raise MachineError(f"cannot {purpose}: {install_hint(absent)}")
