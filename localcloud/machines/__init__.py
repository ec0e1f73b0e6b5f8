"""Machines: systemd-nspawn containers or QEMU virtual machines that boot instances' disks."""

from __future__ import annotations

from pathlib import Path

from localcloud.machines.errors import MachineError
from localcloud.machines.interface import Driver


def choose_driver(mode: str, cache: Path | None = None) -> Driver:
    """Return the driver for GOLDENAMI_MACHINES (auto, qemu or container). `auto` means KVM where it boots, else containers where
    they are available (root), else emulation. The result of the KVM trial is stored in `cache`. Raises MachineError with the
    fix if no driver is available."""
    from localcloud.machines.container import driver as container_driver
    from localcloud.machines.qemu import driver as qemu_driver, kvm
    from localcloud.state_dir import default_cache_dir

    if mode not in ("auto", "qemu", "container"):
        raise MachineError(f"GOLDENAMI_MACHINES is {mode!r}: expected auto, qemu or container")
    no_container, no_qemu = container_driver.unavailable_reason(), qemu_driver.unavailable_reason()
    if mode == "container" and no_container:
        raise MachineError(f"cannot run containers as machines: {no_container}")
    if mode == "qemu" and no_qemu:
        raise MachineError(f"cannot run virtual machines: {no_qemu}")
    if mode == "container":
        return container_driver.ContainerDriver()
    if no_qemu is None and kvm.probe_kvm(cache or default_cache_dir()).works:
        return qemu_driver.QemuDriver("kvm")
    if mode == "auto" and no_container is None:
        return container_driver.ContainerDriver()
    if no_qemu is None:
        return qemu_driver.QemuDriver("tcg")
    raise MachineError(f"cannot run machines: {no_qemu}; as containers: {no_container}")
