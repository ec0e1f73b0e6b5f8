"""Lead a machine's port around a program of the host that listens on it on all addresses, as sshd does on 22.

Such a program keeps everybody from listening on that port of any single address. As root, the kernel can send what is
meant for the machine's address to another port, on which its forward listens: one nftables table for each machine.
"""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Mapping
from pathlib import Path

from localcloud.machines import cgroups
from localcloud.machines.errors import MachineError, find_tool

MARKER = "detour"
"""File in the machine's folder that says that its table may exist."""


def find_free_port(address: str, port: int) -> int:
    """A free port to lead `port` of `address` to. Raises MachineError where no detour can be made."""
    taken = (
        f"cannot open port {port} of {address}: another program listens on it, maybe on all addresses "
        f"(see: ss -ltnp 'sport = :{port}')"
    )
    if os.geteuid() != 0:
        raise MachineError(f"{taken}; end it, or run as root, which can lead the port around it")
    if find_tool("nft") is None:
        raise MachineError(f"{taken}; end it, or run: sudo apt-get install --yes nftables")
    with socket.socket() as probe:
        probe.bind((address, 0))
        number: int = probe.getsockname()[1]
    return number


def set_redirects(folder: Path, address: str, detours: Mapping[int, int]) -> None:
    """Make exactly these detours: port of the machine's address -> port on which its forward listens."""
    if not detours:
        remove_redirects(folder)
        return
    (folder / MARKER).touch()
    table = f"table ip {cgroups.group_name(folder)}"
    rules = "\n".join(f"ip daddr {address} tcp dport {port} dnat to {address}:{to}" for port, to in detours.items())
    # Declared first, because only what exists can be deleted: the three together are one transaction.
    chain = f"chain output {{ type nat hook output priority -100;\n{rules}\n}}"
    done = _nft(f"{table}\ndelete {table}\n{table} {{\n{chain}\n}}\n")
    if done.returncode != 0:
        ports = ", ".join(map(str, detours))
        raise MachineError(f"cannot open port {ports} of {address}: nft: {done.stderr.strip().splitlines()[0]}")


def remove_redirects(folder: Path) -> bool:
    """Remove the machine's detours; True when there were some."""
    if not (folder / MARKER).exists():
        return False
    table = f"table ip {cgroups.group_name(folder)}"
    _nft(f"{table}\ndelete {table}\n")
    (folder / MARKER).unlink(missing_ok=True)
    return True


def _nft(script: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [find_tool("nft") or "nft", "--file", "-"], check=False, input=script, capture_output=True, text=True
    )
