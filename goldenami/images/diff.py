"""`invoke diff A B`: what the second image has differently from the first."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from goldenami.aws import images, parameters
from goldenami.bake import inspect as glimpse
from goldenami.bake import inventory as knowledge
from goldenami.context import Shop
from goldenami.errors import UsageError
from goldenami.images import catalog as choosing
from goldenami.images.changes import Change, changes
from goldenami.images.diff_plan import Comparison, compare, weigh
from goldenami.images.vulnerability_plan import Advisory, read, vulnerable
from goldenami.model.image import Image
from goldenami.model.inventory import Facts
from goldenami.tools import package_versions as ordering


@dataclass(frozen=True)
class Diff:
    """Both images, what their tags say differently, and what is known of what is in them."""

    before: Image
    after: Image
    tags: tuple[Change, ...]
    inside: Comparison


def diff(shop: Shop, first: str, second: str, *, advisories: Path | None = None, boot: bool = False) -> Diff:
    """Compare two images.

    Args:
        shop: Where.
        first: An AMI's id, a version, `running` or `candidate`.
        second: The same.
        advisories: A folder of advisories in the OSV format.
        boot: Launch an image about which nothing was written down, and look.

    Raises:
        UsageError: There is no such image, or no such folder.
        ToolError: The versions cannot be compared on this machine.
    """
    before, after = _find(shop, first), _find(shop, second)
    if advisories is not None and not advisories.is_dir():
        raise UsageError(f"{advisories} is no folder of advisories", next="unpack an OSV database into it")
    told = {image.id: knowledge.of(shop, image) for image in (before, after)}
    for image in (before, after) if boot else ():
        told[image.id] = told[image.id] or glimpse.look_inside(shop, image)
    missing = tuple(
        f"what is in {image.name} ({image.id}) was not written down by its bake; --boot launches it and looks"
        for image in (before, after)
        if told[image.id] is None
    )
    inside = Comparison((), missing=missing)
    was, now = told[before.id], told[after.id]
    if was and now:
        inside = compare(was, now)
        if advisories is not None:
            inside = _weighed(shop, inside, was, now, list(_advisories(shop, advisories)))
    return Diff(before, after, tuple(changes(before, after, None, None)), inside)


def _find(shop: Shop, wanted: str) -> Image:
    if wanted in ("running", "production", "candidate"):
        name = shop.candidate if wanted == "candidate" else shop.names.production
        pointer = parameters.get(shop.aws, name)
        if pointer is None:
            what = "no candidate" if wanted == "candidate" else "nothing in production"
            raise UsageError(f"there is {what}", next="./invoke images")
        wanted = pointer.value
    if not wanted.startswith("ami-"):
        return choosing.by_version(shop, wanted)
    image = images.get(shop.aws, wanted)
    if image is None:
        raise UsageError(f"there is no AMI {wanted} in {shop.aws.region}", next="./invoke images")
    return image


def _advisories(shop: Shop, folder: Path) -> Iterator[Advisory]:
    for path in sorted(folder.rglob("*.json")):
        try:
            told = json.loads(path.read_text(encoding="utf-8"))
        except ValueError:
            raise UsageError(f"{path} is not JSON", next="see https://ossf.github.io/osv-schema/") from None
        if isinstance(told, dict):
            yield from read(told, shop.recipe.image.family)


def _weighed(shop: Shop, inside: Comparison, was: Facts, now: Facts, known: list[Advisory]) -> Comparison:
    order = ordering.comparing(shop.family.packages)
    summaries = {advisory.id: advisory.summary for advisory in known}
    before, after = (vulnerable(facts.packages.values(), known, order) for facts in (was, now))
    found, remaining = weigh(before, after, summaries)
    return replace(inside, vulnerabilities=found, remaining=remaining)
