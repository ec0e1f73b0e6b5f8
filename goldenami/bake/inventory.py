"""Inventories of images (packages, units, users and so on), shared with the team through Parameter Store.

The bake writes the inventory to its manifest.json, and packed into two or three standard parameters under
`/goldenami/NAME/inventory/ami-…`, which are free of charge. The parameters are deleted with the image.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple, fields
from typing import Any

from goldenami.aws import parameters
from goldenami.context import Context
from goldenami.model.image import Image
from goldenami.model.inventory import ImageInventory, Package, pack, parse, unpack
from goldenami.state import runs


def save(ctx: Context, image: Image, report: Mapping[str, Any], packages: Sequence[Package]) -> None:
    """Save the inventory of an image, unless it is empty: a run that adopted an AMI has none."""
    if report and packages:
        parameters.put_parts(ctx.aws, _parameter(ctx, image.id), pack(report, map(astuple, packages)))


def load(ctx: Context, image: Image) -> ImageInventory | None:
    """Return the inventory of an image from the runs of this checkout, else from Parameter Store; None if it has none."""
    for run in reversed(runs.list_runs(ctx.build)):
        manifest = _manifest(run)
        if manifest.get("image", {}).get("id") == image.id and manifest.get("machine") and manifest.get("packages"):
            columns = [field.name for field in fields(Package)]
            rows = ([package.get(column, "") for column in columns] for package in manifest["packages"])
            return parse(manifest["machine"], rows)
    parts = parameters.get_parts(ctx.aws, _parameter(ctx, image.id))
    return unpack(parts) if parts else None


def delete_orphaned(ctx: Context, names: Iterable[str], owned: Iterable[Image]) -> None:
    """Delete the inventories of images that do not exist any more.

    Args:
        names: Names of parameters, listed before `owned`: an inventory that was saved since is not among them.
    """
    path, existing = _parameter(ctx, ""), {image.id for image in owned}
    orphaned = [n for n in names if n.startswith(path) and n.removeprefix(path).partition("/")[0] not in existing]
    parameters.delete_all(ctx.aws, orphaned)


def _parameter(ctx: Context, ami: str) -> str:
    return f"/goldenami/{ctx.name}/inventory/{ami}"


def _manifest(run: runs.Run) -> dict[str, Any]:
    path = run.folder / "manifest.json"
    manifest: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    return manifest
