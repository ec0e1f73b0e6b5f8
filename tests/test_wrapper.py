"""Tests of the wrapper `invoke` with fake system programs: the sources of Packer, and the errors without one."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
REAL = ["cat", "chmod", "cmp", "cp", "dirname", "env", "flock", "grep", "id"]
REAL += ["ls", "mkdir", "mv", "rm", "sh", "touch", "uname", "uniq"]
PACKER = "#!/bin/sh\\necho {}\\n"

# Offers the packages of $SOURCES once the lists are downloaded, and installs programs into the folder of the fakes.
APT_CACHE = 'case " $(cat $BOX/lists 2>/dev/null) " in *" $2 "*) echo "$2 | 1 | main" ;; esac'
APT_GET = f"""
case " $* " in
  *" indextargets "*) [ -e $BOX/lists ] && printf '%s\\n' mirror://broken/ mirror://whole/ mirror://whole/ ;;
  *" download "*) [ -e $BOX/whole ] && touch packer_1.6.6_amd64.deb ;;
  *sourceparts=-*" update "*)
    for word; do case $word in *sourcelist=*) list=$(cat "${{word#*sourcelist=}}") ;; esac; done
    case $list in *"keyring.gpg] mirror://whole/ bookworm main") [ -e $BOX/whole ] ;; *) exit 100 ;; esac ;;
  *" update "*) echo "$SOURCES" >$BOX/lists ;;
  *" install "*" packer "*)
    case " $(cat $BOX/lists) " in *" packer "*) ;; *) exit 100 ;; esac
    printf '{PACKER.format("installed")}' >$BOX/bin/packer && chmod 755 $BOX/bin/packer ;;
esac"""
DPKG_DEB = f"""
[ "$2" = packer.part/packer_1.6.6_amd64.deb ] && mkdir -p "$3/usr/bin" &&
  printf '{PACKER.format("private")}' >"$3/usr/bin/packer"
[ ! -e $BOX/kill ] || {{ rm $BOX/kill; kill -9 $PPID; }}
chmod 755 "$3/usr/bin/packer\""""


class Machine:
    """A checkout with an installed environment, on a machine with a few fake programs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.bin, self.cache, self.calls = folder / "bin", folder / "cache", folder / "calls"
        for directory in (self.bin, folder / "tree/.venv/bin"):
            directory.mkdir(parents=True)
        self.calls.touch()
        for name in REAL:
            (self.bin / name).symlink_to(str(shutil.which(name)))
        for name in ("git", "shellcheck"):
            self.fake(name)
        self.fake("apt-cache", APT_CACHE)
        self.fake("apt-get", APT_GET)
        self.fake("dpkg-deb", DPKG_DEB)
        self.fake("sudo", 'exec "$@"')
        shutil.copy(ROOT / "invoke", folder / "tree/invoke")
        for name in ("requirements.lock", ".venv/.stamp"):
            (folder / "tree" / name).write_text("the same\n")
        self.fake("../tree/.venv/bin/python", "packer version")

    def fake(self, name: str, script: str = "") -> None:
        path = self.bin / name
        path.write_text(f'#!/bin/sh\necho "{path.name} $*" >>$BOX/calls\n{script}\n')
        path.chmod(0o755)

    def bake(self, sources: str = "apt git", **environment: str) -> subprocess.CompletedProcess[str]:
        box = {"PATH": str(self.bin), "BOX": str(self.folder), "SOURCES": sources, "GOLDENAMI_CACHE": str(self.cache)}
        argv = [str(self.folder / "tree/invoke"), "bake", "--target=aws"]
        return subprocess.run(argv, env=box | environment, capture_output=True, text=True, timeout=60)

    def called(self, word: str) -> bool:
        return any(word in line for line in self.calls.read_text().splitlines() if line.startswith("apt-get"))


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_packer_on_path_is_used(machine: Machine) -> None:
    machine.fake("packer", "echo own")
    done = machine.bake()
    assert (done.returncode, done.stdout, done.stderr) == (0, "own\n", "")
    assert "apt" not in machine.calls.read_text()


@pytest.mark.parametrize("fresh", [True, False])
def test_packer_of_the_distribution_is_installed(machine: Machine, fresh: bool) -> None:
    if not fresh:
        (machine.folder / "lists").write_text("apt packer")
    done = machine.bake("apt packer")
    assert (done.returncode, done.stdout) == (0, "installed\n"), done.stderr
    assert not machine.called("download")
    assert not machine.cache.exists()


@pytest.mark.parametrize("fresh", [True, False])
def test_debian_12_packer_is_unpacked_once_where_the_sources_have_none(machine: Machine, fresh: bool) -> None:
    (machine.folder / "whole").touch()
    if not fresh:
        (machine.folder / "lists").write_text("apt git")
    done = machine.bake()
    assert (done.returncode, done.stdout) == (0, "private\n"), done.stderr
    assert "unpacking Debian 12's packer" in done.stderr
    assert not machine.called(" install ")
    assert sorted(path.name for path in machine.cache.iterdir()) == ["packer", "packer.lock"]
    machine.calls.write_text("")
    again = machine.bake(GOLDENAMI_NO_INSTALL="1")
    assert (again.returncode, again.stdout, again.stderr) == (0, "private\n", "")
    assert "apt" not in machine.calls.read_text()


def test_interrupted_download_is_cleaned_up_and_repeated(machine: Machine) -> None:
    for name in ("whole", "kill"):
        (machine.folder / name).touch()
    (machine.folder / "lists").write_text("apt git")
    killed = machine.bake()
    assert (killed.returncode, killed.stdout) == (69, "")
    assert (machine.cache / "packer.part/root/usr/bin/packer").exists()
    assert not (machine.cache / "packer").exists()
    assert machine.bake().stdout == "private\n"
    assert not (machine.cache / "packer.part").exists()


def test_missing_packer_is_an_error(machine: Machine) -> None:
    (machine.folder / "lists").write_text("apt git")
    done = machine.bake()
    assert (done.returncode, done.stdout) == (69, "")
    last = done.stderr.splitlines()[-1]
    assert last.startswith(
        "invoke: this system's package sources have no packer, and Debian 12's could not be downloaded"
    )
    assert last.endswith("Install Packer 1.6.6 or newer and put it on PATH, then run the same command again.")
    assert not (machine.cache / "packer").exists()


def test_no_install_downloads_nothing(machine: Machine) -> None:
    (machine.folder / "whole").touch()
    (machine.folder / "lists").write_text("apt git")
    done = machine.bake(GOLDENAMI_NO_INSTALL="1")
    assert (done.returncode, done.stdout) == (69, "")
    assert "missing: packer, which this system's package sources do not have" in done.stderr
    assert not machine.called("update")
    assert not machine.cache.exists()
