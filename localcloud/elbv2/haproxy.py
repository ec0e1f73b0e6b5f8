"""The HAProxy process of all load balancers: updated while it runs, or replaced without dropping connections."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import time
from pathlib import Path

from localcloud.elbv2.haproxy_config import Plan, Server, render
from localcloud.errors import CloudError
from localcloud.machines import port_redirect
from localcloud.machines.errors import find_tool
from localcloud.machines.unix_socket import short_path

SPARE_SLOTS = 8  # free server slots of a backend, so that new targets need no new process
START_SECONDS = 10.0


class HAProxy:
    """One HAProxy. Call it from one thread only: the kernel's parent-death signal is tied to that thread."""

    def __init__(self, folder: Path, machines: Path) -> None:
        """Start nothing before apply(). `folder` holds the configuration, log and control socket; cleanup.reap() finds port
        redirects after a crash in `machines`."""
        self._folder, self._machines = folder, machines
        self._redirects: dict[tuple[str, int], int] = {}
        self._process: subprocess.Popen[bytes] | None = None
        self._former: list[subprocess.Popen[bytes]] = []
        self._slots: dict[str, list[str | None]] = {}
        self._running = Plan()

    def apply(self, plan: Plan) -> None:
        """Make the process follow the plan. Raises CloudError with the reason if HAProxy fails."""
        self._former = [process for process in self._former if process.poll() is None]
        alive = self._process is not None and self._process.poll() is None
        if not plan.frontends:
            if alive:
                self.stop()
            self._running = plan
        if not plan.frontends or (alive and plan == self._running):
            return
        same = plan.frontends == self._running.frontends and set(plan.backends) == set(self._running.backends)
        if not (alive and same and self._update_servers(plan)):
            self._replace(plan)
        self._running = plan

    def stop(self) -> None:
        """End the process, and former ones that still complete requests."""
        for process in [*self._former, self._process]:
            if process is not None and process.poll() is None:
                process.terminate()
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(5)
                if process.poll() is None:
                    process.kill()
                    process.wait()
        for folder in self._machines.glob("balancer-*"):
            port_redirect.remove_redirects(folder)
            folder.rmdir()
        self._process, self._former, self._running, self._redirects = None, [], Plan(), {}

    def _update_servers(self, plan: Plan) -> bool:
        """Update the targets of the running process. Returns False if slots are missing or a command fails."""
        commands = []
        for name, servers in plan.backends.items():
            before = {server.target: server for server in self._running.backends[name]}
            if servers == self._running.backends[name]:
                continue
            slots, current = self._slots[name], {server.target: server for server in servers}
            for index, target in enumerate(slots):
                if target is not None and target not in current:
                    commands.append(f"set server {name}/s{index} state maint")
                    slots[index] = None
            for target, server in current.items():
                if target not in slots:
                    if None not in slots:
                        return False
                    slots[slots.index(None)] = target
                    before.pop(target, None)
                commands += server_commands(f"{name}/s{slots.index(target)}", before.get(target), server)
        try:
            return all(is_accepted(self._command(command)) for command in commands)
        except OSError:
            return False

    def _replace(self, plan: Plan) -> None:
        """Start a new process, which takes over the listening sockets while the former one completes its requests."""
        program = find_tool("haproxy")
        if program is None:
            raise CloudError("HAProxy is not installed: sudo apt-get install --no-install-recommends haproxy")
        self._folder.mkdir(parents=True, exist_ok=True)
        for name, servers in plan.backends.items():
            targets = [server.target for server in servers]
            slots = [target if target in targets else None for target in self._slots.get(name, [])]
            for target in targets:
                if target not in slots:
                    if None not in slots:
                        slots.append(None)
                    slots[slots.index(None)] = target
            self._slots[name] = slots + [None] * max(0, SPARE_SLOTS - slots.count(None))
        config = self._folder / "haproxy.cfg"
        config.write_text(render(plan, self._slots, self._redirect_ports(plan)))
        argv = ["setpriv", "--pdeathsig", "KILL", "--", program, "-db", "-f", config.name]
        former = self._process if self._process is not None and self._process.poll() is None else None
        if former is not None:
            argv += ["-x", "haproxy.sock", "-sf", str(former.pid)]
        with (self._folder / "haproxy.log").open("ab") as log:
            start = log.tell()
            process = subprocess.Popen(argv, cwd=self._folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        end = time.monotonic() + START_SECONDS
        while not self._serves(process):
            if process.poll() is not None or time.monotonic() > end:
                process.kill()
                process.wait()
                output = (self._folder / "haproxy.log").read_bytes()[start:].decode(errors="replace").strip()
                raise CloudError(f"HAProxy does not start: {output or f'exit status {process.returncode}'}")
            time.sleep(0.02)
        if former is not None:
            self._former.append(former)
        self._process = process

    def _redirect_ports(self, plan: Plan) -> dict[tuple[str, int], int]:
        """Redirect listeners' ports that a program of the host holds on all addresses. Return (host, port) -> port."""
        desired = {(frontend.host, frontend.port) for frontend in plan.frontends}
        current = {(frontend.host, frontend.port) for frontend in self._running.frontends} if self._process else set()
        for listener in desired - current:
            if not can_bind(*listener):
                self._redirects[listener] = port_redirect.find_free_port(*listener)
        self._redirects = {listener: port for listener, port in self._redirects.items() if listener in desired}
        for host in {host for host, _ in desired | current}:
            folder = self._machines / f"balancer-{host}"
            folder.mkdir(exist_ok=True)
            forwards = {port: to for (address, port), to in self._redirects.items() if address == host}
            port_redirect.set_redirects(folder, host, forwards)
        return self._redirects

    def _serves(self, process: subprocess.Popen[bytes]) -> bool:
        try:
            return f"Pid: {process.pid}\n" in self._command("show info")
        except OSError:
            return False

    def _command(self, command: str) -> str:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
            client.settimeout(5)
            with short_path(self._folder / "haproxy.sock") as path:
                client.connect(path)
            client.sendall(command.encode() + b"\n")
            return b"".join(iter(lambda: client.recv(65536), b"")).decode(errors="replace")


def server_commands(slot: str, before: Server | None, now: Server) -> list[str]:
    """Return the commands that change a slot's server from `before` to `now`."""
    commands = []
    if before is None or (before.host, before.port) != (now.host, now.port):
        commands.append(f"set server {slot} addr {now.host} port {now.port}")
    if before is None or before.up != now.up or commands:
        commands.append(f"set server {slot} state {'ready' if now.up else 'maint'}")
    return commands


def can_bind(host: str, port: int) -> bool:
    """Return False if another program holds the port."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except PermissionError:
            return True  # HAProxy fails with a better message
        except OSError:
            return False
    return True


def is_accepted(reply: str) -> bool:
    """Return True if HAProxy's reply to a command is not an error."""
    return not any(word in reply for word in ("No such", "Unknown", "Invalid", "Permission denied", "Require", "Can't"))
