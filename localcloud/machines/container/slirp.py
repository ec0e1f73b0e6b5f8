"""Port forwards of a running slirp4netns, through its API socket (slirp4netns(1), "API socket")."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

from localcloud.machines import port_redirect
from localcloud.machines.errors import MachineError
from localcloud.machines.interface import GUEST_ADDRESS
from localcloud.machines.unix_socket import short_path


def forward_ports(api: Path, address: str, ports: frozenset[int]) -> None:
    """Open exactly these TCP ports of the guest on `address`. Raises MachineError if one is in use."""
    entries = _execute(api, "list_hostfwd")["entries"]
    forwards = {entry["guest_port"]: entry["host_port"] for entry in entries}
    for entry in entries:
        if entry["guest_port"] not in ports:
            _execute(api, "remove_hostfwd", id=entry["id"])
            del forwards[entry["guest_port"]]
    for port in sorted(ports - forwards.keys()):
        try:
            _add_forward(api, address, port, port)
            forwards[port] = port
        except MachineError:
            forwards[port] = port_redirect.find_free_port(address, port)
            _add_forward(api, address, forwards[port], port)
    port_redirect.set_redirects(api.parent, address, forwards)


def _add_forward(api: Path, address: str, host_port: int, guest_port: int) -> None:
    forward = {"host_addr": address, "host_port": host_port, "guest_addr": GUEST_ADDRESS, "guest_port": guest_port}
    _execute(api, "add_hostfwd", proto="tcp", **forward)


def _execute(api: Path, command: str, **arguments: Any) -> dict[str, Any]:
    request = {"execute": command, "arguments": arguments} if arguments else {"execute": command}
    try:
        with short_path(api) as path, socket.socket(socket.AF_UNIX) as client:
            client.settimeout(10)
            client.connect(path)
            client.sendall(json.dumps(request).encode())
            client.shutdown(socket.SHUT_WR)
            reply: dict[str, Any] = json.loads(b"".join(iter(lambda: client.recv(65536), b"")))
    except OSError as error:
        raise MachineError(f"cannot reach the machine's network ({api}): {error}") from error
    if "error" in reply:
        raise MachineError(f"slirp4netns refused {command}: {reply['error'].get('desc', reply['error'])}")
    result: dict[str, Any] = reply.get("return", reply)  # the reply to list_hostfwd has no envelope
    return result
