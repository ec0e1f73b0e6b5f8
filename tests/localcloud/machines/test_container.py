"""A container is a machine: it boots, answers, keeps its disk, and leaves nothing, however it ends."""

from __future__ import annotations

import os
import pickle
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from localcloud.machines import errors, supervised
from localcloud.machines.cleanup import reap
from localcloud.machines.container import driver
from localcloud.machines.errors import MachineError
from localcloud.state_dir import default_cache_dir
from localcloud.storage import base_image, disks
from tests.support.machine_lab import HOST_NAME, INSTANCE, MachineLab, until

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(
        driver.unavailable_reason() is not None, reason=f"no containers here: {driver.unavailable_reason()}"
    ),
]


@pytest.fixture(scope="module")
def base() -> Path:
    return base_image.ensure_base_image(default_cache_dir(), print).path


@pytest.fixture
def lab(tmp_path: Path, base: Path) -> Iterator[MachineLab]:
    lab = MachineLab(tmp_path, "127.201.7.9")
    disks.copy(base, lab.disk)
    lab.disk.chmod(0o644)
    yield lab
    reap(lab.folder.parent)


@pytest.fixture
def machine(lab: MachineLab) -> Iterator[driver.ContainerMachine]:
    machine = driver.ContainerDriver().machine(lab.spec)
    yield machine
    machine.kill()


def test_a_machine_lives_as_an_instance_does(lab: MachineLab, machine: driver.ContainerMachine) -> None:
    disks.grow(lab.disk, 8 * 1024**3)
    machine.start()
    assert lab.await_ssh(30) < 15
    assert lab.ssh("systemctl is-system-running --wait") == "running"
    assert lab.ssh("hostname") == HOST_NAME
    assert lab.ssh("sudo cat /root/ran") == "root"
    assert lab.ssh("df --output=size -BG / | tail -1").strip() in ("8G", "7G")
    # The AWS endpoint is known to sessions, to sudo and to services, and the services answer at their addresses.
    assert lab.ssh("env | grep ^AWS_") == "AWS_ENDPOINT_URL=http://169.254.169.250"
    assert lab.ssh("sudo systemd-run --quiet --wait --pipe sh -c 'echo $AWS_ENDPOINT_URL'") == "http://169.254.169.250"
    token = "-H 'X-aws-ec2-metadata-token: token'"
    assert lab.ssh(f"curl -s {token} http://169.254.169.254/latest/meta-data/instance-id") == INSTANCE
    assert lab.ssh(f"curl -s {token} http://169.254.169.250/latest/ping") == "the AWS API"
    with lab.neighbour() as url:  # the cloud's own addresses are reached, the host's others are not
        assert lab.ssh(f"curl -s --max-time 20 {token} {url}") == "pong"
    code, out, err = machine.run(("sh", "-c", "cat; id -un; echo $AWS_ENDPOINT_URL; echo no >&2; exit 3"), b"in\n", 20)
    assert (code, out, err) == (3, b"in\nroot\nhttp://169.254.169.250\n", b"no\n")
    with pytest.raises(TimeoutError):
        machine.run(("sleep", "60"), b"", 1)
    assert "sleep" not in lab.ssh("ps -A -o comm")
    # Units may lock themselves in.
    sandbox = " ".join(
        f"-p {setting}"
        for setting in ("ProtectSystem=strict", "ProtectHome=yes", "PrivateTmp=yes", "PrivateDevices=yes",
                        "NoNewPrivileges=yes", "ProtectKernelTunables=yes", "ProtectControlGroups=yes",
                        "RestrictNamespaces=yes", "MemoryDenyWriteExecute=yes", "SystemCallFilter=@system-service",
                        "CapabilityBoundingSet=", "User=admin")
    )  # fmt: skip
    assert (
        lab.ssh(f"sudo systemd-run --quiet --wait --pipe {sandbox} sh -c 'touch /etc/x 2>/dev/null || id -un'")
        == "admin"
    )

    # The guest's reboot is the same machine with the same network; its power-off is seen.
    lab.ssh("echo kept | sudo tee /root/kept; sudo systemctl reboot")
    assert lab.await_ssh(30) < 20
    assert until(lambda: lab.ssh("sudo cat /root/kept /root/ran") == "kept\nroot", 20)
    lab.ssh("sudo poweroff")
    assert until(lambda: not machine.is_alive(), 30)
    assert until(lambda: lab.leftovers() == [])

    # The same disk again, stopped from outside this time; user data ran once in the instance's life.
    machine.start()
    lab.await_ssh(30)
    assert lab.ssh("sudo cat /root/kept /root/ran") == "kept\nroot"
    machine.stop(30)
    assert b"Powering off" in machine.console()
    assert lab.leftovers() == []
    machine.stop(1)
    machine.kill()


def test_ports_open_and_close_while_it_runs(lab: MachineLab, machine: driver.ContainerMachine) -> None:
    machine.start()
    lab.await_ssh(30)
    machine.open_ports(frozenset())
    with pytest.raises(OSError, match=r"refused"):
        socket.create_connection((lab.spec.address, 22), timeout=2)
    machine.open_ports(frozenset({22}))
    assert lab.ssh("echo open") == "open"


@pytest.mark.skipif(errors.find_tool("nft") is None, reason="nftables is not installed")
def test_a_port_that_the_host_holds_on_all_addresses_answers_all_the_same(
    lab: MachineLab, machine: driver.ContainerMachine
) -> None:
    with socket.socket() as everywhere:
        everywhere.bind(("0.0.0.0", 0))
        everywhere.listen()
        port = everywhere.getsockname()[1]
        machine.start()
        lab.await_ssh(30)
        lab.ssh(
            f"sudo systemd-run --quiet --unit=web systemd-socket-activate --inetd -a --listen={port} echo the machine"
        )
        machine.open_ports(frozenset({22, port}))

        def answer() -> bytes:
            with socket.create_connection((lab.spec.address, port), timeout=5) as client:
                return client.recv(100)

        assert until(lambda: answer() == b"the machine\n")
    machine.kill()
    tables = subprocess.run(["nft", "list", "tables"], check=True, capture_output=True, text=True).stdout
    assert INSTANCE not in tables


def test_port_80_is_the_machines_own(lab: MachineLab, machine: driver.ContainerMachine) -> None:
    machine.start()
    lab.await_ssh(30)
    lab.ssh("sudo systemd-run --quiet --unit=web systemd-socket-activate --listen=0.0.0.0:80 cat")
    assert until(lambda: ":80 " in lab.ssh("sudo ss -Hltn"))
    assert lab.ssh("systemctl is-active web") == "active"


def test_a_copy_of_a_frozen_disk_boots_with_what_was_written(lab: MachineLab, machine: driver.ContainerMachine) -> None:
    machine.start()
    lab.await_ssh(30)
    lab.ssh("echo written | sudo tee /root/written; sudo systemd-run sh -c 'while :; do date >>/root/busy; done'")
    copy = lab.disk.with_name("copy.raw")
    with machine.freeze():
        before = lab.disk.stat().st_mtime_ns
        disks.copy(lab.disk, copy)
        assert lab.disk.stat().st_mtime_ns == before
    assert lab.ssh("echo awake") == "awake"
    checked = subprocess.run(["e2fsck", "-f", "-p", str(copy)], check=False, capture_output=True, text=True)
    assert checked.returncode in (0, 1), checked.stdout
    result = subprocess.run(["debugfs", "-R", "cat /root/written", str(copy)], check=True, capture_output=True)
    assert result.stdout == b"written\n"


def test_nothing_is_left_when_the_plug_is_pulled(lab: MachineLab, machine: driver.ContainerMachine) -> None:
    machine.start()
    machine.kill()
    assert lab.leftovers() == []
    machine.start()
    lab.await_ssh(30)


SERVER = """
import sys, pickle, threading
from localcloud.machines.container.driver import ContainerDriver
machine = ContainerDriver().machine(pickle.load(open(sys.argv[1], "rb")))
machine.start()
frozen = machine.freeze()
if sys.argv[2] == "frozen":
    frozen.__enter__()
print("started", flush=True)
threading.Event().wait()
"""


@pytest.mark.parametrize("state", ["running", "frozen"])
def test_a_killed_server_leaves_nothing(lab: MachineLab, tmp_path: Path, state: str) -> None:
    (tmp_path / "spec").write_bytes(pickle.dumps(lab.spec))
    with subprocess.Popen(
        [sys.executable, "-c", SERVER, str(tmp_path / "spec"), state], stdout=subprocess.PIPE
    ) as server:
        assert server.stdout is not None
        assert server.stdout.readline() == b"started\n"
        assert len(list(supervised.find_processes(lab.folder))) > 4
        server.kill()
    reap(lab.folder.parent)
    assert until(lambda: lab.leftovers() == [])


def test_a_disk_in_use_or_missing_is_refused(lab: MachineLab, machine: driver.ContainerMachine) -> None:
    machine.start()
    with pytest.raises(MachineError, match=r"is in use by /dev/loop"):
        driver.ContainerDriver().machine(lab.spec).start()
    machine.kill()
    lab.disk.unlink()
    with pytest.raises(MachineError, match=r"its disk .* does not exist"):
        machine.start()
    assert lab.leftovers() == []


def test_a_disk_that_is_none_is_said(lab: MachineLab, machine: driver.ContainerMachine) -> None:
    lab.disk.write_bytes(os.urandom(1024**2))
    with pytest.raises(MachineError, match=rf"cannot start machine {INSTANCE}: mount: "):
        machine.start()
    assert lab.leftovers() == []


def test_two_machines_do_not_meet(lab: MachineLab, machine: driver.ContainerMachine, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    other = MachineLab(tmp_path / "other", "127.201.7.10")
    disks.copy(lab.disk, other.disk)
    second = driver.ContainerDriver().machine(other.spec)
    try:
        machine.start()
        second.start()
        lab.await_ssh(30)
        other.await_ssh(30)
        lab.ssh("sudo systemctl stop ssh.service")
        assert other.ssh("systemctl is-system-running --wait; systemctl is-active ssh.service") == "running\nactive"
    finally:
        second.kill()
    assert other.leftovers() == []
