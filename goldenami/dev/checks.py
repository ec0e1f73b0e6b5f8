"""`invoke test` and `invoke docs`: the project's own checks, and the pages that are generated from its code."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from goldenami.tools import process

# Three at a time where tests mostly wait, each worker with a cloud of its own; a virtual machine without KVM wants all there is.
_ABREAST = ["-n", "3", "--dist", "loadfile"]
_NO_TESTS = 5  # pytest's exit code when none was selected


def run(root: Path, *, e2e: bool = False, quick: bool = False, long: bool = False, keyword: str = "") -> int:
    """Run the linters, then the tests; all of them run even if one complains.

    Args:
        root: The checkout.
        e2e: Only the tests that boot machines.
        quick: Only the linters and the tests that do not.
        long: Also the cases that others stand for.
        keyword: Only tests that match (pytest's -k).

    Returns:
        0 when everything passed, else the first exit code that was not 0.
    """
    codes = [] if e2e or keyword else [_run(root, argv) for argv in linters(root)]
    few = "" if long else " and not long"
    machines = [["-m", f"e2e and not qemu{few}", *_ABREAST], ["-m", f"qemu{few}"]]
    stages = ([] if e2e else [["-m", "not e2e and not qemu", "-n", "2"]]) + ([] if quick else machines)
    wanted = ["-k", keyword] if keyword else []
    found = []
    for stage in stages:
        # A short path: a socket's may have no more than 107 characters, and workers lengthen pytest's own.
        with tempfile.TemporaryDirectory(prefix="gold-") as scratch:
            found.append(_run(root, [sys.executable, "-m", "pytest", f"--basetemp={scratch}/t", *stage, *wanted]))
    codes += [code for code in found if code != _NO_TESTS] or [_NO_TESTS]
    return next((code for code in codes if code), 0)


def linters(root: Path) -> list[list[str]]:
    """The linters' command lines."""
    scripts = [str(path.relative_to(root)) for path in shell_scripts(root)]
    python = [sys.executable, "-m"]
    return [
        [*python, "ruff", "check", "--no-cache", "."],
        [*python, "ruff", "format", "--no-cache", "--check", "."],
        [*python, "mypy"],
        ["shellcheck", "--external-sources", *scripts],
        ["shfmt", "-i", "2", "-ci", "-d", *scripts],
    ]


def shell_scripts(root: Path) -> list[Path]:
    """Every shell script that is used as it is, told by its first line."""
    found = [root / "invoke", root / ".ci/run"]
    for folder in ("provisioners", "systemd", "localcloud", "benchmarks"):
        found += [path for path in sorted((root / folder).rglob("*")) if path.is_file()]
    return [path for path in found if path.exists() and _is_shell(path)]


def _run(root: Path, argv: Sequence[str]) -> int:
    print("$ " + " ".join(Path(a).name if a == sys.executable else a for a in argv[:6]), flush=True)
    return process.stream(argv, lambda line: print(line, flush=True), cwd=root)


def _is_shell(path: Path) -> bool:
    with path.open("rb") as file:
        return file.readline().startswith((b"#!/bin/sh", b"#!/bin/bash", b"#!/usr/bin/env bash"))
