"""KVM's trial and the choice of the driver, with stand-ins for the tools."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from localcloud.machines import choose_driver, errors
from localcloud.machines.container import driver as container_driver
from localcloud.machines.errors import MachineError
from localcloud.machines.qemu import kvm

BOOTS = "case $* in *-kernel*) exit 0 ;; *) exit 99 ;; esac"
ABORTS = "exit 134"
HANGS = "exec sleep 60"
KERNEL_HANGS = "case $* in *-kernel*) exec sleep 60 ;; *) exit 99 ;; esac"

Tools = Callable[..., Path]


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tools:
    """A PATH with nothing but stand-ins; `sleep` is the real one."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "sleep").symlink_to("/bin/sleep")
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setattr(errors, "_SYSTEM_PATH", "")
    monkeypatch.setattr(kvm, "DEVICE", tmp_path / "kvm")
    monkeypatch.setattr(kvm, "TRIAL_SECONDS", 0.5)
    monkeypatch.setattr(kvm, "host_architecture", lambda: "x86_64")
    (tmp_path / "kvm").touch()

    def install(*names: str, qemu: str | None = None) -> Path:
        for name in names:
            (folder / name).write_text("#!/bin/sh\n")
            (folder / name).chmod(0o755)
        if qemu is not None:
            binary = folder / "qemu-system-x86_64"
            binary.write_text(f'#!/bin/sh\necho called >>"{tmp_path}/calls"\n{qemu}\n')
            binary.chmod(0o755)
        return folder

    return install


QEMU_TOOLS = ("socat", "debugfs", "e2fsck")


def binary(tools: Tools, qemu: str) -> str:
    return str(tools(qemu=qemu) / "qemu-system-x86_64")


@pytest.mark.parametrize(
    ("qemu", "works", "reason"),
    [
        (BOOTS, True, "KVM boots here"),
        (ABORTS, False, "did not run a boot sector (QEMU ended with 134)"),
        (HANGS, False, "did not run a boot sector (still busy after 0 s)"),
        (KERNEL_HANGS, False, "did not boot a kernel (still busy after 0 s)"),
    ],
)
def test_a_trial_tells(tools: Tools, tmp_path: Path, qemu: str, works: bool, reason: str) -> None:
    result = kvm.run_trial(binary(tools, qemu), tmp_path / "vmlinuz", limit=0.4)
    assert result.works is works
    assert reason in result.reason


def test_without_a_kernel_the_boot_sector_decides(tools: Tools) -> None:
    assert kvm.run_trial(binary(tools, KERNEL_HANGS), None, limit=5).works


def test_the_result_is_remembered_until_qemu_changes(tools: Tools, tmp_path: Path) -> None:
    tools(qemu=ABORTS)
    cache, calls = tmp_path / "cache", tmp_path / "calls"
    first = kvm.probe_kvm(cache)
    assert not first.works
    assert kvm.probe_kvm(cache) == first
    assert calls.read_text() == "called\n"
    tools(qemu=BOOTS + " # a new version")
    assert kvm.probe_kvm(cache).works


def test_a_damaged_memory_is_no_memory(tools: Tools, tmp_path: Path) -> None:
    tools(qemu=BOOTS)
    cache = tmp_path / "cache"
    cache.mkdir()
    (cache / "kvm-probe.json").write_text('{"key":')
    assert kvm.probe_kvm(cache).works


def test_no_device_no_trial(tools: Tools, tmp_path: Path) -> None:
    tools(qemu=BOOTS)
    kvm.DEVICE.unlink()
    assert "does not exist" in kvm.probe_kvm(tmp_path / "cache").reason
    assert not (tmp_path / "calls").exists()


def test_kvm_is_taken_where_it_boots(tools: Tools, tmp_path: Path) -> None:
    tools(*QEMU_TOOLS, *container_driver.TOOLS, qemu=BOOTS)
    driver = choose_driver("auto", tmp_path / "cache")
    assert (driver.name, getattr(driver, "accelerator", None)) == ("qemu", "kvm")


def test_root_takes_a_container_where_kvm_does_not_boot(
    tools: Tools, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tools(*QEMU_TOOLS, *container_driver.TOOLS, qemu=ABORTS)
    monkeypatch.setattr(container_driver, "DEVICES", {})
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert choose_driver("auto", tmp_path / "cache").name == "container"
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert getattr(choose_driver("auto", tmp_path / "cache"), "accelerator", None) == "tcg"


def test_a_forced_driver_is_the_one_or_an_error(tools: Tools, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    tools(*QEMU_TOOLS, "systemd-nspawn", "ip", "mount", "unshare", "nsenter", "setpriv")
    with pytest.raises(
        MachineError, match=r"slirp4netns is not installed; run: sudo apt-get install --yes slirp4netns"
    ):
        choose_driver("container", tmp_path)
    with pytest.raises(MachineError, match=r"sudo apt-get install --yes qemu-system-x86"):
        choose_driver("qemu", tmp_path)
    with pytest.raises(MachineError, match=r"cannot run machines: .*qemu-system-x86.*slirp4netns"):
        choose_driver("auto", tmp_path)
    with pytest.raises(MachineError, match=r"expected auto, qemu or container"):
        choose_driver("docker", tmp_path)


def test_a_container_needs_root(tools: Tools, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tools(*container_driver.TOOLS)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(MachineError, match=r"containers need root; run the command with sudo"):
        choose_driver("container", tmp_path)
