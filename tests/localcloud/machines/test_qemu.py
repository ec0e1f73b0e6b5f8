"""A virtual machine boots the same disk to the same effect, as root or not, with or without KVM."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from localcloud.machines import choose_driver
from localcloud.machines.interface import Machine
from localcloud.machines.qemu import driver
from localcloud.state_dir import default_cache_dir
from localcloud.storage import base_image, disks
from tests.support.machine_lab import HOST_NAME, MachineLab, until

pytestmark = [
    pytest.mark.qemu,
    pytest.mark.long,  # each time, tests/e2e/test_qemu.py bakes on a virtual machine and boots another
    pytest.mark.skipif(
        driver.unavailable_reason() is not None, reason=f"no virtual machines here: {driver.unavailable_reason()}"
    ),
]


BOOT_ID = "cat /proc/sys/kernel/random/boot_id"


@pytest.fixture
def lab(tmp_path: Path) -> MachineLab:
    lab = MachineLab(tmp_path, "127.201.8.9")
    disks.copy(base_image.ensure_base_image(default_cache_dir(), print).path, lab.disk)
    lab.disk.chmod(0o644)
    return lab


@pytest.fixture
def machine(lab: MachineLab) -> Iterator[Machine]:
    machine = choose_driver("qemu").machine(lab.spec)
    yield machine
    machine.kill()


def test_a_virtual_machine_lives_as_an_instance_does(lab: MachineLab, machine: Machine) -> None:
    disks.grow(lab.disk, 8 * 1024**3)
    machine.start()
    lab.await_ssh(180)
    assert lab.ssh("systemctl is-system-running --wait") == "running"
    assert lab.ssh("hostname") == HOST_NAME
    assert lab.ssh("sudo cat /root/ran") == "root"
    assert (
        lab.ssh("cat /sys/class/dmi/id/sys_vendor; sudo head -c 3 /sys/class/dmi/id/product_uuid") == "Amazon EC2\nec2"
    )
    assert lab.ssh("env | grep ^AWS_") == "AWS_ENDPOINT_URL=http://169.254.169.250"
    token = "-H 'X-aws-ec2-metadata-token: token'"
    assert lab.ssh(f"curl -s {token} http://169.254.169.250/latest/ping") == "the AWS API"
    with lab.neighbour() as url:  # the cloud's own addresses are reached, the host's others are not
        assert lab.ssh(f"curl -s --max-time 20 {token} {url}") == "pong"
    code, out, err = machine.run(("sh", "-c", "cat; id -un; echo $AWS_ENDPOINT_URL; echo no >&2; exit 3"), b"in\n", 20)
    assert (code, out, err) == (3, b"in\nroot\nhttp://169.254.169.250\n", b"no\n")
    machine.open_ports(frozenset())
    assert "refused" in lab.ssh("true")
    machine.open_ports(frozenset({22}))
    with machine.freeze():
        disks.copy(lab.disk, lab.disk.with_name("copy.raw"))
    assert b"Emergency Sync complete" in machine.console()
    booted = lab.ssh(BOOT_ID)
    lab.ssh("sudo reboot")
    # One answer for both questions: a second one may already find the machine going down.
    assert until(lambda: (now := lab.ssh(BOOT_ID)).count("-") == 4 and now != booted, 180)
    assert machine.is_alive()
    machine.stop(60)
    assert b"Power down" in machine.console()
    assert not machine.is_alive()
    assert lab.leftovers() == []
