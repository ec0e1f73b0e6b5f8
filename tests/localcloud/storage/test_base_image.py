"""The base image: kept by its inputs, built whole or not at all, with the owners and modes that a system needs."""

from __future__ import annotations

import os
import shutil
import subprocess
import tarfile
import threading
from pathlib import Path

import pytest

from localcloud.machines.errors import MachineError
from localcloud.storage import base_image

BOOTSTRAP = """#!/bin/sh
echo "I: unpacking nothing" >&2
for word; do
  case $word in
    *.tar) tarball=$word ;;
    --customize-hook=download*) status=${word##* } ;;
  esac
done
echo called >>"$CALLS"
[ -z "$FAIL" ] || { echo "E: $FAIL" >&2; exit 25; }
printf 'Package: base-files\\nStatus: install ok installed\\nVersion: 12.4\\n' >"$status"
mkdir -p "$CALLS.root/etc" && echo local >"$CALLS.root/etc/motd"
tar --create --file "$tarball" --directory "$CALLS.root" .
"""


@pytest.fixture
def calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A stand-in for mmdebstrap that makes a tiny tree; the file holds a line for every call."""
    tools = tmp_path / "bin"
    tools.mkdir()
    (tools / "mmdebstrap").write_text(BOOTSTRAP)
    (tools / "mmdebstrap").chmod(0o755)
    (tmp_path / "keyring.gpg").touch()
    monkeypatch.setattr(base_image, "KEYRING", tmp_path / "keyring.gpg")
    monkeypatch.setattr(base_image, "SIZE", 512 * 1024**2)
    monkeypatch.setenv("PATH", f"{tools}:{os.environ['PATH']}")
    monkeypatch.setenv("CALLS", str(tmp_path / "calls"))
    monkeypatch.setenv("FAIL", "")
    return tmp_path / "calls"


def quiet(_: str) -> None:
    pass


needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="the stand-in builds as root only")


@needs_root
def test_it_is_built_once_and_then_read_from_the_cache(calls: Path, tmp_path: Path) -> None:
    output: list[str] = []
    built = base_image.ensure_base_image(tmp_path / "cache", output.append)
    again = base_image.ensure_base_image(tmp_path / "cache", output.append)
    assert built == again
    assert calls.read_text() == "called\n"
    assert built.packages == (("base-files", "12.4"),)
    assert built.name.startswith("debian-12-")
    assert built.name.endswith("-local")
    assert built.path.stat().st_mode & 0o222 == 0
    assert any("unpacking nothing" in line for line in output)
    motd = subprocess.run(
        ["debugfs", "-R", "cat /etc/motd", str(built.path)], check=True, capture_output=True, text=True
    ).stdout
    assert motd == "local\n"


@needs_root
def test_many_at_once_build_it_once(calls: Path, tmp_path: Path) -> None:
    threads = [
        threading.Thread(target=base_image.ensure_base_image, args=(tmp_path / "cache", quiet)) for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert calls.read_text() == "called\n"


@needs_root
def test_a_build_that_fails_says_why_and_leaves_nothing(
    calls: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAIL", "archive not reachable")
    with pytest.raises(MachineError, match="mmdebstrap ended with 25: E: archive not reachable"):
        base_image.ensure_base_image(tmp_path / "cache", quiet)
    assert [path.name for path in (tmp_path / "cache").iterdir()] == ["base.lock"]
    monkeypatch.setenv("FAIL", "")
    assert base_image.ensure_base_image(tmp_path / "cache", quiet).path.is_file()


@needs_root
def test_what_a_killed_build_left_is_removed(calls: Path, tmp_path: Path) -> None:
    dead = tmp_path / "cache" / "base-0123.building"
    (dead / "root").mkdir(parents=True)
    base_image.ensure_base_image(tmp_path / "cache", quiet)
    assert not dead.exists()


def test_a_missing_keyring_is_named_with_its_package(calls: Path, tmp_path: Path) -> None:
    base_image.KEYRING.unlink()
    with pytest.raises(MachineError, match="sudo apt-get install --yes debian-archive-keyring"):
        base_image.ensure_base_image(tmp_path / "cache", quiet)


def test_the_digest_follows_every_file_and_its_mode(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(base_image.BASE, tmp_path / "base")
    monkeypatch.setattr(base_image, "BASE", tmp_path / "base")
    observed = {base_image.input_digest()}
    script = tmp_path / "base/root/usr/lib/ec2-boot/ec2-boot"
    script.write_text(script.read_text() + "# more\n")
    observed.add(base_image.input_digest())
    script.chmod(0o644)
    observed.add(base_image.input_digest())
    script.rename(script.with_name("other"))
    observed.add(base_image.input_digest())
    assert len(observed) == 4


def test_the_overlay_belongs_to_root_and_holds_no_folders(tmp_path: Path) -> None:
    target = tmp_path / "overlay.tar"
    base_image._pack(base_image.BASE / "root", target)
    with tarfile.open(target) as tar:
        entries = {entry.name: entry for entry in tar}
    assert all(entry.isfile() and (entry.uid, entry.gid) == (0, 0) for entry in entries.values())
    assert entries["usr/lib/ec2-boot/ec2-boot"].mode == 0o755
    assert entries["etc/sudoers.d/90-ec2-default-user"].mode == 0o644


def test_hook_arguments_survive_the_splitting_that_mmdebstrap_does(tmp_path: Path) -> None:
    argv = base_image.bootstrap_argv(tmp_path / "a.tar", tmp_path / "an overlay's.tar", tmp_path / "status")
    hook = next(word for word in argv if word.startswith("--essential-hook="))
    split = subprocess.run(
        ["perl", "-MText::ParseWords", "-e", "print join '|', shellwords($ARGV[0])", hook.partition("=")[2]],
        check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip
    assert split == f"tar-in|{tmp_path}/an overlay's.tar|/"


def test_only_installed_packages_are_listed() -> None:
    status = (
        "Package: b\nStatus: install ok installed\nVersion: 1:2~rc1\nDescription: x\n Package: not me\n\n"
        "Package: gone\nStatus: deinstall ok config-files\nVersion: 1\n\n"
        "Package: a\nStatus: hold ok installed\nVersion: 0.1\n"
    )
    assert base_image.parse_dpkg_status(status) == [("a", "0.1"), ("b", "1:2~rc1")]


@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="shellcheck is not installed")
def test_the_scripts_of_the_image_are_clean() -> None:
    scripts = [
        path for path in base_image.BASE.rglob("*") if path.is_file() and path.read_bytes().startswith(b"#!/bin/sh")
    ]
    assert len(scripts) == 3
    subprocess.run(["shellcheck", *map(str, scripts)], check=True)
