"""Driver of systemd-nspawn containers, each with its own systemd, network and loopback address. Linux, root."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from localcloud.machines import cgroups, guest_exec, loop_devices, port_redirect, supervised
from localcloud.machines.container import slirp, volumes
from localcloud.machines.errors import MachineError, install_hint, missing_tools
from localcloud.machines.interface import (
    API_ADDRESS,
    GATEWAY_ADDRESS,
    GUEST_ADDRESS,
    GUEST_NETWORK,
    METADATA_ADDRESS,
    MachineSpec,
)
from localcloud.machines.supervised_machine import SupervisedMachine
from localcloud.machines.unix_socket import MAX_PATH

TOOLS = ("systemd-nspawn", "slirp4netns", "socat", "ip", "mount", "unshare", "nsenter", "setpriv")
DEVICES = {"/dev/loop-control": "loop", "/dev/net/tun": "tun"}
"""Device files that a container needs, with their kernel modules."""
# Everything ends with the supervisor: it is the first process of its own PID and mount namespaces.
NAMESPACES = [
    "setpriv", "--pdeathsig", "KILL", "--",
    "unshare", "--mount", "--pid", "--mount-proc", "--fork", "--kill-child=KILL", "--",
]  # fmt: skip


def unavailable_reason() -> str | None:
    """Return why containers cannot run on this host, with the fix; None if they can."""
    if sys.platform != "linux":
        return "containers need Linux"
    if os.geteuid() != 0:
        return "containers need root; run the command with sudo"
    if absent := missing_tools(TOOLS):
        return install_hint(absent)
    for device, module in DEVICES.items():
        if not Path(device).exists():
            return f"containers need {device}; run: sudo modprobe {module}"
    # Root in an unprivileged Docker container cannot create namespaces.
    command = ["unshare", "--mount", "--pid", "--fork", "true"]
    trial = subprocess.run(command, check=False, capture_output=True, text=True)
    if trial.returncode != 0:
        return f"containers need permission to create namespaces ({trial.stderr.strip()})"
    return None


def check_socket_paths(machines: Path) -> None:
    """Raise MachineError if the socket paths of a machine in this folder would be too long for the kernel."""
    longest = len(os.fsencode(machines / ("i-" + 17 * "0") / "slirp.sock"))
    if longest > MAX_PATH:
        raise MachineError(
            f"the path of the state folder is {longest - MAX_PATH} bytes too long for the sockets in it:"
            " set GOLDENAMI_STATE to another folder"
        )


def nspawn_argv(spec: MachineSpec) -> list[str]:
    """Return the container's command. It writes nothing to the disk and does not register with the host."""
    return [
        "systemd-nspawn", "--quiet", "--settings=no", "--register=no", "--keep-unit",
        "--directory=root", f"--machine={spec.instance_id}", f"--hostname={spec.hostname.split('.')[0]}",
        f"--bind={_escape_bind(spec.folder / 'devices')}:/dev/disk",
        "--network-namespace-path=netns", "--capability=CAP_NET_ADMIN",
        "--resolv-conf=off", "--timezone=off", "--link-journal=no",
        "--console=read-only", "--kill-signal=SIGRTMIN+4",
        "--boot", "--", *spec.init_arguments,
    ]  # fmt: skip


def _escape_bind(path: Path) -> str:
    return str(path).replace("\\", "\\\\").replace(":", "\\:")


class ContainerMachine(SupervisedMachine):
    """One container; see interface.Machine."""

    _volumes: volumes.Volumes

    def __init__(self, spec: MachineSpec) -> None:
        super().__init__(spec)
        self._volumes = volumes.Volumes(self._lock, self._devices)

    def start(self) -> None:
        spec = self._spec
        with self._lock:
            if self.is_alive():
                return
            self._check_disk()
            if attached := loop_devices.find_devices(spec.disk):
                problem = f"its disk {spec.disk} is in use by {attached[0]}"
                raise MachineError(f"cannot start machine {spec.instance_id}: {problem}")
            spec.folder.mkdir(parents=True, exist_ok=True)
            try:
                for volume in spec.volumes:
                    self._volumes.add(volume)
                plan = self._plan([str(path) for path in cgroups.create(spec.folder)])
                self._process = supervised.launch(spec.folder, "container", plan, NAMESPACES)
                self.open_ports(spec.ports)
            except BaseException:
                self.kill()
                raise

    def _plan(self, groups: list[str]) -> dict[str, Any]:
        """Return the instructions of the supervisor (supervisor.py)."""
        spec = self._spec
        return {
            "cgroups": groups, "disk": str(spec.disk), "volumes": self._volumes.device_numbers(),
            "argv": nspawn_argv(spec), "network": GUEST_NETWORK, "range": spec.cloud_range,
            "gateway": GATEWAY_ADDRESS, "address": GUEST_ADDRESS, "metadata_address": METADATA_ADDRESS,
            "api_address": API_ADDRESS,
        }  # fmt: skip

    def open_ports(self, ports: frozenset[int]) -> None:
        with self._lock:
            slirp.forward_ports(self._spec.folder / "slirp.sock", self._spec.address, ports)

    def stop(self, timeout: float) -> None:
        if (process := self._process) is not None:
            supervised.send_line(process, "stop")
            with suppress(subprocess.TimeoutExpired):
                process.wait(timeout)
        self.kill()

    def kill(self) -> None:
        with self._lock:
            if self._process is not None:
                cgroups.thaw(self._spec.folder)
                supervised.terminate(self._process)
                self._process = None
            port_redirect.remove_redirects(self._spec.folder)
            self._volumes.close()
            loop_devices.release(self._spec.disk)
            cgroups.remove(self._spec.folder)

    @contextmanager
    def freeze(self) -> Iterator[None]:
        folder = self._spec.folder
        with self._lock:
            if not self.is_alive():
                yield
                return
            processes = cgroups.list_processes(folder)
            with cgroups.frozen(folder):
                volumes.sync_file_system(self._in_namespace("root"))
                self._volumes.flush(processes)
                yield

    def _devices(self) -> Path | None:
        """Return the guest's /dev/disk/by-id; None if the machine is off."""
        return self._in_namespace("devices/by-id") if self._process else None

    def _in_namespace(self, path: str) -> Path:
        """Return a path below the machine's folder as seen in its supervisor's mount namespace."""
        supervisor = self._process.pid if self._process else 0
        return Path(f"/proc/{supervisor}/root{self._spec.folder}/{path}")

    def _execute(self, folder: Path, argv: Sequence[str], stdin: bytes, timeout: float) -> guest_exec.CommandResult:
        return guest_exec.run_in_container(folder, argv, stdin, timeout)


class ContainerDriver:
    """Creates containers."""

    name = "container"

    def machine(self, spec: MachineSpec) -> ContainerMachine:
        return ContainerMachine(spec)
