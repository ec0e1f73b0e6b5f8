"""Every script parses, passes shellcheck, is formatted, and follows the project's conventions."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = sorted(path for path in (ROOT / "provisioners").rglob("*") if path.is_file() and path.suffix != ".sql")
STEPS = sorted((ROOT / "provisioners").glob("*/[0-9]*.sh"))


def names(paths: list[Path]) -> list[str]:
    return [str(path.relative_to(ROOT)) for path in paths]


@pytest.mark.parametrize("script", SCRIPTS, ids=names(SCRIPTS))
def test_bash_parses_the_script(script: Path) -> None:
    subprocess.run(["bash", "-n", str(script)], check=True)


@pytest.mark.skipif(not shutil.which("shellcheck"), reason="shellcheck is not installed")
def test_shellcheck() -> None:
    done = subprocess.run(["shellcheck", *map(str, SCRIPTS)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.skipif(not shutil.which("shfmt"), reason="shfmt is not installed")
def test_format() -> None:
    done = subprocess.run(
        ["shfmt", "-i", "2", "-ci", "-d", *map(str, SCRIPTS)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("script", STEPS, ids=names(STEPS))
def test_step_is_strict_and_logs_its_progress(script: Path) -> None:
    lines = script.read_text().splitlines()
    assert lines[0] == "#!/usr/bin/env bash"
    assert lines[1].startswith("# ")
    assert "set -euo pipefail" in lines
    assert any(line.strip().startswith("log ") for line in lines)
    assert script.stat().st_mode & 0o111


def test_step_numbers_of_a_layer_are_unique() -> None:
    for layer in ("base", "app"):
        numbers = [path.name[:2] for path in STEPS if path.parent.name in ("common", layer)]
        assert len(numbers) == len(set(numbers))


def test_only_lib_calls_package_managers() -> None:
    for script in STEPS:
        text = script.read_text()
        assert not re.search(r"(?m)^\s*(apt|apt-get|dnf|yum) ", text)
