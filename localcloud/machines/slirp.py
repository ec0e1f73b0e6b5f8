"""Port forwards of a running slirp4netns, through its API socket (slirp4netns(1), "API socket")."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path
from typing import Any

from localcloud.machines.errors import MachineError
from localcloud.machines.model import GUEST_ADDRESS


def forward(api: Path, address: str, ports: frozenset[int]) -> None:
    """Make exactly these TCP ports of the guest answer on `address`. Raises MachineError when one is taken."""
    present = {
        entry["host_port"]: entry["id"]
        for entry in _ask(api, "list_hostfwd")["entries"]
        if entry["host_addr"] == address
    }
    for port in sorted(present.keys() - ports):
        _ask(api, "remove_hostfwd", id=present[port])
    for port in sorted(ports - present.keys()):
        arguments = {"host_addr": address, "host_port": port, "guest_addr": GUEST_ADDRESS, "guest_port": port}
        try:
            _ask(api, "add_hostfwd", proto="tcp", **arguments)
        except MachineError as error:
            raise MachineError(
                f"cannot open port {port} of {address}: another program listens on it, maybe on all addresses "
                f"(see: ss -ltnp 'sport = :{port}')"
            ) from error


def _ask(api: Path, command: str, **arguments: Any) -> dict[str, Any]:
    request = {"execute": command, "arguments": arguments} if arguments else {"execute": command}
    folder = os.open(api.parent, os.O_PATH | os.O_DIRECTORY)
    try:
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(10)
            # Through the descriptor: a socket's path may have 107 bytes only, a state folder's may have more.
            client.connect(f"/proc/self/fd/{folder}/{api.name}")
            client.sendall(json.dumps(request).encode())
            client.shutdown(socket.SHUT_WR)
            answer = b"".join(iter(lambda: client.recv(65536), b""))
    except OSError as error:
        raise MachineError(f"cannot reach the machine's network ({api}): {error}") from error
    finally:
        os.close(folder)
    reply: dict[str, Any] = json.loads(answer)
    if "error" in reply:
        raise MachineError(f"slirp4netns refused {command}: {reply['error'].get('desc', reply['error'])}")
    result: dict[str, Any] = reply.get("return", reply)  # list_hostfwd answers without the envelope
    return result
