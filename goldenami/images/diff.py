"""`invoke diff A B`: what the second image has differently from the first."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from goldenami.aws import images, parameters
from goldenami.bake import inspect, inventory
from goldenami.context import Context
from goldenami.errors import UsageError
from goldenami.images import catalog
from goldenami.images.diff_plan import ImageDiff, changes, compare, match_vulnerabilities
from goldenami.images.model import DiffResult
from goldenami.images.vulnerability_plan import Advisory, ecosystem_of, read, vulnerable
from goldenami.model.image import Image
from goldenami.model.inventory import ImageInventory


def diff(ctx: Context, first: str, second: str, *, advisories: Path | None = None, boot: bool = False) -> DiffResult:
    """Compare two images.

    Args:
        shop: Where.
        first: An AMI's id, a version, `running` or `candidate`.
        second: The same.
        advisories: A folder of advisories in the OSV format.
        boot: Launch an image about which nothing was written down, and look.

    Raises:
        UsageError: There is no such image, or no such folder, or OSV has no advisories for the image's family.
    """
    before, after = _find(ctx, first), _find(ctx, second)
    ecosystem = ecosystem_of(ctx.recipe.image.family) if advisories is not None else ""
    if advisories is not None and not advisories.is_dir():
        raise UsageError(f"{advisories} is no folder of advisories", next="unpack an OSV database into it")
    told = {image.id: inventory.load(ctx, image) for image in (before, after)}
    for image in (before, after) if boot else ():
        told[image.id] = told[image.id] or inspect.inspect_image(ctx, image)
    missing = tuple(
        f"what is in {image.name} ({image.id}) was not written down by its bake; --boot launches it and looks"
        for image in (before, after)
        if told[image.id] is None
    )
    inside = ImageDiff((), missing=missing)
    was, now = told[before.id], told[after.id]
    if was and now:
        inside = compare(was, now)
        if advisories is not None:
            inside = _with_vulnerabilities(inside, was, now, list(_advisories(advisories, ecosystem)))
    return DiffResult(before, after, tuple(changes(before, after, None, None)), inside)


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
            told = json.loads(path.read_text(encoding="utf-8"))
        except ValueError:
            raise UsageError(f"{path} is not JSON", next="see https://ossf.github.io/osv-schema/") from None
        if isinstance(told, dict):
            yield from read(told, ecosystem)


def _with_vulnerabilities(
    inside: ImageDiff, was: ImageInventory, now: ImageInventory, known: list[Advisory]
) -> ImageDiff:
    summaries = {advisory.id: advisory.summary for advisory in known}
    before, after = (vulnerable(facts.packages.values(), known) for facts in (was, now))
    found, remaining = match_vulnerabilities(before, after, summaries)
    return replace(inside, vulnerabilities=found, remaining=remaining)
