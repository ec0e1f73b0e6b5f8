"""The load balancers' process: started on demand, told of targets while it runs, replaced without a lost connection."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import time
from pathlib import Path

from localcloud.elbv2.haproxy_config import Plan, Server, render
from localcloud.errors import CloudError
from localcloud.machines import port_redirect

SPARE_SLOTS = 8  # free slots of a backend, so that targets come without a new process
START_SECONDS = 10.0


class HAProxy:
    """One HAProxy. All its calls come from one thread: the kernel's parent-death signal is tied to that thread."""

    def __init__(self, folder: Path, machines: Path) -> None:
        """`machines`: the folder in which what must not outlive the cloud is recorded (machines.reap)."""
        self._folder, self._machines = folder, machines
        self._detours: dict[tuple[str, int], int] = {}
        self._process: subprocess.Popen[bytes] | None = None
        self._former: list[subprocess.Popen[bytes]] = []
        self._slots: dict[str, list[str | None]] = {}
        self._running = Plan()

    def apply(self, plan: Plan) -> None:
        """Make the process do what the plan says. Raises CloudError with the reason when it cannot."""
        self._former = [one for one in self._former if one.poll() is None]
        alive = self._process is not None and self._process.poll() is None
        if not plan.frontends:
            if alive:
                self.stop()
            self._running = plan
            return
        if alive and plan == self._running:
            return
        same = alive and plan.frontends == self._running.frontends and set(plan.backends) == set(self._running.backends)
        if not (same and self._update_servers(plan)):
            self._replace(plan)
        self._running = plan

    def stop(self) -> None:
        """End it, and those that still finish their requests."""
        for one in [*self._former, self._process]:
            if one is not None and one.poll() is None:
                one.terminate()
                with contextlib.suppress(subprocess.TimeoutExpired):
                    one.wait(5)
                if one.poll() is None:
                    one.kill()
                    one.wait()
        for folder in self._machines.glob("balancer-*"):
            port_redirect.remove_redirects(folder)
            folder.rmdir()
        self._process, self._former, self._running, self._detours = None, [], Plan(), {}

    def _update_servers(self, plan: Plan) -> bool:
        """Change targets in the running process; False when there is no room or it does not understand."""
        orders = []
        for name, servers in plan.backends.items():
            before = {one.target: one for one in self._running.backends[name]}
            if servers == self._running.backends[name]:
                continue
            slots, known = self._slots[name], {one.target: one for one in servers}
            for index, target in enumerate(slots):
                if target is not None and target not in known:
                    orders.append(f"set server {name}/s{index} state maint")
                    slots[index] = None
            for target, server in known.items():
                if target not in slots:
                    if None not in slots:
                        return False
                    slots[slots.index(None)] = target
                    before.pop(target, None)
                orders += server_commands(f"{name}/s{slots.index(target)}", before.get(target), server)
        try:
            return all(is_accepted(self._command(order)) for order in orders)
        except OSError:
            return False

    def _replace(self, plan: Plan) -> None:
        """Start a new process, which takes the listening sockets over; the former one finishes its requests."""
        program = shutil.which("haproxy") or shutil.which("haproxy", path="/usr/sbin:/usr/local/sbin")
        if program is None:
            raise CloudError("HAProxy is not installed: sudo apt-get install --no-install-recommends haproxy")
        self._folder.mkdir(parents=True, exist_ok=True)
        for name, servers in plan.backends.items():
            known = [one.target for one in servers]
            slots = [target if target in known else None for target in self._slots.get(name, [])]
            for target in known:
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
                said = (self._folder / "haproxy.log").read_bytes()[start:].decode(errors="replace").strip()
                raise CloudError(f"HAProxy does not start: {said or f'exit status {process.returncode}'}")
            time.sleep(0.02)
        if former is not None:
            self._former.append(former)
        self._process = process

    def _redirect_ports(self, plan: Plan) -> dict[tuple[str, int], int]:
        """Ports that a program of the host holds on all addresses: where we listen for them instead."""
        asked = {(one.host, one.port) for one in plan.frontends}
        held = {(one.host, one.port) for one in self._running.frontends} if self._process is not None else set()
        for place in asked - held:
            if not can_bind(*place):
                self._detours[place] = port_redirect.find_free_port(*place)
        self._detours = {place: port for place, port in self._detours.items() if place in asked}
        for host in {host for host, _ in asked | held}:
            folder = self._machines / f"balancer-{host}"
            folder.mkdir(exist_ok=True)
            port_redirect.set_redirects(
                folder, host, {port: to for (at, port), to in self._detours.items() if at == host}
            )
        return self._detours

    def _serves(self, process: subprocess.Popen[bytes]) -> bool:
        try:
            return f"Pid: {process.pid}\n" in self._command("show info")
        except OSError:
            return False

    def _command(self, order: str) -> str:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
            client.settimeout(5)
            # sun_path holds 107 bytes and state folders may lie deep: connect through the folder's descriptor
            folder = os.open(self._folder, os.O_PATH)
            try:
                client.connect(f"/proc/self/fd/{folder}/haproxy.sock")
            finally:
                os.close(folder)
            client.sendall(order.encode() + b"\n")
            answer = b""
            while part := client.recv(65536):
                answer += part
        return answer.decode(errors="replace")


def server_commands(place: str, before: Server | None, now: Server) -> list[str]:
    """The orders that make a slot what it is to be."""
    orders = []
    if before is None or (before.host, before.port) != (now.host, now.port):
        orders.append(f"set server {place} addr {now.host} port {now.port}")
    if before is None or before.up != now.up or orders:
        orders.append(f"set server {place} state {'ready' if now.up else 'maint'}")
    return orders


def can_bind(host: str, port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except PermissionError:
            return True  # HAProxy says it better
        except OSError:
            return False
    return True


def is_accepted(answer: str) -> bool:
    return not any(
        word in answer for word in ("No such", "Unknown", "Invalid", "Permission denied", "Require", "Can't")
    )
