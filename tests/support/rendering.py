"""Inputs of a rendering for tests, for an old and a new version of Packer."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from goldenami.bake.model import LayerInputs
from goldenami.bake.render import render
from goldenami.model.image import Layer
from tests.support.recipes import recipe

OLD = (1, 6, 6)
NEW = (1, 11, 2)


def inputs(
    changes: Mapping[str, Any] | None = None,
    layer: Layer = "app",
    packer_version: tuple[int, int, int] = OLD,
    **others: Any,
) -> LayerInputs:
    """Return a layer's inputs from the repository's recipe with these keys changed."""
    found = recipe(changes)
    tags = {
        **found.tags,
        "Name": "guestbook-golden-v1.0",
        "Environment": found.image.environment,
        "Created": "2025-10-02",
        "Go": found.runtime.go.version,
        "PostgreSQL": str(found.runtime.postgresql.version),
        "goldenami:run": "20251002-030405-abcd",
        "goldenami:image": found.image.name,
        "goldenami:layer": layer,
        "goldenami:fingerprint": "f" * 64,
        "goldenami:source-ami": "ami-0123456789abcdef0",
    }
    if layer == "app":
        tags |= {"Version": "1.0.0", "goldenami:commit": "0123456789abcdef0123456789abcdef01234567"}
    given: dict[str, Any] = {
        "recipe": found,
        "target": found.target(),
        "layer": layer,
        "packer_version": packer_version,
        "source_ami": "ami-0123456789abcdef0",
        "app_commit": "0123456789abcdef0123456789abcdef01234567",
        "ami_name": "guestbook-golden-v1.0",
        "version": "v1.0",
        "run_id": "20251002-030405-abcd",
        "tags": tags,
        "fingerprint": "f" * 64,
    }
    return LayerInputs(**(given | others))


def rendered(folder: Path, given: LayerInputs) -> Path:
    """Render a folder as it is right before Packer runs, with the source and the SSH key."""
    folder.mkdir(parents=True, exist_ok=True)
    if given.layer == "app" and not given.recipe.app.is_git:
        (folder / "source.tar.gz").write_bytes(b"")
    if given.layer == "base" and given.recipe.app.dependencies:
        (folder / "dependencies.tar").write_bytes(b"")
    render(given, folder)
    (folder / "ssh_key").write_text("")
    (folder / "ssh_key.pub").write_text("ssh-ed25519 AAAA goldenami\n")
    return folder
