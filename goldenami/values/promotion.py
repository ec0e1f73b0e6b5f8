"""Decide, without touching anything, how an image is carried to the fleet: what is left to do, and what forbids it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from goldenami.values.images import Image
from goldenami.values.rules import is_arm
from goldenami.values.scene import Group, Scene, TemplateVersion

_NEEDED = ("Launch", "Terminate", "AddToLoadBalancer", "HealthCheck")
_SMALL = 5  # up to so many instances, the fleet may double while it is renewed


@dataclass(frozen=True)
class Wish:
    """What is asked for.

    Attributes:
        image: The AMI, or None when there is none of that id.
        overrides: What the template version must say, over what its source says.
        canary: Percent of the instances that are renewed first.
        watch: Seconds that they are watched.
        warmup: Seconds before a new instance counts.
        unverified: Carry an image that has not passed its gates.
        alarms: CloudWatch alarms that roll back.
    """

    ami: str
    image: Image | None
    overrides: Mapping[str, Any]
    canary: int = 25
    watch: int = 300
    warmup: int = 30
    unverified: bool = False
    alarms: tuple[str, ...] = ()


@dataclass(frozen=True)
class Preferences:
    """How the instance refresh goes, in the words of its API."""

    min_healthy: int
    max_healthy: int
    warmup: int
    checkpoints: tuple[int, ...] = ()
    delay: int = 0
    bake: int = 0
    auto_rollback: bool = True
    alarms: tuple[str, ...] = ()


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
        refusals=tuple(_refusals(wish, scene, version, roll)),
        notes=tuple(_notes(wish, scene, roll)),
    )


def preferences(desired: int, wish: Wish, *, can_return: bool = True) -> Preferences:
    """How to renew a group of this size so that no healthy instance leaves before a new one has taken its place.

    The minimum is always all of them, so each replacement is launched first. A fleet of one has no part that could be a
    canary; there, the warm-up lasts as long as the watch, during which the old instance stays beside the new one.
    """
    most = 200 if desired <= _SMALL else 125
    rest: dict[str, Any] = {"auto_rollback": can_return, "alarms": wish.alarms}
    if desired <= 1:
        return Preferences(100, most, max(wish.warmup, wish.watch), **rest)
    if wish.canary in (0, 100):
        return Preferences(100, most, wish.warmup, bake=wish.watch, **rest)
    count = min(desired - 1, max(1, math.ceil(desired * wish.canary / 100)))
    # Rounded down, so that the checkpoint is reached by the canary itself and not by one instance more.
    first = max(1, 100 * count // desired)
    return Preferences(
        100, most, wish.warmup, checkpoints=(first, 100), delay=wish.watch, bake=min(wish.watch, 60), **rest
    )


def hold(roll: Preferences) -> float:
    """Seconds that a new instance is in service before others follow it or old ones go, less a margin to turn back in.

    AWS counts an instance as replaced once its warm-up is over; a load balancer's verdict counts only after the grace
    period. So an instance that is not healthy by then must be reason to turn back, or the old ones would go.
    """
    held = roll.warmup + (roll.delay if roll.checkpoints else 0)
    return held - max(3.0, min(10.0, 0.1 * held))


def estimate(desired: int, roll: Preferences, boot: float = 30) -> float:
    """About how many seconds the roll takes, with so many for an instance to boot."""
    rounds = 2 if roll.checkpoints else 1
    return (rounds * (boot + roll.warmup) + rounds * roll.delay + roll.bake) if desired else 0.0


def canaries(desired: int, roll: Preferences) -> int:
    """How many instances are renewed before the others follow."""
    if not roll.checkpoints:
        return desired
    return max(1, math.ceil(desired * roll.checkpoints[0] / 100))


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


def _refusals(wish: Wish, scene: Scene, version: int | None, roll: Preferences | None) -> Iterator[str]:
    yield from _image_refusals(wish, scene.source)
    group, active = scene.group, scene.active
    if group is None:
        return
    if group.number is None:
        yield (
            f"{group.name} launches {group.version} of its template, which cannot be rolled back"
            " (./invoke fleet.create pins it to a number)"
        )
    elif scene.source is not None and not scene.source.image.startswith("ami-"):
        yield f"{group.name} launches {scene.source.image or 'no image'}, not a literal AMI, which cannot be rolled back"
    if active is not None and active.ending and (version is None or active.version != version):
        yield f"an instance refresh is on its way back ({active.id}, {active.status}); wait for it"
    elif active is not None and (active.version is None or active.version != version):
        what = f"version {active.version}" if active.version else "another configuration"
        yield f"an instance refresh to {what} is under way ({active.id}, {active.percent} %); ./invoke rollback ends it"
    if roll is None:
        return
    blocked = [process for process in group.suspended if process in _NEEDED]
    if blocked:
        yield f"{', '.join(blocked)} of {group.name} is suspended, so that nothing could be renewed"
    if group.desired and group.max < group.desired + 1:
        yield (
            f"{group.name} has no room to launch before it terminates: desired {group.desired}, max {group.max}"
            f" (raise [fleet] max to {group.desired + 1} and run ./invoke fleet.create)"
        )


def _image_refusals(wish: Wish, source: TemplateVersion | None) -> Iterator[str]:
    image = wish.image
    if image is None:
        yield f"there is no AMI {wish.ami} that we may see"
        return
    if image.state != "available":
        yield f"{image.id} is {image.state}, not available"
    if not image.verified and not wish.unverified:
        why = (
            f"failed its gate ({image.tags.get('goldenami:failed', '')})"
            if image.failed
            else "has not passed its gates"
        )
        yield f"{image.name} ({image.id}) {why}; --unverified carries it all the same"
    kind = str(wish.overrides.get("InstanceType") or (source.instance_type if source else ""))
    if kind and image.architecture and is_arm(kind) != (image.architecture == "arm64"):
        yield f"{image.id} is for {image.architecture}, which {kind} is not"
    size = source.root_gib(image.root_device) if source else 0
    if size and size < image.size_gib:
        yield f"{image.id} needs a root volume of {image.size_gib} GiB; the launch template has {size}"


def _notes(wish: Wish, scene: Scene, roll: Preferences | None) -> Iterator[str]:
    if wish.unverified and wish.image is not None and not wish.image.verified:
        yield "UNVERIFIED: this image has not passed its gates, and is carried because --unverified says so"
    group = scene.group
    if group is None:
        yield "there is no Auto Scaling group: only the launch template and the parameter change; no instance does"
        return
    if roll is None:
        return
    unwell = [m.id for m in group.members if not m.serving]
    if unwell:
        yield f"not serving before it begins: {', '.join(unwell)}"
    if not group.desired:
        yield "the group is empty: no instance can show whether the image works"
    kept = [m.id for m in group.members if m.protected or m.lifecycle == "Standby"]
    if kept:
        yield f"protected or on standby, so not renewed: {', '.join(kept)}"
    if not roll.auto_rollback:
        yield "the group already launches this version: instances are renewed, and AWS cannot roll that back"
