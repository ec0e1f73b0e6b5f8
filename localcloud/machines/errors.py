"""MachineError, and the check for missing tools that names their packages."""

from __future__ import annotations

import shutil
from collections.abc import Iterable

from localcloud.errors import CloudError

PACKAGES = {
    "mmdebstrap": "mmdebstrap", "mkfs.ext4": "e2fsprogs", "e2fsck": "e2fsprogs", "resize2fs": "e2fsprogs",
    "debugfs": "e2fsprogs", "tar": "tar", "newuidmap": "uidmap", "systemd-nspawn": "systemd-container",
    "slirp4netns": "slirp4netns", "socat": "socat", "ip": "iproute2", "mount": "mount", "losetup": "mount",
    "mkfs.xfs": "xfsprogs", "umount": "mount", "unshare": "util-linux", "nsenter": "util-linux",
    "setpriv": "util-linux", "nft": "nftables", "qemu-system-x86_64": "qemu-system-x86",
    "qemu-system-aarch64": "qemu-system-arm",
}  # fmt: skip
"""The Debian and Ubuntu package of each tool that this package runs."""

_SYSTEM_PATH = ":/usr/local/sbin:/usr/sbin:/sbin"


class MachineError(CloudError):
    """A machine or disk cannot be created or run; the message says why and how to fix it."""


def find_tool(name: str) -> str | None:
    """Return the path of a tool, also from the sbin folders that a user's PATH omits; None if it is not installed."""
    return shutil.which(name) or shutil.which(name, path=_SYSTEM_PATH)


def tool_path(name: str) -> str:
    """Return the path of a tool, or its bare name if it is not installed (so that the start fails with its name)."""
    return find_tool(name) or name


def missing_tools(names: Iterable[str]) -> list[str]:
    """Return the tools among `names` that are not installed."""
    return [name for name in names if find_tool(name) is None]


def install_hint(names: Iterable[str]) -> str:
    """Return one sentence that names the missing tools and the command that installs them."""
    names = list(names)
    packages = sorted({PACKAGES.get(name, name) for name in names})
    verb = "is" if len(names) == 1 else "are"
    return f"{', '.join(names)} {verb} not installed; run: sudo apt-get install --yes {' '.join(packages)}"


def require_tools(names: Iterable[str], purpose: str) -> None:
    """Raise MachineError if a tool is missing. `purpose` completes 'cannot …'."""
    if absent := missing_tools(names):
        raise MachineError(f"cannot {purpose}: {install_hint(absent)}")
