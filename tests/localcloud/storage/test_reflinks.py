"""The disks' own file system: copies share their blocks, nobody else sees it, and it goes with the server however that ends."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from localcloud import control
from localcloud.machines import loop_devices
from localcloud.state_dir import StateDir

HOLDER = """
import sys, time
from pathlib import Path
from localcloud.storage import disks, reflinks
from localcloud.state_dir import StateDir

folder = StateDir.at(Path(sys.argv[1]))
folder.prepare()
mounted = reflinks.mount_disk_store(folder, print)
folder.prepare()
print("mounted" if mounted else "plain", flush=True)
for line in sys.stdin:
    if line == "write\\n":
        folder.volume("vol-1").write_bytes(b"x" * (64 << 20))
        disks.copy(folder.volume("vol-1"), folder.snapshot("snap-1"))
        print(reflinks.supports_reflinks(folder.disks), folder.snapshot("snap-1").stat().st_size, flush=True)
    elif line == "read\\n":
        print(folder.snapshot("snap-1").stat().st_size, flush=True)
    elif line == "close\\n":
        reflinks.unmount_disk_store(folder)
        print("closed", flush=True)
"""

pytestmark = pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("mkfs.xfs"), reason="needs root and xfsprogs")


class MountProcess:
    """A process that holds the disks of a state folder, as the server does."""

    def __init__(self, state: Path) -> None:
        argv = [sys.executable, "-c", HOLDER, str(state)]
        self.process = subprocess.Popen(
            argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=Path(control.__file__).parent.parent
        )
        self.opened = self.read_line()

    def read_line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def ask(self, what: str) -> str:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{what}\n")
        self.process.stdin.flush()
        return self.read_line()

    def end(self) -> None:
        self.process.kill()
        self.process.wait(10)


def free(folder: StateDir) -> bool:
    deadline = time.monotonic() + 10
    while loop_devices.find_devices(folder.disk_store) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not loop_devices.find_devices(folder.disk_store)


def test_copies_share_their_blocks_and_outlive_their_server(tmp_path: Path) -> None:
    folder = StateDir.at(tmp_path / "state")
    first = MountProcess(folder.root)
    try:
        if first.opened != "mounted":
            pytest.skip(f"this machine cannot: {first.opened}")
        before = folder.disk_store.stat().st_blocks * 512
        assert first.ask("write") == f"True {64 << 20}"
        assert folder.disk_store.stat().st_blocks * 512 - before < 100 << 20, "the copy takes no room of its own"
        assert str(folder.disks) not in Path("/proc/self/mounts").read_text(), "nobody else sees it"
        first.process.send_signal(signal.SIGKILL)
        first.process.wait(10)
        assert free(folder), "the kernel took the mount away with the server"
        second = MountProcess(folder.root)
        try:
            assert second.ask("read") == str(64 << 20)
            assert second.ask("close") == "closed"
            assert loop_devices.find_devices(folder.disk_store) == []
        finally:
            second.end()
    finally:
        first.end()


def test_disks_that_are_there_already_stay_where_they_are(tmp_path: Path) -> None:
    folder = StateDir.at(tmp_path / "state")
    folder.prepare()
    folder.volume("vol-1").write_bytes(b"old")
    holder = MountProcess(folder.root)
    holder.end()
    assert holder.opened == "plain"
    assert not folder.disk_store.exists()
