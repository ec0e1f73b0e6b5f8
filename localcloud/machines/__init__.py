"""Machines: the one small interface behind which a disk becomes something that boots and answers."""

from __future__ import annotations

from localcloud.machines.errors import MachineError
from localcloud.machines.model import Driver, Machine, Spec
from localcloud.machines.reaping import reap

__all__ = ["Driver", "Machine", "MachineError", "Spec", "choose", "reap"]


def choose(mode: str) -> Driver:
    """The driver for GOLDENAMI_MACHINES: auto, qemu or container. Raises MachineError with the mend in its message."""
    from localcloud.machines import container

    if mode not in ("auto", "qemu", "container"):
        raise MachineError(f"GOLDENAMI_MACHINES is {mode!r}: expected auto, qemu or container")
    if obstacle := container.obstacle():
        raise MachineError(f"cannot run containers as machines: {obstacle}")
    return container.ContainerDriver()
