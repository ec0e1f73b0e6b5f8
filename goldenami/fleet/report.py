"""Turn what the flows about the fleet return into what the tasks print, for people and as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Literal

from goldenami.context import Shop
from goldenami.fleet.create import Fleet, Part
from goldenami.summary import pairs, table


def parts(found: Sequence[Part], doing: Literal["create", "show", "destroy"], *, as_json: bool) -> str:
    """The parts of the fleet, with what would be done about each."""
    if as_json:
        return json.dumps([asdict(part) for part in found], ensure_ascii=False)
    words = {
        "create": {True: "keep", False: "make"},
        "show": {True: "there", False: "missing"},
        "destroy": {True: "remove", False: "-"},
    }[doing]
    rows = [
        ["keep" if p.stays and p.there and doing == "destroy" else words[p.there], p.kind, p.name, p.detail]
        for p in found
    ]
    return table(["", "KIND", "NAME", "DETAIL"], rows)


def created(shop: Shop, made: Fleet) -> str:
    """The end of `fleet.create`."""
    group = made.group
    facts = {
        "serves at": f"{made.address}/",
        "image": f"{made.image.name} ({made.image.id})",
        "template": f"{shop.names.template} version {group.version}",
        "group": f"{group.name}: min {group.min}, max {group.max}, desired {group.desired}",
        "instances": ", ".join(f"{m.id} ({m.zone}, {m.address})" for m in group.members),
        "next": "./invoke status",
    }
    return f"\nthe fleet serves\n{pairs(facts)}\n"


def facts(shop: Shop, made: Fleet) -> str:
    """The same for scripts."""
    told = {
        "address": made.address,
        "group": made.group.name,
        "template": shop.names.template,
        "version": made.group.number,
        "ami": made.image.id,
        "instances": [asdict(member) for member in made.group.members],
        "run": made.run,
    }
    return json.dumps(told, ensure_ascii=False)


def removed(gone: Sequence[str], *, as_json: bool) -> str:
    """The end of `fleet.destroy`."""
    if as_json:
        return json.dumps({"removed": list(gone)})
    return "removed " + ", ".join(gone) if gone else "there was nothing to remove"
