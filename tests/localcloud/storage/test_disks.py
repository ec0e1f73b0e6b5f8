"""Disk files: sparse copies that appear whole, file systems that grow with their file."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from localcloud.machines.errors import MachineError, find_tool
from localcloud.storage import disks

MIB = 1024**2


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    path = tmp_path / "disk.raw"
    with path.open("wb") as file:
        file.truncate(64 * MIB)
    subprocess.run([find_tool("mkfs.ext4") or "mkfs.ext4", "-q", "-F", str(path)], check=True)
    return path


def blocks(path: Path) -> int:
    text = subprocess.run(
        [find_tool("dumpe2fs") or "dumpe2fs", "-h", str(path)], check=True, capture_output=True, text=True
    ).stdout
    count, size = (re.search(rf"^Block {name}: +(\d+)$", text, re.MULTILINE) for name in ("count", "size"))
    assert count is not None
    assert size is not None
    return int(count[1]) * int(size[1])


def test_a_copy_has_the_same_bytes_and_the_same_holes(disk: Path, tmp_path: Path) -> None:
    copy = tmp_path / "new folder" / "copy, of it.raw"
    disks.copy(disk, copy)
    assert copy.read_bytes() == disk.read_bytes()
    assert disks.measure(copy).apparent == 64 * MIB
    assert disks.measure(copy).allocated < 16 * MIB


def test_a_copy_that_fails_leaves_nothing_and_says_why(tmp_path: Path) -> None:
    with pytest.raises(MachineError, match=r"cannot copy gone.raw: .*No such file"):
        disks.copy(tmp_path / "gone.raw", tmp_path / "copy.raw")
    assert list(tmp_path.iterdir()) == []


def test_growing_enlarges_the_file_system_and_keeps_the_file_sparse(disk: Path) -> None:
    disks.grow(disk, 256 * MIB)
    assert disks.measure(disk).apparent == 256 * MIB
    assert disks.measure(disk).allocated < 32 * MIB
    assert blocks(disk) == 256 * MIB


def test_a_disk_never_shrinks(disk: Path) -> None:
    before = disk.read_bytes()
    disks.grow(disk, 32 * MIB)
    assert disk.read_bytes() == before


def test_what_holds_no_file_system_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "noise.raw"
    path.write_bytes(b"noise" * 1000)
    with pytest.raises(MachineError, match=r"cannot check noise.raw"):
        disks.grow(path, 64 * MIB)
    assert path.stat().st_size == 5000
