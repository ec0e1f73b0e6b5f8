"""Decide, without touching anything, how an image is carried to the fleet: what is left to do, and what forbids it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from goldenami.values.pace import Preferences, preferences
from goldenami.values.refusals import notes, refusals
from goldenami.values.scene import Group, Scene
from goldenami.values.wish import Wish


@dataclass(frozen=True)
class Plan:
    """What is left to do, in this order: version, roll, default, pointer.

    Attributes:
        version: The template version to carry; None when it is still to be made.
        source: The version to make it from; None for the first version of a template that is still to be made.
        roll: How to renew the instances; None when nothing is to be renewed.
        adopt: The id of the refresh that is already doing that.
        default: Whether the template's default version is to change.
        publish: Whether the production parameter is to change.
        refusals: Why it must not be done; with any, nothing is done.
        notes: What the operator should know.
    """

    version: int | None
    source: int | None
    roll: Preferences | None = None
    adopt: str = ""
    default: bool = True
    publish: bool = True
    refusals: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def unchanged(self) -> bool:
        """Whether everything is as asked for."""
        return not (self.refusals or self.version is None or self.roll or self.default or self.publish)


def plan(wish: Wish, scene: Scene) -> Plan:
    """Plan a promotion; also after one that was killed at any step, whose effects are part of the scene."""
    version = matching(wish.overrides, scene)
    group, active, source = scene.group, scene.active, scene.source
    roll: Preferences | None = None
    adopt = ""
    if group is not None and not _settled(group, version):
        roll = preferences(group.desired, wish, can_return=version is None or group.number != version)
        # One that is on its way back already is seen through to its end, and told as such.
        if active is not None and version is not None and active.version == version:
            adopt = active.id
    return Plan(
        version=version,
        source=source.number if source else None,
        roll=roll,
        adopt=adopt,
        default=scene.template is None or version is None or scene.template.default != version,
        publish=scene.pointer is None or scene.pointer.ami != wish.ami,
        refusals=tuple(refusals(wish, scene, version, roll)),
        notes=tuple(notes(wish, scene, roll)),
    )


def matching(overrides: Mapping[str, Any], scene: Scene) -> int | None:
    """The number of the template version that already says all that is wanted; the newest of them."""
    source, template = scene.source, scene.template
    if template is None or source is None:
        return None
    wanted = {**source.data, **overrides}
    found = [v.number for v in template.versions.values() if set(v.data) == set(wanted) and _says(v.data, wanted)]
    return max(found, default=None)


def _says(found: Any, wanted: Any) -> bool:
    """Whether what EC2 describes holds all that is wanted; EC2 may fill in defaults within."""
    if isinstance(wanted, Mapping):
        return isinstance(found, Mapping) and all(_says(found.get(name), inner) for name, inner in wanted.items())
    if isinstance(wanted, list | tuple):
        return (
            isinstance(found, list | tuple)
            and len(found) == len(wanted)
            and all(_says(a, b) for a, b in zip(_ordered(found), _ordered(wanted), strict=True))
        )
    return bool(found == wanted)


def _ordered(items: Any) -> list[Any]:
    # Tags come back in any order.
    return sorted(items, key=lambda item: str(item.get("Key", "")) if isinstance(item, Mapping) else "")


def _settled(group: Group, version: int | None) -> bool:
    """Whether the group launches this version and has nothing but it."""
    staying = [m for m in group.members if not m.lifecycle.startswith(("Terminat", "Detach"))]
    return version is not None and group.number == version and all(m.version == version for m in staying)
