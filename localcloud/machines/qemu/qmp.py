"""Client of a running QEMU's QMP socket (QEMU Machine Protocol), with one connection per command."""

from __future__ import annotations

import json
import socket
import time
from pathlib import Path
from typing import Any

from localcloud.machines.errors import MachineError
from localcloud.machines.unix_socket import short_path


def execute(path: Path, command: str, arguments: dict[str, Any] | None = None, timeout: float = 10) -> Any:
    """Run one command and return its result. Raises MachineError if QEMU does not answer or refuses."""
    deadline = time.monotonic() + timeout
    try:
        with connect(path, deadline) as client, client.makefile("rwb") as stream:
            json.loads(stream.readline())  # the greeting
            _call(stream, "qmp_capabilities", {})
            return _call(stream, command, arguments or {})
    except (OSError, ValueError) as error:
        raise MachineError(f"cannot reach the virtual machine ({path}): {error}") from error


def execute_with_retry(path: Path, command: str, arguments: dict[str, Any], seconds: float = 10) -> None:
    """Run a command that QEMU refuses until a previous one, whose end it reports only as an event, has finished."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            execute(path, command, arguments)
            return
        except MachineError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def run_agent_command(path: Path, command: str, arguments: dict[str, Any], timeout: float = 5) -> Any:
    """Run one command of the agent in the guest. Raises MachineError if no agent answers or it refuses. The byte 0xff makes the
    agent's parser drop the rest of an earlier, interrupted command."""
    deadline, number = time.monotonic() + timeout, time.monotonic_ns() % 2**31
    try:
        with connect(path, deadline) as client, client.makefile("rwb") as stream:
            stream.write(b"\xff")
            stream.write(json.dumps({"execute": "guest-sync-delimited", "arguments": {"id": number}}).encode() + b"\n")
            stream.flush()
            while stream.read(1) not in (b"\xff", b""):
                pass
            if json.loads(stream.readline())["return"] != number:
                raise MachineError("the agent in the virtual machine does not answer in order")
            return _call(stream, command, arguments)
    except (OSError, ValueError) as error:
        raise MachineError(f"the agent in the virtual machine does not answer ({path}): {error}") from error


def run_monitor_command(path: Path, line: str) -> str:
    """Run a command of the human monitor that QMP lacks. Return its output: the error message, if any."""
    output: str = execute(path, "human-monitor-command", {"command-line": line})
    return output.strip()


def connect(path: Path, deadline: float) -> socket.socket:
    """Connect to a socket that may not exist yet, until `deadline` (time.monotonic)."""
    with short_path(path) as address:
        while True:
            client = socket.socket(socket.AF_UNIX)
            client.settimeout(max(0.1, deadline - time.monotonic()))
            try:
                client.connect(address)
            except (FileNotFoundError, ConnectionRefusedError):
                client.close()
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.01)
            else:
                return client


def _call(stream: Any, command: str, arguments: dict[str, Any]) -> Any:
    stream.write(json.dumps({"execute": command, "arguments": arguments}).encode() + b"\n")
    stream.flush()
    while True:
        reply = json.loads(stream.readline())  # an empty line, at the end, is a ValueError
        if "error" in reply:
            raise MachineError(f"QEMU refused {command}: {reply['error']['desc']}")
        if "return" in reply:  # else an event
            return reply["return"]
