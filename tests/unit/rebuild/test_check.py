"""How a machine is asked for waiting updates: each package manager's own words are read right, and nothing is left behind."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from goldenami.rebuild.check import _COMMANDS

APT = """#!/bin/sh
case "$*" in *Dir::State::Lists=/*) ;; *) exit 9 ;; esac
case "$*" in
  *update) echo fetched ;;
  *dist-upgrade) echo "Inst openssl [3.0.1] (3.0.2 Debian:12/stable [amd64])"; echo "Inst linux-image-2 (6.1 Debian:12/stable)"
     echo "Conf openssl (3.0.2 Debian:12/stable [amd64])" ;;
esac
"""
DNF = """#!/bin/sh
case "$*" in *--setopt=cachedir=/*check-update) ;; *) exit 9 ;; esac
cat "{here}/updates"
exit {code}
"""
UPDATES = """
openssl.x86_64        1:3.0.8-1.amzn2023.0.14   amazonlinux
Obsoleting Packages
kernel.x86_64         6.1.112-122.189.amzn2023  amazonlinux
"""


def ask(kind: str, fake: str, folder: Path) -> subprocess.CompletedProcess[str]:
    program = folder / ("apt-get" if kind == "apt" else "dnf")
    program.write_text(fake)
    program.chmod(0o755)
    (folder / "tmp").mkdir()
    env = {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}", "TMPDIR": str(folder / "tmp")}
    done = subprocess.run(["sh", "-c", _COMMANDS[kind]], env=env, capture_output=True, text=True, check=False)
    assert list((folder / "tmp").iterdir()) == []
    return done


def test_apt_s_upgrades_count_and_new_packages_do_not(tmp_path: Path) -> None:
    done = ask("apt", APT, tmp_path)
    assert (done.returncode, done.stdout.split()) == (0, ["openssl"])


@pytest.mark.parametrize(("code", "names"), [(100, ["openssl.x86_64", "kernel.x86_64"]), (0, [])])
def test_dnf_says_by_its_exit_code_whether_there_are_any(tmp_path: Path, code: int, names: list[str]) -> None:
    (tmp_path / "updates").write_text(UPDATES if names else "")
    done = ask("dnf", DNF.format(here=tmp_path, code=code), tmp_path)
    assert (done.returncode, done.stdout.split()) == (0, names)


def test_a_package_manager_that_fails_is_no_answer(tmp_path: Path) -> None:
    (tmp_path / "updates").write_text("")
    assert ask("dnf", DNF.format(here=tmp_path, code=1), tmp_path).returncode != 0


@pytest.mark.skipif(not shutil.which("shellcheck"), reason="shellcheck is not installed")
@pytest.mark.parametrize("kind", sorted(_COMMANDS))
def test_the_scripts_are_clean(kind: str) -> None:
    done = subprocess.run(
        ["shellcheck", "--shell=sh", "-"], input=_COMMANDS[kind], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout
