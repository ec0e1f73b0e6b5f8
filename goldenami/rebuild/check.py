"""Whether a rebuild is due: read what there is and what could be, and decide; nothing is changed."""

from __future__ import annotations

from dataclasses import dataclass, replace

from goldenami.aws import parameters
from goldenami.bake import preflight as planning
from goldenami.context import Shop
from goldenami.model import image as tags
from goldenami.model.image import Image
from goldenami.model.version import Version
from goldenami.rebuild import pending
from goldenami.rebuild.plan import Reason, Stock, about_packages, reasons
from goldenami.rebuild.record_model import Names, Record, parse


@dataclass(frozen=True)
class Found:
    """What was read and decided; nothing was changed.

    Attributes:
        packages: What is known about waiting package updates, and how.
        before: What is in production, or the candidate where nothing is.
        version: What a bake of now would be called.
        unfinished: A rebuild that ended before it was done, which the next one goes on with.
    """

    stock: Stock
    reasons: tuple[Reason, ...]
    packages: str
    before: Image | None
    version: Version
    unfinished: Record | None


def look(shop: Shop) -> Found:
    """Read and decide; nothing is changed."""
    known = planning.look(shop)
    candidate = _named(shop, known.images, shop.candidate)
    stock = _stock(shop, candidate, known)
    now = shop.clock.now()
    latest = last(shop)
    return Found(
        stock=stock,
        reasons=reasons(stock, shop.recipe.rebuild.max_age_days, now),
        packages=about_packages(stock, now),
        before=_named(shop, known.images, shop.names.production) or candidate,
        version=planning.next_version(shop, known, planning.Options()),
        unfinished=latest if latest and latest.state == "running" else None,
    )


def last(shop: Shop) -> Record | None:
    """How the latest rebuild went, wherever it ran."""
    found = parameters.get(shop.aws, Names(shop.name).record)
    return parse(found.value) if found else None


def _named(shop: Shop, known: tuple[Image, ...], parameter: str) -> Image | None:
    """The image that a pointer names, where it is still there and good."""
    pointer = parameters.get(shop.aws, parameter)
    found = [image for image in known if pointer and image.id == pointer.value]
    return found[0] if found and found[0].state == "available" and not found[0].bad else None


def _stock(shop: Shop, candidate: Image | None, known: planning.Known) -> Stock:
    base = next((i for i in known.images if candidate and i.id == candidate.tags.get(tags.SOURCE_AMI)), None)
    differs = {}
    if candidate and base:
        # On what each was made from: a new source AMI or commit is a reason of its own.
        before = planning.layer_fingerprint(shop, "base", base.tags.get(tags.SOURCE_AMI, ""), known.source)
        differs["base"] = before != base.fingerprint
        app = replace(known.source, commit=candidate.tags.get(tags.COMMIT, ""))
        before = planning.layer_fingerprint(shop, "app", base.id, app)
        differs["app"] = before != candidate.fingerprint
    return Stock(
        candidate=candidate,
        base=base,
        source_ami=known.source_ami,
        commit=known.source.commit,
        recipe=differs,
        pending=pending.ask(shop, candidate) if candidate else None,
    )
