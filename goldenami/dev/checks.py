"""`./invoke test`: linters and tests."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from goldenami.tools import process

# Tests that boot containers mostly wait, so three run in parallel, each with its own cloud. A QEMU machine without KVM
# needs every CPU.
_PARALLEL = ["-n", "3", "--dist", "loadfile"]
_NO_TESTS = 5  # pytest's exit code when none was selected


def run(root: Path, *, e2e: bool = False, quick: bool = False, long: bool = False, keyword: str = "") -> int:
    """Run the linters, then the tests. A failure does not stop the rest.

    Args:
        root: The checkout.
        e2e: Run only tests that boot machines.
        quick: Run only the linters and tests that boot no machines.
        long: Also run cases marked as long.
        keyword: Run only tests that match (pytest's -k).

    Returns:
        0 if everything passed, otherwise the first exit code that is not 0.
    """
    codes = [] if e2e or keyword else [_run(root, argv) for argv in linters(root)]
    without_long = "" if long else " and not long"
    machines = [["-m", f"e2e and not qemu{without_long}", *_PARALLEL], ["-m", f"qemu{without_long}"]]
    stages = ([] if e2e else [["-m", "not e2e and not qemu", "-n", "2"]]) + ([] if quick else machines)
    selection = ["-k", keyword] if keyword else []
    results = []
    for stage in stages:
        # A short path: the path of a UNIX socket has at most 107 characters, and xdist workers add a folder.
        with tempfile.TemporaryDirectory(prefix="gold-") as scratch:
            pytest = [sys.executable, "-m", "pytest", f"--basetemp={scratch}/t", *stage, *selection]
            results.append(_run(root, pytest))
    codes += [code for code in results if code != _NO_TESTS] or [_NO_TESTS]
    return next((code for code in codes if code), 0)


def linters(root: Path) -> list[list[str]]:
    """Return the command lines of the linters."""
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
    """Return every shell script that is not a template, recognized by its first line."""
    paths = [root / "invoke", root / ".ci/run"]
    for folder in ("provisioners", "systemd", "localcloud", "benchmarks"):
        paths += [path for path in sorted((root / folder).rglob("*")) if path.is_file()]
    return [path for path in paths if path.exists() and _is_shell(path)]


def _run(root: Path, argv: Sequence[str]) -> int:
    print("$ " + " ".join(Path(a).name if a == sys.executable else a for a in argv[:6]), flush=True)
    return process.stream(argv, lambda line: print(line, flush=True), cwd=root)


def _is_shell(path: Path) -> bool:
    with path.open("rb") as file:
        return file.readline().startswith((b"#!/bin/sh", b"#!/bin/bash", b"#!/usr/bin/env bash"))
