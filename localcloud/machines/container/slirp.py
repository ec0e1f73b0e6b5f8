"""Port forwards of a running slirp4netns, through its API socket (slirp4netns(1), "API socket")."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path
from typing import Any

from localcloud.machines import port_redirect
from localcloud.machines.errors import MachineError
from localcloud.machines.interface import GUEST_ADDRESS


def forward_ports(api: Path, address: str, ports: frozenset[int]) -> None:
    """Make exactly these TCP ports of the guest answer on `address`. Raises MachineError when one is taken."""
    entries = _execute(api, "list_hostfwd")["entries"]
    present = {entry["guest_port"]: entry["host_port"] for entry in entries}
    for entry in entries:
        if entry["guest_port"] not in ports:
            _execute(api, "remove_hostfwd", id=entry["id"])
            del present[entry["guest_port"]]
    for port in sorted(ports - present.keys()):
        try:
            _add_forward(api, address, port, port)
            present[port] = port
        except MachineError:
            present[port] = port_redirect.find_free_port(address, port)
            _add_forward(api, address, present[port], port)
    port_redirect.set_redirects(api.parent, address, {port: via for port, via in present.items() if via != port})


def _add_forward(api: Path, address: str, host_port: int, guest_port: int) -> None:
    where = {"host_addr": address, "host_port": host_port, "guest_addr": GUEST_ADDRESS, "guest_port": guest_port}
    _execute(api, "add_hostfwd", proto="tcp", **where)


def _execute(api: Path, command: str, **arguments: Any) -> dict[str, Any]:
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
