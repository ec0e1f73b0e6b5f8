"""Where the data lives, for the pages that show it: the server elsewhere that db.migrate has made, or the volume."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

from goldenami.aws import ebs as volumes
from goldenami.context import Shop
from goldenami.database import rds as server
from goldenami.database.volume_plan import DATA, Volume


@dataclass(frozen=True)
class Home:
    """What outlives the fleet's instances: what it is, what it is called, whether it is there, and what AWS says of it."""

    kind: str
    name: str
    there: bool
    detail: str
    facts: Mapping[str, object]


def find(shop: Shop) -> Home | None:
    """The home of the data; None where it is the instance, or a server that is not ours."""
    if shop.recipe.database.on_volume:
        found = volumes.find(shop.aws, shop.name)
        name = ", ".join(one.id for one in found) or f"{shop.name}-data"
        facts = asdict(found[0]) if len(found) == 1 else {}
        return Home("data volume", name, bool(found), _volume(found), facts)
    there = server.find(shop) if shop.recipe.database.mode == "rds" else None
    return Home("database server", there.name, True, there.detail, asdict(there)) if there else None


def _volume(found: list[Volume]) -> str:
    if len(found) != 1:
        return f"{len(found)} volumes have the tag {DATA}, and nobody can say which rows are right" if found else ""
    (one,) = found
    at = f"{one.attachment} at {one.instance}" if one.instance else one.state
    return f"{one.size} GiB, {one.zone}, {at}"
