"""Commands inside a machine, run as root in transient units of the machine's own systemd."""

from __future__ import annotations

import base64
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from localcloud.machines import cgroups
from localcloud.machines.errors import MachineError
from localcloud.machines.qemu import qmp

CommandResult = tuple[int, bytes, bytes]
"""Exit code, standard output, standard error."""

GRACE_SECONDS = 15.0  # after the timeout, for the machine's systemd to end the unit


def unit_argv(argv: Sequence[str], timeout: float) -> list[str]:
    """Return the command that runs `argv` as a unit: with the guest's limits and environment, ended with its children."""
    return [
        "systemd-run", "--quiet", "--pipe", "--wait", "--collect", "--service-type=exec",
        f"--property=RuntimeMaxSec={timeout:g}", "--", *argv,
    ]  # fmt: skip


def find_init(folder: Path) -> int:
    """Return the host's process id of a container's init. Raises MachineError if it has none (yet)."""
    depths: dict[int, int] = {}
    supervisor_depth = 0
    for pid in cgroups.list_processes(folder):
        try:
            status = (Path("/proc") / str(pid) / "status").read_text()
        except OSError:
            continue
        numbers = next(line for line in status.splitlines() if line.startswith("NSpid:")).split()[1:]
        if numbers[-1] == "1":
            depths[pid] = len(numbers)
            supervisor_depth = min(supervisor_depth or len(numbers), len(numbers))  # process 1 of the outer namespace
    inside = sorted((depth, pid) for pid, depth in depths.items() if depth > supervisor_depth)
    if not inside:
        raise MachineError(f"machine {folder.name} does not accept commands: it is off or has not booted")
    return inside[0][1]


def run_in_container(folder: Path, argv: Sequence[str], stdin: bytes, timeout: float) -> CommandResult:
    """Run a command in a container; see interface.Machine.run."""
    pid = find_init(folder)
    command = ["nsenter", f"--target={pid}", "--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup", "--",
               "env", "-i", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8",
               *unit_argv(argv, timeout)]  # fmt: skip
    started = time.monotonic()
    try:
        done = subprocess.run(command, input=stdin, capture_output=True, check=False, timeout=timeout + GRACE_SECONDS)
    except subprocess.TimeoutExpired as error:
        raise TimeoutError(f"{argv[0]} did not end within {timeout:g} s") from error
    return check_result(folder, argv, timeout, started, (done.returncode, done.stdout, done.stderr))


def run_in_vm(folder: Path, argv: Sequence[str], stdin: bytes, timeout: float) -> CommandResult:
    """Run a command in a virtual machine through the QEMU guest agent; see interface.Machine.run."""
    agent, (program, *arguments) = folder / "agent.sock", unit_argv(argv, timeout)
    started = time.monotonic()
    request: dict[str, Any] = {"path": program, "arg": arguments, "capture-output": True}
    if stdin:
        request["input-data"] = base64.b64encode(stdin).decode()
    pid = qmp.run_agent_command(agent, "guest-exec", request)["pid"]
    while not (status := qmp.run_agent_command(agent, "guest-exec-status", {"pid": pid}))["exited"]:
        if time.monotonic() - started > timeout + GRACE_SECONDS:
            raise TimeoutError(f"{argv[0]} did not end within {timeout:g} s")
        time.sleep(0.1)
    code = status.get("exitcode", 128 + status.get("signal", 0))
    out, err = (base64.b64decode(status.get(name, "")) for name in ("out-data", "err-data"))
    return check_result(folder, argv, timeout, started, (code, out, err))


def check_result(
    folder: Path, argv: Sequence[str], timeout: float, started: float, result: CommandResult
) -> CommandResult:
    """Return the result of a command that ran. Raises MachineError if the guest accepted no command, TimeoutError if it ended the
    command after the timeout."""
    code, _, err = result
    if code != 0 and time.monotonic() - started >= timeout:
        raise TimeoutError(f"{argv[0]} did not end within {timeout:g} s")
    for sign in (b"Failed to connect to bus", b"Failed to create bus connection", b"nsenter: "):
        if code != 0 and sign in err:
            message = err.decode(errors="replace").strip()
            raise MachineError(f"machine {folder.name} does not accept commands: {message}")
    return result
