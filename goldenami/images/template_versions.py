"""Delete the versions of the fleet's launch template that are of no use any more: each holds its image against prune."""

from __future__ import annotations

from dataclasses import dataclass, replace

from goldenami.aws import images, references
from goldenami.aws import launch_templates as templates
from goldenami.context import Shop
from goldenami.errors import BusyError
from goldenami.images import prune
from goldenami.images.template_versions_plan import Judged, judge
from goldenami.infra import describe as scenery
from goldenami.model.references import rollback_targets
from goldenami.state import lock as claims
from goldenami.state import logbook


@dataclass(frozen=True)
class Trimmed:
    """What was found: every version with the reason why it stays, or without one.

    Attributes:
        template: The launch template's id.
        busy: Why nothing was deleted, when somebody is changing the fleet.
    """

    versions: tuple[Judged, ...]
    template: str = ""
    busy: str = ""

    @property
    def removable(self) -> tuple[Judged, ...]:
        """The versions without a reason to stay."""
        return tuple(judged for judged in self.versions if not judged.reason)


def trim(shop: Shop, *, plan_only: bool = False) -> Trimmed:
    """Look at every version, and delete those that nothing needs; while nobody else changes the fleet."""
    found = look(shop)
    if plan_only or not found.removable:
        return found
    try:
        with logbook.opened(shop, "trim") as run, claims.held(shop, run.id, "trim the launch template"):
            found = look(shop)
            templates.delete_versions(shop.aws, found.template, [judged.version.number for judged in found.removable])
    except BusyError as error:
        return replace(found, busy=error.message)
    return found


def look(shop: Shop) -> Trimmed:
    """Judge the versions as things are now."""
    scene = scenery.read(shop)
    if scene.template is None:
        return Trimmed(())
    ours = prune.pointers(shop)
    census = references.take(shop.aws, ours)
    good = {image.id: image for image in images.of_family(shop.aws, shop.name) if image.verified}
    targets = rollback_targets(census, ours.production, good, shop.recipe.keep.rollbacks)
    return Trimmed(judge(scene, census.references, targets), scene.template.id)
