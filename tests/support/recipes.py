"""Recipes for tests: the repository's own, with keys changed, written as TOML."""

from __future__ import annotations

import copy
import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from goldenami.errors import RecipeError
from goldenami.recipe.parse import parse
from goldenami.recipe.recipe import Recipe

ROOT = Path(__file__).resolve().parents[2]
REMOVED = object()

# An external database, so that the fleet may have several instances.
RDS = {
    "database.mode": "rds",
    "database.host_parameter": "/guestbook/production/db/host",
    "parameters": [
        {"name": "/guestbook/production/db/password", "type": "SecureString", "generate": True},
        {"name": "/guestbook/production/db/host", "value": "db.example.com"},
    ],
    "fleet.max": 5,
}

# Data on an EBS volume of its own.
VOLUME = {"database.mode": "volume", "database.volume": {"size_gib": 8}}

AMAZON_LINUX = {
    **RDS,
    "target": "aws",
    "image.family": "amazon-linux-2023",
    "runtime.go": {
        "version": "1.23.0",
        "source": "go.dev",
        "sha256": "905a297f19ead44780548933e0ff1a1b86e8327bb459e92f9c0012569f76f5e3",
    },
    "runtime.postgresql.version": 16,
    "runtime.packages": [],
    "app.source": "https://github.com/example/bibleai.git",
    "app.ref": "main",
    "targets.aws.subnet_id": "subnet-0123456789abcdef0",
    "targets.aws.kms_key_id": "alias/golden",
    "targets.aws.public_ip": True,
}

UBUNTU_ARM = {
    "target": "aws",
    "image.family": "ubuntu-24.04",
    "image.architecture": "arm64",
    "runtime.go.version": "1.22",
    "runtime.postgresql.version": 16,
    "instance.type": "t4g.micro",
    "targets.aws.ssh_cidrs": ["203.0.113.7/32"],
}


def data(changes: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return the repository's recipe as data, with dotted keys changed; REMOVED deletes a key."""
    contents = copy.deepcopy(tomllib.loads((ROOT / "golden.toml").read_text(encoding="utf-8")))
    for dotted, value in (changes or {}).items():
        section: Any = contents
        *parents, last = dotted.split(".")
        for step in parents:
            section = section[int(step)] if isinstance(section, list) else section.setdefault(step, {})
        if value is REMOVED:
            del section[last]
        else:
            section[last] = copy.deepcopy(value)
    return contents


def toml(value: Any) -> str:
    """Return data as a TOML value."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{toml(name)} = {toml(item)}" for name, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(toml(item) for item in value) + "]"
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def text(changes: Mapping[str, Any] | None = None) -> str:
    """Return the repository's recipe as TOML, with dotted keys changed."""
    return "".join(f"{toml(name)} = {toml(value)}\n" for name, value in data(changes).items())


def recipe(changes: Mapping[str, Any] | None = None) -> Recipe:
    """Return the repository's recipe, with dotted keys changed."""
    return parse(text(changes), ROOT / "golden.toml")


def problems(changes: Mapping[str, Any]) -> list[str]:
    """Return the problems of the repository's recipe with dotted keys changed."""
    try:
        recipe(changes)
    except RecipeError as error:
        return [line.removeprefix("golden.toml: ") for line in error.problems]
    return []
