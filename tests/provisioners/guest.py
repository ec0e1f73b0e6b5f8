"""Fake builder for the provisioning scripts: a run folder as Packer uploads it, and fake programs on PATH."""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PROVISIONERS = ROOT / "provisioners"

VALUES: dict[str, str | Sequence[str]] = {
    "LAYER": "base",
    "IMAGE_NAME": "book",
    "FAMILY": "debian-12",
    "ARCHITECTURE": "x86_64",
    "GO_VERSION": "1.19",
    "GO_SOURCE": "distribution",
    "GO_SHA256": "",
    "GO_URL": "",
    "POSTGRESQL_VERSION": "15",
    "EXTRA_PACKAGES": [],
    "APP_USER": "nobody",
    "APP_DIRECTORY": "/nonexistent",
    "AWS_REGION": "ap-northeast-2",
    "APP_SOURCE": "directory",
    "APP_REPOSITORY": "",
    "APP_COMMIT": "abc",
    "APP_REF": "main",
    "APP_BUILD": "",
    "APP_EXEC": "/nonexistent/book",
    "APP_PORT": "8080",
    "APP_HEALTH": "/health",
    "APP_SCHEMA": "",
    "APP_MIGRATIONS": "",
    "DB_NAME": "book",
    "DB_USER": "book",
    "DB_PASSWORD_PARAMETER": "/book/password",
    "DB_MODE": "instance",
    "PARAMETERS": [],
    "SERVICE": "book",
}


def word(value: str | Sequence[str]) -> str:
    """Return a value as it stands in recipe.env."""
    return shlex.quote(value) if isinstance(value, str) else "(" + " ".join(map(shlex.quote, value)) + ")"


class Guest:
    """Run folder as Packer uploads it, and a PATH that starts with fakes, which record their calls."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.golden = folder / "golden"
        self.bin = folder / "bin"
        self.calls = folder / "calls"
        (self.golden / "files").mkdir(parents=True)
        self.bin.mkdir()
        self.calls.touch()
        lib = (PROVISIONERS / "lib.sh").read_text()
        # The fakes take precedence over the system's programs.
        lib = lib.replace('export PATH="/usr/local/go', f'export PATH="{self.bin}:/usr/local/go')
        self.cache = folder / "cache"
        lib = lib.replace("build_cache=/var/cache/golden-build", f"build_cache={self.cache}")
        (self.golden / "files/lib.sh").write_text(lib)

    def fake(self, name: str, script: str = "") -> None:
        """Put a program on PATH that records its arguments and then runs some bash."""
        path = self.bin / name
        path.write_text(
            f'#!/bin/bash\n{{ printf "%s\\n" "{name} $*" >>{shlex.quote(str(self.calls))}; }} 2>/dev/null || :\n{script}\n'
        )
        path.chmod(0o755)

    def called(self) -> list[str]:
        """Return the fakes' calls: program and arguments."""
        return self.calls.read_text().splitlines()

    def run(
        self, script: str, values: Mapping[str, str | Sequence[str]] | None = None, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        """Run a script of provisioners/, or other bash text with lib.sh loaded."""
        merged = {**VALUES, **(values or {})}
        (self.golden / "recipe.env").write_text("".join(f"{name}={word(value)}\n" for name, value in merged.items()))
        if script.endswith(".sh"):
            argv = ["bash", str(PROVISIONERS / script)]
        else:
            argv = [
                "bash",
                "-c",
                f'set -euo pipefail\nsource "$GOLDEN/recipe.env"\nsource "$GOLDEN/files/lib.sh"\n{script}',
            ]
        # Independent of the caller's locale.
        inherited = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        return subprocess.run(
            argv,
            env={**inherited, "GOLDEN": str(self.golden), **environment},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
