"""Driver of QEMU virtual machines with user-mode networking, as any user, with KVM or emulation."""

from __future__ import annotations

import os
import subprocess
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from localcloud.machines import guest_exec, port_redirect, supervised
from localcloud.machines.console import read_tail
from localcloud.machines.errors import MachineError, install_hint, missing_tools, tool_path
from localcloud.machines.interface import (
    API_ADDRESS,
    GATEWAY_ADDRESS,
    GUEST_ADDRESS,
    GUEST_NETWORK,
    METADATA_ADDRESS,
    NAME_SERVER_ADDRESS,
    MachineSpec,
)
from localcloud.machines.qemu import kernel, qmp, volumes
from localcloud.machines.qemu.kvm import host_architecture
from localcloud.machines.supervised_machine import SupervisedMachine

CONSOLES = {"x86_64": "ttyS0", "aarch64": "ttyAMA0"}
MACHINES = {"x86_64": "q35", "aarch64": "virt"}
SOCKETS = ("qmp.sock", "console.sock", "agent.sock")


def unavailable_reason() -> str | None:
    """Return why virtual machines cannot run on this host, with the fix; None if they can."""
    if host_architecture() not in MACHINES:
        return f"virtual machines need an x86_64 or aarch64 host, this is {host_architecture()}"
    absent = missing_tools([f"qemu-system-{host_architecture()}", "socat", "debugfs", "e2fsck"])
    return install_hint(absent) if absent else None


def qemu_argv(spec: MachineSpec, image: kernel.Kernel, accelerator: str) -> list[str]:
    """Return the virtual machine's command, run in the machine's folder. Socket paths are relative to that folder, because they
    may have 107 bytes at most. Ports are forwarded later, so that an error can name a port that is in use."""
    arch = host_architecture()
    # https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/identify_ec2_instances.html
    serial = "ec2" + uuid.uuid5(uuid.NAMESPACE_OID, spec.instance_id).hex[3:]
    identity = f"type=1,manufacturer=Amazon EC2,product=t3.micro,serial={serial},uuid={uuid.UUID(serial)}"
    relays = ",".join(
        f"guestfwd=tcp:{address}:80-cmd:{tool_path('socat')} - UNIX-CONNECT:{socket}"
        for address, socket in ((METADATA_ADDRESS, "imds.sock"), (API_ADDRESS, "api.sock"))
    )
    return [
        tool_path(f"qemu-system-{arch}"),
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
        "-append", kernel.command_line(spec.init_arguments, CONSOLES[arch], spec.cloud_range),
    ]  # fmt: skip


class QemuMachine(SupervisedMachine):
    """One virtual machine; see interface.Machine."""

    def __init__(self, spec: MachineSpec, accelerator: str) -> None:
        super().__init__(spec)
        self._accelerator = accelerator
        self._forwards: dict[int, int] = {}  # guest port -> host port
        self._control = spec.folder / "qmp.sock"
        self._volumes = volumes.Volumes(self._control, spec.volumes, self.run)

    def start(self) -> None:
        spec = self._spec
        with self._lock:
            if self.is_alive():
                return
            self._check_disk()
            spec.folder.mkdir(parents=True, exist_ok=True)
            self._delete_files(*SOCKETS)
            # After a power loss the journal must be replayed first, or debugfs may read a stale /boot.
            subprocess.run([tool_path("e2fsck"), "-p", str(spec.disk)], check=False, capture_output=True)
            argv = qemu_argv(spec, kernel.extract_kernel(spec.disk, spec.folder), self._accelerator)
            try:
                self._process = supervised.launch(spec.folder, "plain", {"argv": argv}, [])
                self._forwards = {}
                self._volumes = volumes.Volumes(self._control, spec.volumes, self.run)
                self._wait_for_qmp()
                self.open_ports(spec.ports)
            except BaseException:
                self.kill()
                raise

    def _wait_for_qmp(self) -> None:
        """Wait until QEMU answers. Raises MachineError with its last output if it ended."""
        deadline = time.monotonic() + 20
        while True:
            try:
                qmp.execute(self._control, "query-status", timeout=0.5)
                return
            except MachineError:
                if self._process is None or self._process.poll() is not None or time.monotonic() > deadline:
                    detail = supervised.last_line(self._spec.folder / supervised.LOG) or "QEMU does not answer"
                    raise MachineError(f"cannot start machine {self._spec.instance_id}: {detail}") from None

    def open_ports(self, ports: frozenset[int]) -> None:
        address = self._spec.address
        with self._lock:
            for port in sorted(self._forwards.keys() - ports):
                qmp.run_monitor_command(self._control, f"hostfwd_remove net0 tcp:{address}:{self._forwards.pop(port)}")
            for port in sorted(ports - self._forwards.keys()):
                host_port = port
                if not self._forward(host_port, port):
                    _raise_for_low_port(address, port)
                    host_port = port_redirect.find_free_port(address, port)
                    if not self._forward(host_port, port):
                        raise MachineError(f"cannot open port {port} of {address}: QEMU cannot listen on {host_port}")
                self._forwards[port] = host_port
            port_redirect.set_redirects(self._spec.folder, address, self._forwards)

    def _forward(self, host_port: int, guest_port: int) -> bool:
        rule = f"tcp:{self._spec.address}:{host_port}-{GUEST_ADDRESS}:{guest_port}"
        return not qmp.run_monitor_command(self._control, f"hostfwd_add net0 {rule}")

    def stop(self, timeout: float) -> None:
        if (process := self._process) is not None:
            deadline = time.monotonic() + timeout
            # Repeated, because a guest that still boots ignores the power button.
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
            self._delete_files(*SOCKETS, "vmlinuz", "initrd.img")

    def _delete_files(self, *names: str) -> None:
        for name in names:
            (self._spec.folder / name).unlink(missing_ok=True)

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

    def _sync(self, timeout: float = 5) -> None:
        """Make the guest's kernel write its disk out: a break and `s` on the console (SysRq, sync). A guest whose kernel does not
        respond is frozen as it is; its journal repairs the copy, as after a power loss."""
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

    def _execute(self, folder: Path, argv: Sequence[str], stdin: bytes, timeout: float) -> guest_exec.CommandResult:
        return guest_exec.run_in_vm(folder, argv, stdin, timeout)


@dataclass(frozen=True)
class QemuDriver:
    """Creates virtual machines, with `accelerator` kvm or tcg (emulation)."""

    accelerator: str
    name: str = field(default="qemu", init=False)

    def machine(self, spec: MachineSpec) -> QemuMachine:
        return QemuMachine(spec, "kvm" if self.accelerator == "kvm" else "tcg,thread=multi")


def _escape_commas(value: str) -> str:
    """Return a value for use within a QEMU option, where commas are doubled."""
    return value.replace(",", ",,")


def _raise_for_low_port(address: str, port: int) -> None:
    """Raise MachineError if the kernel does not let this user listen on the port."""
    start = Path("/proc/sys/net/ipv4/ip_unprivileged_port_start")
    if os.geteuid() != 0 and start.exists() and port < int(start.read_text()):
        raise MachineError(
            f"cannot open port {port} of {address}: ports below {start.read_text().strip()} need root; "
            f"run: sudo sysctl net.ipv4.ip_unprivileged_port_start={port}"
        )
