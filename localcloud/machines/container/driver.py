"""The fast driver: a systemd-nspawn container with its own systemd, network and loopback address. Linux, root."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from localcloud.machines import cgroups, guest_exec, loop_devices, port_redirect, supervised
from localcloud.machines.console import read_tail
from localcloud.machines.container import slirp, volumes
from localcloud.machines.errors import MachineError, install_hint, missing_tools
from localcloud.machines.interface import (
    API_ADDRESS,
    GATEWAY_ADDRESS,
    GUEST_ADDRESS,
    GUEST_NETWORK,
    METADATA_ADDRESS,
    DataVolume,
    MachineSpec,
)

_SOCKET_PATH = 107  # bytes: sun_path of unix(7), less its terminating zero
TOOLS = ("systemd-nspawn", "slirp4netns", "socat", "ip", "mount", "unshare", "nsenter", "setpriv")
DEVICES = {"/dev/loop-control": "loop", "/dev/net/tun": "tun"}
"""Device files that a container needs, and the kernel module that brings each."""


def unavailable_reason() -> str | None:
    """Why this driver cannot work here, as a sentence with its mend; None when it can."""
    if sys.platform != "linux":
        return "containers need Linux"
    if os.geteuid() != 0:
        return "containers need root; run the command with sudo"
    if absent := missing_tools(TOOLS):
        return install_hint(absent)
    for device, module in DEVICES.items():
        if not Path(device).exists():
            return f"containers need {device}; run: sudo modprobe {module}"
    # Root within an ordinary Docker container may do none of this.
    trial = subprocess.run(
        ["unshare", "--mount", "--pid", "--fork", "true"], check=False, capture_output=True, text=True
    )
    if trial.returncode != 0:
        return f"containers need a root that may make namespaces ({trial.stderr.strip()})"
    return None


def check_socket_paths(machines: Path) -> None:
    """Raise MachineError where the sockets of a machine in this folder would have longer paths than the kernel takes."""
    longest = len(os.fsencode(machines / ("i-" + 17 * "0") / "slirp.sock"))
    if longest > _SOCKET_PATH:
        raise MachineError(
            f"the path of the state folder is too long for the sockets in it, by {longest - _SOCKET_PATH} bytes:"
            " name another in GOLDENAMI_STATE"
        )


def nspawn_argv(spec: MachineSpec) -> list[str]:
    """The container's command. Nothing that it does is written to the disk, and nothing registers with the host."""
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


class ContainerMachine:
    """One container; see model.Machine."""

    def __init__(self, spec: MachineSpec) -> None:
        self._spec = spec
        self._lock = threading.RLock()
        self._process: subprocess.Popen[bytes] | None = None
        self._volumes = volumes.Volumes()

    def start(self) -> None:
        spec = self._spec
        with self._lock:
            if self.is_alive():
                return
            if not spec.disk.is_file():
                raise MachineError(f"cannot start machine {spec.instance_id}: its disk {spec.disk} does not exist")
            if attached := loop_devices.find_devices(spec.disk):
                raise MachineError(
                    f"cannot start machine {spec.instance_id}: its disk {spec.disk} is in use by {attached[0]}"
                )
            spec.folder.mkdir(parents=True, exist_ok=True)
            try:
                for volume in spec.volumes:
                    self._volumes.add(volume, None)
            except MachineError:
                self.kill()
                raise
            plan = {
                "cgroups": [str(path) for path in cgroups.create(spec.folder)],
                "disk": str(spec.disk),
                "volumes": self._volumes.device_numbers(),
                "argv": nspawn_argv(spec),
                "network": GUEST_NETWORK,
                "range": spec.range,
                "gateway": GATEWAY_ADDRESS,
                "address": GUEST_ADDRESS,
                "metadata_address": METADATA_ADDRESS,
                "api_address": API_ADDRESS,
            }
            prefix = [
                "setpriv", "--pdeathsig", "KILL", "--",
                "unshare", "--mount", "--pid", "--mount-proc", "--fork", "--kill-child=KILL", "--",
            ]  # fmt: skip
            try:
                self._process = supervised.launch(spec.folder, "container", plan, prefix)
                self.open_ports(spec.ports)
            except BaseException:
                self.kill()
                raise

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

    def is_alive(self) -> bool:
        process = self._process
        if process is None:
            return False
        if process.poll() is None:
            return True
        self.kill()  # it powered itself off: release what it had
        return False

    @contextmanager
    def freeze(self) -> Iterator[None]:
        folder = self._spec.folder
        with self._lock:
            if not self.is_alive():
                yield
                return
            inside = cgroups.list_processes(folder)
            with cgroups.frozen(folder):
                if inside:
                    volumes.sync_file_system(Path(f"/proc/{inside[0]}/root") / folder.relative_to("/") / "root")
                self._volumes.flush(inside)
                yield

    def attach_volume(self, volume: DataVolume) -> None:
        with self._lock:
            if not self.is_alive():
                raise MachineError(f"machine {self._spec.instance_id} is off")
            self._volumes.add(volume, self._devices())

    def detach_volume(self, volume_id: str) -> bool:
        with self._lock:
            return self._volumes.remove(volume_id, self._devices() if self.is_alive() else None)

    def resize_volume(self, volume_id: str, size: int) -> None:
        with self._lock:
            self._volumes.resize(volume_id, size)

    def _devices(self) -> Path:
        """The guest's /dev/disk/by-id as this process sees it: in the mount namespace of the machine's keeper."""
        keeper = self._process.pid if self._process else 0
        return Path(f"/proc/{keeper}/root{self._spec.folder}/devices/by-id")

    def run(self, argv: Sequence[str], stdin: bytes, timeout: float) -> guest_exec.CommandResult:
        if not self.is_alive():
            raise MachineError(f"machine {self._spec.instance_id} is off")
        return guest_exec.run_in_container(self._spec.folder, argv, stdin, timeout)

    def console(self) -> bytes:
        return read_tail(self._spec.folder / "console.log")


class ContainerDriver:
    """Makes containers."""

    name = "container"

    def machine(self, spec: MachineSpec) -> ContainerMachine:
        return ContainerMachine(spec)
