"""The end of a promotion, for people and as JSON."""

from __future__ import annotations

import json
from dataclasses import asdict

from goldenami.context import Shop
from goldenami.promote.promote import Result
from goldenami.summary import pairs, seconds


def summary(shop: Shop, result: Result) -> str:
    """The end of a promotion."""
    facts = {
        "image": f"{result.image.name} ({result.image.id})",
        "template": f"{shop.names.template} version {result.version} (default)",
        "pointer": shop.names.production,
    }
    if result.run is not None:
        facts["phases"] = ", ".join(f"{name} {seconds(took)}" for name, took in shop.progress.phases.items())
        facts["report"] = str(result.run.folder / "promotion.html")
    facts["next"] = "./invoke status"
    return f"\n{'promoted' if result.run else 'unchanged: it is in production already'}\n{pairs(facts)}\n"


def facts(shop: Shop, result: Result) -> str:
    """The same for scripts."""
    told = {
        "ami": result.image.id,
        "name": result.image.name,
        "version": result.version,
        "refresh": result.refresh,
        "unchanged": result.run is None,
        "run": result.run.id if result.run else None,
        "folder": str(result.run.folder) if result.run else None,
        "phases_seconds": shop.progress.phases,
        "timeline": [asdict(event) for event in result.timeline.events],
    }
    return json.dumps(told, ensure_ascii=False)
