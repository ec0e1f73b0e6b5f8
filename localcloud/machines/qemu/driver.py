"""The driver that works everywhere: a QEMU virtual machine on user-mode networking, root or not, KVM or emulated."""

from __future__ import annotations

import os
import subprocess
import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from localcloud.machines import guest_exec, port_redirect, supervised
from localcloud.machines.console import read_tail
from localcloud.machines.errors import MachineError, find_tool, install_hint, missing_tools
from localcloud.machines.interface import (
    API_ADDRESS,
    GATEWAY_ADDRESS,
    GUEST_ADDRESS,
    GUEST_NETWORK,
    METADATA_ADDRESS,
    NAME_SERVER_ADDRESS,
    DataVolume,
    MachineSpec,
)
from localcloud.machines.qemu import kernel, qmp, volumes
from localcloud.machines.qemu.kvm import host_architecture

CONSOLES = {"x86_64": "ttyS0", "aarch64": "ttyAMA0"}
MACHINES = {"x86_64": "q35", "aarch64": "virt"}


def unavailable_reason() -> str | None:
    """Why this driver cannot work here, as a sentence with its mend; None when it can."""
    if host_architecture() not in MACHINES:
        return f"virtual machines need an x86_64 or aarch64 host, this is {host_architecture()}"
    absent = missing_tools([f"qemu-system-{host_architecture()}", "socat", "debugfs", "e2fsck"])
    return install_hint(absent) if absent else None


def qemu_argv(spec: MachineSpec, image: kernel.Kernel, accelerator: str) -> list[str]:
    """The virtual machine's command, run in the machine's folder: sockets are named relative to it, because their
    paths may have 107 bytes only. Ports are forwarded later, so that one that is taken can be named."""
    arch = host_architecture()
    # As an EC2 instance of the Nitro kind shows itself to tools that look for one.
    serial = "ec2" + uuid.uuid5(uuid.NAMESPACE_OID, spec.instance_id).hex[3:]
    identity = f"type=1,manufacturer=Amazon EC2,product=t3.micro,serial={serial},uuid={uuid.UUID(serial)}"
    relays = ",".join(
        f"guestfwd=tcp:{address}:80-cmd:{find_tool('socat') or 'socat'} - UNIX-CONNECT:{socket}"
        for address, socket in ((METADATA_ADDRESS, "imds.sock"), (API_ADDRESS, "api.sock"))
    )
    return [
        find_tool(f"qemu-system-{arch}") or f"qemu-system-{arch}",
        "-name", f"{spec.instance_id},process={spec.instance_id}",
        "-machine", MACHINES[arch], "-accel", accelerator, "-cpu", "host" if accelerator == "kvm" else "max",
        "-smp", str(spec.vcpus), "-m", f"{spec.memory_mib}M",
        "-nodefaults", "-no-user-config", "-display", "none",
        "-smbios", identity,
        "-drive", f"file={_escape_commas(str(spec.disk))},format=raw,if=virtio,cache=unsafe,discard=unmap",
        *volumes.volume_argv(spec.volumes),
        "-device", "virtio-rng-pci",
        "-netdev", f"user,id=net0,ipv6=off,net={GUEST_NETWORK},host={GATEWAY_ADDRESS},dns={NAME_SERVER_ADDRESS},"
                   f"dhcpstart={GUEST_ADDRESS},{relays}",
        "-device", "virtio-net-pci,netdev=net0,romfile=",
        "-chardev", "socket,id=console,path=console.sock,server=on,wait=off,logfile=console.log,logappend=off",
        "-serial", "chardev:console",
        "-qmp", "unix:qmp.sock,server=on,wait=off",
        "-device", "virtio-serial-pci", "-chardev", "socket,id=agent,path=agent.sock,server=on,wait=off",
        "-device", "virtserialport,chardev=agent,name=org.qemu.guest_agent.0",
        "-kernel", image.image.name, "-initrd", image.initrd.name,
        "-append", kernel.command_line(spec.init_arguments, CONSOLES[arch], spec.range),
    ]  # fmt: skip


class QemuMachine:
    """One virtual machine; see model.Machine."""

    def __init__(self, spec: MachineSpec, accelerator: str) -> None:
        self._spec = spec
        self._accelerator = accelerator
        self._lock = threading.RLock()
        self._process: subprocess.Popen[bytes] | None = None
        self._open: dict[int, int] = {}  # port of the guest -> port of the host
        self._volumes = volumes.Volumes(self._control, spec.volumes)

    @property
    def _control(self) -> Path:
        return self._spec.folder / "qmp.sock"

    def start(self) -> None:
        spec = self._spec
        with self._lock:
            if self.is_alive():
                return
            if not spec.disk.is_file():
                raise MachineError(f"cannot start machine {spec.instance_id}: its disk {spec.disk} does not exist")
            spec.folder.mkdir(parents=True, exist_ok=True)
            for name in ("qmp.sock", "console.sock", "agent.sock"):
                (spec.folder / name).unlink(missing_ok=True)
            # A machine that was cut off leaves its journal to be replayed, and /boot cannot be read right before.
            subprocess.run([find_tool("e2fsck") or "e2fsck", "-p", str(spec.disk)], check=False, capture_output=True)
            argv = qemu_argv(spec, kernel.extract_kernel(spec.disk, spec.folder), self._accelerator)
            try:
                self._process = supervised.launch(spec.folder, "plain", {"argv": argv}, [])
                self._open = {}
                self._volumes = volumes.Volumes(self._control, spec.volumes)
                self._await_control()
                self.open_ports(spec.ports)
            except BaseException:
                self.kill()
                raise

    def _await_control(self) -> None:
        """Until QEMU answers; when it ended at once instead, its own words say why."""
        deadline = time.monotonic() + 20
        while True:
            try:
                qmp.execute(self._control, "query-status", timeout=0.5)
                return
            except MachineError:
                if self._process is None or self._process.poll() is not None or time.monotonic() > deadline:
                    words = (self._spec.folder / "keeper.log").read_text(errors="replace").strip().splitlines()
                    detail = words[-1] if words else "QEMU does not answer"
                    raise MachineError(f"cannot start machine {self._spec.instance_id}: {detail}") from None

    def open_ports(self, ports: frozenset[int]) -> None:
        address = self._spec.address
        with self._lock:
            for port in sorted(self._open.keys() - ports):
                qmp.run_monitor_command(self._control, f"hostfwd_remove net0 tcp:{address}:{self._open.pop(port)}")
            for port in sorted(ports - self._open.keys()):
                via = port
                if not self._forward(via, port):
                    _raise_for_low_port(address, port)
                    via = port_redirect.find_free_port(address, port)
                    if not self._forward(via, port):
                        raise MachineError(f"cannot open port {port} of {address}: QEMU cannot listen on {via}")
                self._open[port] = via
            port_redirect.set_redirects(
                self._spec.folder, address, {port: via for port, via in self._open.items() if via != port}
            )

    def _forward(self, host_port: int, guest_port: int) -> bool:
        rule = f"tcp:{self._spec.address}:{host_port}-{GUEST_ADDRESS}:{guest_port}"
        return not qmp.run_monitor_command(self._control, f"hostfwd_add net0 {rule}")

    def stop(self, timeout: float) -> None:
        if (process := self._process) is not None:
            deadline = time.monotonic() + timeout
            # Asked again and again: a guest that still boots does not hear the power button yet.
            while process.poll() is None and time.monotonic() < deadline:
                with suppress(MachineError):
                    qmp.execute(self._control, "system_powerdown", timeout=1)
                with suppress(subprocess.TimeoutExpired):
                    process.wait(min(3.0, max(0.0, deadline - time.monotonic())))
        self.kill()

    def kill(self) -> None:
        with self._lock:
            if self._process is not None:
                supervised.terminate(self._process)
                self._process = None
            port_redirect.remove_redirects(self._spec.folder)
            for name in ("qmp.sock", "console.sock", "agent.sock", "vmlinuz", "initrd.img"):
                (self._spec.folder / name).unlink(missing_ok=True)

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
        with self._lock:
            if not self.is_alive():
                yield
                return
            self._sync()
            qmp.execute(self._control, "stop")
            try:
                yield
            finally:
                qmp.execute(self._control, "cont")

    def attach_volume(self, volume: DataVolume) -> None:
        with self._lock:
            if not self.is_alive():
                raise MachineError(f"machine {self._spec.instance_id} is off")
            self._volumes.add(volume)

    def detach_volume(self, volume_id: str) -> bool:
        return not self.is_alive() or self._volumes.remove(volume_id, self.run)

    def resize_volume(self, volume_id: str, size: int) -> None:
        self._volumes.resize(volume_id, size)

    def _sync(self, timeout: float = 5) -> None:
        """Ask the guest's kernel to write its disk out: a break and `s` on the console (SysRq, sync).

        A guest whose kernel does not listen is held as it is: like a disk whose plug was pulled, its journal mends it.
        """
        log = self._spec.folder / "console.log"
        before = log.stat().st_size
        deadline = time.monotonic() + timeout
        with suppress(OSError, MachineError), qmp.connect(self._spec.folder / "console.sock", deadline) as console:
            qmp.execute(self._control, "chardev-send-break", {"id": "console"})
            console.sendall(b"s")
            while time.monotonic() < deadline:
                if b"Emergency Sync complete" in read_tail(log, log.stat().st_size - before):
                    return
                time.sleep(0.05)

    def run(self, argv: Sequence[str], stdin: bytes, timeout: float) -> guest_exec.CommandResult:
        if not self.is_alive():
            raise MachineError(f"machine {self._spec.instance_id} is off")
        return guest_exec.run_in_vm(self._spec.folder, argv, stdin, timeout)

    def console(self) -> bytes:
        return read_tail(self._spec.folder / "console.log")


@dataclass(frozen=True)
class QemuDriver:
    """Makes virtual machines, with `accelerator` kvm or tcg (emulation)."""

    accelerator: str
    name: str = field(default="qemu", init=False)

    def machine(self, spec: MachineSpec) -> QemuMachine:
        return QemuMachine(spec, "kvm" if self.accelerator == "kvm" else "tcg,thread=multi")


def _escape_commas(value: str) -> str:
    """A value within a QEMU option: commas are doubled."""
    return value.replace(",", ",,")


def _raise_for_low_port(address: str, port: int) -> None:
    """Raise MachineError when it is the kernel that keeps a plain user from this port."""
    start = Path("/proc/sys/net/ipv4/ip_unprivileged_port_start")
    if os.geteuid() != 0 and start.exists() and port < int(start.read_text()):
        raise MachineError(
            f"cannot open port {port} of {address}: without root, ports below {start.read_text().strip()} are closed; "
            f"run: sudo sysctl net.ipv4.ip_unprivileged_port_start={port}"
        )
