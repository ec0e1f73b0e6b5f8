"""Port redirects, for ports that a program of the host holds on all addresses, as sshd holds port 22. Such a program prevents
others from listening on that port of any single address. An nftables table for each machine redirects connections to the
machine's address to another port, on which its forward listens. Needs root."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Mapping
from pathlib import Path

from localcloud.machines import cgroups
from localcloud.machines.errors import MachineError, find_tool, tool_path

MARKER = "port-redirect"
"""File in the machine's folder that records that its table may exist."""


def find_free_port(address: str, port: int) -> int:
    """Return a free port to redirect `port` of `address` to. Raises MachineError if redirects are not available."""
    problem = (
        f"cannot open port {port} of {address}: another program listens on it, maybe on all addresses "
        f"(see: ss -ltnp 'sport = :{port}')"
    )
    if os.geteuid() != 0:
        raise MachineError(f"{problem}; stop that program, or run as root, which can redirect the port")
    if find_tool("nft") is None:
        raise MachineError(f"{problem}; stop that program, or run: sudo apt-get install --yes nftables")
    with socket.socket() as probe:
        probe.bind((address, 0))
        number: int = probe.getsockname()[1]
    return number


def set_redirects(folder: Path, address: str, forwards: Mapping[int, int]) -> None:
    """Redirect each port of the machine's address to the port on which its forward listens, if they differ."""
    redirects = {port: to for port, to in forwards.items() if port != to}
    if not redirects:
        remove_redirects(folder)
        return
    (folder / MARKER).touch()
    table = f"table ip {cgroups.group_name(folder)}"
    rules = "\n".join(f"ip daddr {address} tcp dport {port} dnat to {address}:{to}" for port, to in redirects.items())
    # Declared first, because only an existing table can be deleted; the three statements are one transaction.
    chain = f"chain output {{ type nat hook output priority -100;\n{rules}\n}}"
    done = _nft(f"{table}\ndelete {table}\n{table} {{\n{chain}\n}}\n")
    if done.returncode != 0:
        ports = ", ".join(map(str, redirects))
        raise MachineError(f"cannot open port {ports} of {address}: nft: {done.stderr.strip().splitlines()[0]}")


def remove_redirects(folder: Path) -> bool:
    """Remove the machine's redirects. Return True if there were any."""
    if not (folder / MARKER).exists():
        return False
    table = f"table ip {cgroups.group_name(folder)}"
    _nft(f"{table}\ndelete {table}\n")
    (folder / MARKER).unlink(missing_ok=True)
    return True


def _nft(script: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([tool_path("nft"), "--file", "-"], check=False, input=script, capture_output=True, text=True)
