"""Tests of the package list with source packages."""

from __future__ import annotations

import subprocess
from pathlib import Path

LIB = Path(__file__).resolve().parents[2] / "provisioners/lib.sh"


def lib(command: str, text: str = "") -> str:
    """Return the output of a function of lib.sh."""
    script = f'set -euo pipefail; source "$0"; {command}'
    return subprocess.run(
        ["bash", "-c", script, str(LIB)], input=text, text=True, capture_output=True, check=True
    ).stdout


def test_rpm_source_is_parsed_from_its_file_name() -> None:
    output = "openssl-libs\t1:3.0.8-1.amzn2023\tx86_64\topenssl-3.0.8-1.amzn2023.src.rpm\n"
    output += "python3-six\t1.15.0-5\tnoarch\tpython-six-1.15.0-5.src.rpm\n"
    rows = [line.split("\t") for line in lib("source_of_rpm", output).splitlines()]
    assert rows == [
        ["openssl-libs", "1:3.0.8-1.amzn2023", "x86_64", "openssl", "1:3.0.8-1.amzn2023"],
        ["python3-six", "1.15.0-5", "noarch", "python-six", "1.15.0-5"],
    ]


def test_debian_packages_are_listed_with_their_sources() -> None:
    rows = [line.split("\t") for line in lib("FAMILY=debian-12; packages_list").splitlines()]
    assert rows
    assert all(len(row) == 5 and all(row) for row in rows)
    assert ["bash", "bash"] in [[row[0], row[3]] for row in rows]
