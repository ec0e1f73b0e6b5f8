"""Start, stop and find supervisor processes (supervisor.py) from the server."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from localcloud.machines.errors import MachineError

SUPERVISOR = Path(__file__).with_name("supervisor.py")
LAUNCH_SECONDS = 60.0
"""Timeout of a launch, which takes a fraction of a second unless the host is overloaded."""
LOG = "supervisor.log"

ENVIRONMENT_MARK = "GOLDENAMI_MACHINE"
"""Environment variable of every process of a machine; its value is the machine's folder. cleanup.reap() uses it."""


def launch(folder: Path, kind: str, plan: dict[str, Any], prefix: list[str]) -> subprocess.Popen[bytes]:
    """Start a supervisor and wait until it reports that the machine is launched. Raises MachineError with its reason."""
    environment = {
        "PATH": os.environ.get("PATH", "/usr/bin:/bin") + ":/usr/local/sbin:/usr/sbin:/sbin",
        "LANG": "C.UTF-8",
        ENVIRONMENT_MARK: str(folder),
    }
    with (folder / LOG).open("wb") as log:
        process = subprocess.Popen(
            [*prefix, sys.executable, "-I", "-S", str(SUPERVISOR), kind],
            cwd=folder, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log,
            start_new_session=True,  # a ^C at the terminal is for the server only
        )  # fmt: skip
    send_line(process, json.dumps(plan))
    reply = _read_reply(process, LAUNCH_SECONDS)
    if reply != "ready":
        terminate(process)
        detail = reply.removeprefix("error ") or last_line(folder / LOG) or "its supervisor ended at once"
        raise MachineError(f"cannot start machine {folder.name}: {detail}")
    return process


def send_line(process: subprocess.Popen[bytes], line: str) -> None:
    if process.stdin is not None:
        with contextlib.suppress(BrokenPipeError):
            process.stdin.write(line.encode() + b"\n")
            process.stdin.flush()


def terminate(process: subprocess.Popen[bytes]) -> None:
    """Kill a supervisor with all its processes."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with contextlib.suppress(OSError):
                pipe.close()


def find_processes(folder: Path) -> Iterator[int]:
    """Yield the processes of the machines in `folder` (one machine's folder, or the folder of all machines)."""
    mark = f"{ENVIRONMENT_MARK}={folder}".encode()
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal() and int(entry.name) != os.getpid():
            try:
                values = (entry / "environ").read_bytes().split(b"\0")
            except OSError:
                continue
            if any(value == mark or value.startswith(mark + b"/") for value in values):
                yield int(entry.name)


def kill_processes(folder: Path, timeout: float = 5.0) -> list[int]:
    """Kill the processes of the machines in `folder` until none is left. Return their ids."""
    killed: set[int] = set()
    deadline = time.monotonic() + timeout
    while (pids := list(find_processes(folder))) and time.monotonic() < deadline:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
                killed.add(pid)
        time.sleep(0.02)
    return sorted(killed)


def _read_reply(process: subprocess.Popen[bytes], timeout: float) -> str:
    if process.stdout is None:
        return ""
    readable, _, _ = select.select([process.stdout], [], [], timeout)
    if not readable:
        return f"error it was not launched within {timeout:.0f} s"
    return process.stdout.readline().decode(errors="replace").strip()


def last_line(path: Path) -> str:
    lines = path.read_text(errors="replace").strip().splitlines()
    return lines[-1] if lines else ""
