"""What is known of images: written down by the bake where the whole team finds it, and forgotten with the image.

A bake's own folder holds it too (manifest.json); Parameter Store holds it for everybody else, packed into two or three standard
parameters under `/goldenami/NAME/facts/ami-…`, which cost nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple
from typing import Any

from goldenami.aws import parameters
from goldenami.context import Context
from goldenami.model.image import Image
from goldenami.model.inventory import ImageInventory, Package, pack, parse, unpack
from goldenami.state import runs


def save(ctx: Context, image: Image, machine: Mapping[str, Any], packages: Sequence[Package]) -> None:
    """Keep an image's facts for the team; nothing where the run has none (it took over another one's AMI)."""
    if machine and packages:
        parameters.put_parts(ctx.aws, _parameter(ctx, image.id), pack(machine, map(astuple, packages)))


def load(ctx: Context, image: Image) -> ImageInventory | None:
    """What is known of an image: from this checkout's runs, else from the team's; None where nobody wrote it down."""
    for run in reversed(runs.list_runs(ctx.build)):
        manifest = _manifest(run)
        if manifest.get("image", {}).get("id") == image.id and manifest.get("machine") and manifest.get("packages"):
            return parse(manifest["machine"], (tuple(one.values()) for one in map(_ordered, manifest["packages"])))
    parts = parameters.get_parts(ctx.aws, _parameter(ctx, image.id))
    return unpack(parts) if parts else None


def delete_orphaned(ctx: Context, known: Iterable[str], owned: Iterable[Image]) -> None:
    """Delete what is kept about images that are gone.

    Args:
        shop: Where.
        known: Names of parameters that were there before `owned` was read.
        owned: The images there are.
    """
    start, existing = _parameter(ctx, ""), {image.id for image in owned}
    stale = [n for n in known if n.startswith(start) and n.removeprefix(start).partition("/")[0] not in existing]
    parameters.delete_all(ctx.aws, stale)


def _parameter(ctx: Context, ami: str) -> str:
    return f"/goldenami/{ctx.name}/facts/{ami}"


def _manifest(run: runs.Run) -> dict[str, Any]:
    path = run.folder / "manifest.json"
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    return found


def _ordered(package: Mapping[str, str]) -> dict[str, str]:
    return {name: package.get(name, "") for name in ("name", "version", "architecture", "source", "source_version")}
