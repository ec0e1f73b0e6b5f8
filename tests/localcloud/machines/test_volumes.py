"""Data volumes in real machines: found by their Nitro name, formatted, mounted, moved, copied, and never left behind."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from localcloud.machines import choose_driver, loop_devices
from localcloud.machines.cleanup import reap
from localcloud.machines.container import driver as container_driver
from localcloud.machines.errors import MachineError, find_tool
from localcloud.machines.interface import DataVolume, Machine
from localcloud.machines.qemu import driver as qemu_driver
from localcloud.state_dir import default_cache_dir
from localcloud.storage import base_image, disks
from tests.support.machine_lab import MachineLab, until

containers = [
    pytest.mark.e2e,
    pytest.mark.skipif(
        container_driver.unavailable_reason() is not None,
        reason=f"no containers here: {container_driver.unavailable_reason()}",
    ),
]
virtual_machines = [
    pytest.mark.qemu,
    pytest.mark.long,
    pytest.mark.skipif(
        qemu_driver.unavailable_reason() is not None,
        reason=f"no virtual machines here: {qemu_driver.unavailable_reason()}",
    ),
]
KINDS = [pytest.param("container", marks=containers), pytest.param("qemu", marks=virtual_machines)]


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[MachineLab]:
    lab = MachineLab(tmp_path, "127.201.9.9")
    disks.copy(base_image.ensure_base_image(default_cache_dir(), print).path, lab.disk)
    lab.disk.chmod(0o644)
    yield lab
    reap(lab.folder.parent)


def use(volume: DataVolume, folder: str, *, make: bool) -> str:
    """A shell command: a file system on the volume (made or checked), mounted."""
    device = f"/dev/disk/by-id/{volume.device_name}"
    first = f"mkfs.ext4 -q {device}" if make else f"fsck.ext4 -f -p {device} >/dev/null"
    return f"until [ -b {device} ]; do sleep 0.1; done; sudo {first} && sudo mkdir -p {folder} && sudo mount {device} {folder}"


@pytest.mark.parametrize("kind", KINDS)
def test_volumes_come_and_go_with_their_data(lab: MachineLab, kind: str) -> None:
    first, second = lab.volume(1), lab.volume(2)
    assert first.device_name == "nvme-Amazon_Elastic_Block_Store_vol00000000000000001"
    machine: Machine = choose_driver(kind).machine(replace(lab.spec, volumes=(first,)))
    try:
        machine.start()
        lab.await_ssh(240)
        assert lab.ssh(f"{use(first, '/data', make=True)} && echo one | sudo tee /data/row") == "one"
        machine.attach_volume(second)
        machine.attach_volume(second)
        assert lab.ssh(f"{use(second, '/more', make=True)} && echo two | sudo tee /more/row && sync") == "two"
        assert disks.measure(second.disk).allocated < 128 << 20

        # A copy of one moment, while the guest has it mounted.
        with machine.freeze():
            copy = disks_copy(second)
        assert subprocess.run([find_tool("e2fsck") or "e2fsck", "-f", "-y", str(copy)], check=False).returncode in (
            0,
            1,
        )
        read = [find_tool("debugfs") or "debugfs", "-R", "cat /row", str(copy)]
        assert subprocess.run(read, check=True, capture_output=True).stdout == b"two\n"

        assert machine.detach_volume(second.volume_id) is False  # mounted
        assert lab.ssh("sudo umount /more && echo released") == "released"
        assert until(lambda: machine.detach_volume(second.volume_id))
        assert until(lambda: lab.ssh(f"test -e /dev/disk/by-id/{second.device_name} || echo gone") == "gone")
        assert loop_devices.find_devices(second.disk) == []
        machine.attach_volume(second)
        assert lab.ssh(f"{use(second, '/more', make=False)} && cat /more/row") == "two"
        os.truncate(second.disk, 2 << 30)
        machine.resize_volume(second.volume_id, 2 << 30)
        assert until(lambda: lab.ssh(f"sudo blockdev --getsize64 /dev/disk/by-id/{second.device_name}") == str(2 << 30))

        # Both are there at the next boot too.
        machine.stop(90)
        assert lab.leftovers() == []
        machine = choose_driver(kind).machine(replace(lab.spec, volumes=(first, second)))
        machine.start()
        lab.await_ssh(240)
        assert lab.ssh(f"{use(first, '/data', make=False)} && cat /data/row") == "one"
        assert lab.ssh(f"{use(second, '/more', make=False)} && cat /more/row") == "two"
    finally:
        machine.kill()
    assert lab.leftovers() == []


def disks_copy(volume: DataVolume) -> Path:
    copy = volume.disk.with_name("copy.raw")
    disks.copy(volume.disk, copy)
    return copy


SERVER = """
import pickle, sys, time
from localcloud.machines.container import driver
spec = pickle.load(open(sys.argv[1], "rb"))
machine = driver.ContainerDriver().machine(spec)
machine.start()
print("started", flush=True)
time.sleep(600)
"""


@pytest.mark.e2e
@pytest.mark.skipif(container_driver.unavailable_reason() is not None, reason="no containers here")
def test_a_killed_server_leaves_no_volume_attached(lab: MachineLab, tmp_path: Path) -> None:
    data = lab.volume(1)
    (tmp_path / "spec").write_bytes(pickle.dumps(replace(lab.spec, volumes=(data,))))
    argv = [sys.executable, "-c", SERVER, str(tmp_path / "spec")]
    with subprocess.Popen(argv, stdout=subprocess.PIPE) as server:
        assert server.stdout is not None
        assert server.stdout.readline() == b"started\n"
        lab.await_ssh(30)
        assert lab.ssh(f"{use(data, '/data', make=True)} && echo one | sudo tee /data/row && sync") == "one"
        assert loop_devices.find_devices(data.disk)
        server.kill()
    reap(lab.folder.parent)
    assert until(lambda: lab.leftovers() == [])


@pytest.mark.e2e
@pytest.mark.skipif(container_driver.unavailable_reason() is not None, reason="no containers here")
def test_a_volume_that_another_machine_has_is_refused(lab: MachineLab) -> None:
    data = lab.volume(1)
    taken = loop_devices.attach(data.disk)
    machine = container_driver.ContainerDriver().machine(replace(lab.spec, volumes=(data,)))
    with pytest.raises(MachineError, match=r"cannot attach vol-.*: it is in use by /dev/loop"):
        machine.start()
    taken.close()
    assert lab.leftovers() == []
