"""`invoke diff A B`: what the second image has differently from the first."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from goldenami.aws import images, parameters
from goldenami.bake import inventory
from goldenami.context import Context
from goldenami.errors import UsageError
from goldenami.images import catalog
from goldenami.images.diff_plan import ImageDiff, changes, compare, match_vulnerabilities
from goldenami.images.model import DiffResult
from goldenami.images.vulnerability_plan import Advisory, ecosystem_of, read, vulnerable
from goldenami.model.image import Image
from goldenami.model.inventory import ImageInventory


def diff(ctx: Context, first: str, second: str, *, advisories: Path | None = None, boot: bool = False) -> DiffResult:
    """Compare two images."""
    before, after = _find(ctx, first), _find(ctx, second)
    known = None
    if advisories is not None:
        ecosystem = ecosystem_of(ctx.recipe.image.family)
        if not advisories.is_dir():
            raise UsageError(f"{advisories} is no folder of advisories", next="unpack an OSV database into it")
        known = list(_advisories(advisories, ecosystem))
    contents = compare_inventories(ctx, before, after, known=known, boot=boot)
    return DiffResult(before, after, tuple(changes(before, after, None, None)), contents)


def compare_inventories(
    ctx: Context, before: Image, after: Image, *, known: list[Advisory] | None = None, boot: bool = False
) -> ImageDiff:
    """Compare the contents of two images, as recorded by their bakes.

    Args:
        known: Advisories to match the packages against; None leaves vulnerabilities out.
        boot: Launch an image without an inventory and inspect it.
    """
    inventories = {image.id: inventory.load(ctx, image) for image in (before, after)}
    if boot:
        from goldenami.bake import inspect  # loads all of the bake, which a promotion does not need

        for image in (before, after):
            inventories[image.id] = inventories[image.id] or inspect.inspect_image(ctx, image)
    first, second = inventories[before.id], inventories[after.id]
    if first is None or second is None:
        missing = (
            f"{image.name} ({image.id}) has no inventory; ./invoke diff --boot launches it to create one"
            for image in (before, after)
            if inventories[image.id] is None
        )
        return ImageDiff((), missing=tuple(missing))
    contents = compare(first, second)
    return contents if known is None else _with_vulnerabilities(contents, first, second, known)


def _find(ctx: Context, wanted: str) -> Image:
    if wanted in ("running", "production", "candidate"):
        name = ctx.candidate if wanted == "candidate" else ctx.names.production
        pointer = parameters.get(ctx.aws, name)
        if pointer is None:
            what = "no candidate" if wanted == "candidate" else "nothing in production"
            raise UsageError(f"there is {what}", next="./invoke images")
        wanted = pointer.value
    if not wanted.startswith("ami-"):
        return catalog.resolve_version(ctx, wanted)
    image = images.get(ctx.aws, wanted)
    if image is None:
        raise UsageError(f"there is no AMI {wanted} in {ctx.aws.region}", next="./invoke images")
    return image


def _advisories(folder: Path, ecosystem: str) -> Iterator[Advisory]:
    for path in sorted(folder.rglob("*.json")):
        try:
            advisory = json.loads(path.read_text(encoding="utf-8"))
        except ValueError:
            raise UsageError(f"{path} is not JSON", next="see https://ossf.github.io/osv-schema/") from None
        if isinstance(advisory, dict):
            yield from read(advisory, ecosystem)


def _with_vulnerabilities(
    inside: ImageDiff, was: ImageInventory, now: ImageInventory, known: list[Advisory]
) -> ImageDiff:
    summaries = {advisory.id: advisory.summary for advisory in known}
    before, after = (vulnerable(facts.packages.values(), known) for facts in (was, now))
    found, remaining = match_vulnerabilities(before, after, summaries)
    return replace(inside, vulnerabilities=found, remaining=remaining)
