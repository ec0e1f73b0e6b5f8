"""Commands inside a machine, as its administrator: as transient units of its own systemd, with its own environment."""

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

GRACE_SECONDS = 15.0  # for the machine's own systemd to end what took too long


def unit_argv(argv: Sequence[str], timeout: float) -> list[str]:
    """A unit instead of a bare process: the guest's limits and environment hold, and all that it started ends with it."""
    return [
        "systemd-run", "--quiet", "--pipe", "--wait", "--collect", "--service-type=exec",
        f"--property=RuntimeMaxSec={timeout:g}", "--", *argv,
    ]  # fmt: skip


def find_init(folder: Path) -> int:
    """The process id (here) of a container's own first process. Raises MachineError when it has none (yet)."""
    depths: dict[int, int] = {}
    keeper = 0
    for pid in cgroups.list_processes(folder):
        try:
            status = (Path("/proc") / str(pid) / "status").read_text()
        except OSError:
            continue
        numbers = next(line for line in status.splitlines() if line.startswith("NSpid:")).split()[1:]
        if numbers[-1] == "1":
            depths[pid] = len(numbers)
            keeper = min(keeper or len(numbers), len(numbers))  # the keeper is the first of a namespace around it
    inside = sorted((depth, pid) for pid, depth in depths.items() if depth > keeper)
    if not inside:
        raise MachineError(f"machine {folder.name} does not take commands: it is off or has not booted")
    return inside[0][1]


def run_in_container(folder: Path, argv: Sequence[str], stdin: bytes, timeout: float) -> CommandResult:
    """See model.Machine.run."""
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
    """See model.Machine.run: through the guest agent, over its virtual serial port."""
    agent, (program, *arguments) = folder / "agent.sock", unit_argv(argv, timeout)
    started = time.monotonic()
    asked: dict[str, Any] = {"path": program, "arg": arguments, "capture-output": True}
    if stdin:
        asked["input-data"] = base64.b64encode(stdin).decode()
    pid = qmp.run_agent_command(agent, "guest-exec", asked)["pid"]
    while True:
        told = qmp.run_agent_command(agent, "guest-exec-status", {"pid": pid})
        if told["exited"]:
            break
        if time.monotonic() - started > timeout + GRACE_SECONDS:
            raise TimeoutError(f"{argv[0]} did not end within {timeout:g} s")
        time.sleep(0.1)
    code = told.get("exitcode", 128 + told.get("signal", 0))
    out, err = (base64.b64decode(told.get(name, "")) for name in ("out-data", "err-data"))
    return check_result(folder, argv, timeout, started, (code, out, err))


def check_result(
    folder: Path, argv: Sequence[str], timeout: float, started: float, ran: CommandResult
) -> CommandResult:
    """Tell a guest that took no command, and one that ended it for its time, from a command that failed."""
    code, _, err = ran
    if code != 0 and time.monotonic() - started >= timeout:
        raise TimeoutError(f"{argv[0]} did not end within {timeout:g} s")
    for sign in (b"Failed to connect to bus", b"Failed to create bus connection", b"nsenter: "):
        if code != 0 and sign in err:
            raise MachineError(f"machine {folder.name} does not take commands: {err.decode(errors='replace').strip()}")
    return ran
