"""Decide which layers a bake builds, reuses or adopts."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from goldenami.model.image import RUN, Image, Layer, base_name, is_base_of
from goldenami.model.version import Version

LayerAction = Literal["reuse", "adopt", "build"]


@dataclass(frozen=True)
class VersionReservation:
    """A version that a run reserved for one fingerprint before its build."""

    version: Version
    run_id: str
    fingerprint: str


@dataclass(frozen=True)
class LayerPlan:
    """The action for a layer, and its reason.

    Attributes:
        action: `reuse` an AMI that passed its gates; `adopt` one of an interrupted run, by completing its wait, tags and
            gates; or `build` a new one.
    """

    layer: Layer
    fingerprint: str
    action: LayerAction
    reason: str
    image: Image | None = None
    reservation: VersionReservation | None = None

    def run_id(self, image_name: str) -> str:
        """Return the run that created the AMI, from its tag, else from its version's reservation or its name; or empty."""
        if self.image is None:
            return ""
        suffix = self.image.name.removeprefix(base_name(image_name, self.fingerprint, ""))
        return (
            self.image.tags.get(RUN)
            or (self.reservation.run_id if self.reservation else "")
            or (suffix if suffix != self.image.name else "")
        )


def plan_base(image_name: str, fingerprint: str, images: Iterable[Image], *, fresh: bool, since: str = "") -> LayerPlan:
    """Plan the base layer.

    Packer creates an AMI only if every check inside the image passed, so an available base AMI with the right fingerprint
    can be reused. One without tags is recognized by its name.
    """
    images = [image for image in images if image.created >= since]
    if fresh:
        return LayerPlan("base", fingerprint, "build", "requested with --fresh")
    usable = [image for image in images if image.alive and not image.bad]
    tagged = [i for i in usable if i.layer == "base" and i.fingerprint == fingerprint and i.state == "available"]
    if tagged:
        return LayerPlan("base", fingerprint, "reuse", "unchanged", _newest(tagged))
    named = [image for image in usable if is_base_of(image.name, image_name, fingerprint)]
    if named:
        return LayerPlan("base", fingerprint, "adopt", "created by an interrupted run", _newest(named))
    return LayerPlan("base", fingerprint, "build", _build_reason("base", images, since))


def plan_app(
    image_name: str,
    fingerprint: str,
    images: Iterable[Image],
    reservations: Iterable[VersionReservation],
    *,
    fresh: bool = False,
    requested: Version | None = None,
    since: str = "",
) -> LayerPlan:
    """Plan the app layer, which has the version and must pass the boot gate.

    A reservation for the same fingerprint without an AMI is used again, so that a run that was killed before it created the
    AMI does not use up a version.

    Args:
        reservations: Versions that ended runs of this checkout reserved.
        requested: The only version that may be reused or adopted.
        since: Ignore AMIs created before this time (ISO 8601, UTC).
    """
    images = [image for image in images if image.created >= since]
    if fresh:
        return LayerPlan("app", fingerprint, "build", "a new version was requested")
    by_version = {v: image for image in images if (v := image.version(image_name)) is not None}
    reserved = {r.version: r for r in reservations if r.fingerprint == fingerprint and requested in (None, r.version)}
    usable = [
        image
        for version, image in by_version.items()
        if requested in (None, version)
        and image.alive
        and not image.bad
        # An AMI without tags is recognized by the reservation of its version.
        and (image.fingerprint == fingerprint or (not image.fingerprint and version in reserved))
    ]
    verified = [image for image in usable if image.verified and image.state == "available"]
    if verified:
        return LayerPlan("app", fingerprint, "reuse", "unchanged", _newest(verified))
    if usable:
        image = _newest(usable)
        version = image.version(image_name)
        reservation = reserved.get(version) if version else None
        return LayerPlan("app", fingerprint, "adopt", "created by an interrupted run", image, reservation)
    unused = [reservation for version, reservation in reserved.items() if version not in by_version]
    reservation = max(unused, key=lambda r: r.version, default=None)
    return LayerPlan("app", fingerprint, "build", _build_reason("app", images, since), reservation=reservation)


def _newest(images: Iterable[Image]) -> Image:
    # EC2 reports whole seconds; the id makes the choice deterministic.
    return max(images, key=lambda image: (image.created, image.id))


def _build_reason(layer: Layer, images: Iterable[Image], since: str) -> str:
    if since:
        return "rebuilt from scratch"
    return "its inputs changed" if any(i.layer == layer and not i.bad for i in images) else "it does not exist yet"
