"""What the monthly rebuild tidies up once its image is there: useless template versions, old images, dead runs' leftovers."""

from __future__ import annotations

from goldenami.bake import cleanup as sweep
from goldenami.context import Shop
from goldenami.images import prune
from goldenami.images import template_versions as trim


def tidy(shop: Shop) -> tuple[str, ...]:
    """Let old images go by the policy under [keep], and remove what dead runs left; says what went."""
    trimmed = trim.trim(shop)
    pruned = prune.prune(shop)
    done = {"deprecate": "deprecated", "deregister": "deregistered"}
    gone = [
        f"{done[v.action]} {v.image.name} ({v.image.id}): {v.reason}"
        for v in pruned.verdicts
        if v.action in done and v.image.id not in pruned.held
    ]
    with shop.progress.phase("remove what dead runs left"):
        swept = sweep.sweep(shop)
    versions = () if trimmed.busy else trimmed.removable
    return (
        *(f"deleted version {judged.version.number} of {shop.names.template}" for judged in versions),
        *gone,
        *(f"removed {left.kind} {left.id} of run {left.run_id}" for left in swept.removable),
    )
