"""Talk to a running QEMU over its QMP socket (QEMU Machine Protocol), one connection a command."""

from __future__ import annotations

import json
import os
import socket
import time
from pathlib import Path
from typing import Any

from localcloud.machines.errors import MachineError


def execute(path: Path, command: str, arguments: dict[str, Any] | None = None, timeout: float = 10) -> Any:
    """Run one command and return its result. Raises MachineError when QEMU does not answer or refuses."""
    deadline = time.monotonic() + timeout
    try:
        with connect(path, deadline) as client, client.makefile("rwb") as stream:
            json.loads(stream.readline())  # the greeting
            _call(stream, "qmp_capabilities", {})
            return _call(stream, command, arguments or {})
    except (OSError, ValueError) as error:
        raise MachineError(f"cannot reach the virtual machine ({path}): {error}") from error


def execute_with_retry(path: Path, command: str, arguments: dict[str, Any], seconds: float = 10) -> None:
    """Run a command that QEMU refuses until it has finished another, of which it tells in events only."""
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
    """Run one command of the agent in the guest. Raises MachineError when no agent answers or it refuses.

    A byte that no text has makes the agent drop what an earlier, broken-off connection left it with.
    """
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
    """Run a line of the human monitor, for what QMP has no command for; what it prints is its error, if any."""
    answer: str = execute(path, "human-monitor-command", {"command-line": line})
    return answer.strip()


def connect(path: Path, deadline: float) -> socket.socket:
    """Connect to a socket that may not be there yet, by a path that may be longer than a socket's may be."""
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
    try:
        while True:
            client = socket.socket(socket.AF_UNIX)
            client.settimeout(max(0.1, deadline - time.monotonic()))
            try:
                client.connect(f"/proc/self/fd/{folder}/{path.name}")
            except (FileNotFoundError, ConnectionRefusedError):
                client.close()
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.01)
            else:
                return client
    finally:
        os.close(folder)


def _call(stream: Any, command: str, arguments: dict[str, Any]) -> Any:
    stream.write(json.dumps({"execute": command, "arguments": arguments}).encode() + b"\n")
    stream.flush()
    while True:
        reply = json.loads(stream.readline())  # an empty line, at the end, is a ValueError
        if "error" in reply:
            raise MachineError(f"QEMU refused {command}: {reply['error']['desc']}")
        if "return" in reply:  # else an event
            return reply["return"]
