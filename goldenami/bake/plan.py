"""Decide, without touching anything, which layers a bake builds, reuses or adopts."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from goldenami.model.image import RUN, Image, Layer, base_name, is_base_of
from goldenami.model.version import Version

LayerAction = Literal["reuse", "adopt", "build"]


@dataclass(frozen=True)
class VersionReservation:
    """A version number that a run reserved for one fingerprint before it built."""

    version: Version
    run_id: str
    fingerprint: str


@dataclass(frozen=True)
class LayerPlan:
    """What will be done about a layer, and why.

    `reuse`: the AMI is there and good. `adopt`: an AMI of an interrupted run is there; finish its wait, tags and gate.
    """

    layer: Layer
    fingerprint: str
    action: LayerAction
    reason: str
    image: Image | None = None
    reservation: VersionReservation | None = None

    def run_id(self, image_name: str) -> str:
        """The run that made the AMI, from its tag, else from the claim of its version or its name; or empty."""
        if self.image is None:
            return ""
        named = self.image.name.removeprefix(base_name(image_name, self.fingerprint, ""))
        return (
            self.image.tags.get(RUN)
            or (self.reservation.run_id if self.reservation else "")
            or (named if named != self.image.name else "")
        )


def plan_base(image_name: str, fingerprint: str, images: Iterable[Image], *, fresh: bool, since: str = "") -> LayerPlan:
    """Plan the base layer.

    An AMI exists only if every check inside the image passed (Packer creates it last), so an available base AMI with
    the right fingerprint is good; one whose tags were never written is recognised by its name. With `since` (ISO 8601,
    UTC), only what was made after that moment counts.
    """
    images = [image for image in images if image.created >= since]
    if fresh:
        return LayerPlan("base", fingerprint, "build", "asked for with --fresh")
    tagged = [i for i in images if i.alive and not i.bad and i.layer == "base" and i.fingerprint == fingerprint]
    ready = [i for i in tagged if i.state == "available"]
    if ready:
        return LayerPlan("base", fingerprint, "reuse", "unchanged", _newest(ready))
    named = [i for i in images if i.alive and not i.bad and is_base_of(i.name, image_name, fingerprint)]
    if named:
        return LayerPlan("base", fingerprint, "adopt", "an interrupted run made it", _newest(named))
    return LayerPlan("base", fingerprint, "build", "it is baked afresh" if since else _why("base", images))


def plan_app(
    image_name: str,
    fingerprint: str,
    images: Iterable[Image],
    claims: Iterable[VersionReservation],
    *,
    fresh: bool = False,
    wanted: Version | None = None,
    since: str = "",
) -> LayerPlan:
    """Plan the app layer, which carries the version and needs the gate of a fresh boot.

    A claim of the same fingerprint without an AMI is taken up again, so that a run that was killed before its AMI
    existed does not use up a number.

    Args:
        image_name: The recipe's name.
        fingerprint: Of the app layer.
        images: Every AMI of this name.
        claims: Version numbers that dead runs of this checkout reserved.
        fresh: Build, whatever is there.
        wanted: The version that was asked for; only an AMI of this version will do.
        since: Only AMIs that were made after this moment count (ISO 8601, UTC).
    """
    images = [image for image in images if image.created >= since]
    if fresh:
        return LayerPlan("app", fingerprint, "build", "a new version was asked for")
    by_version = {v: image for image in images if (v := image.version(image_name)) is not None}
    claimed = {c.version: c for c in claims if c.fingerprint == fingerprint and wanted in (None, c.version)}
    same = [
        image
        for version, image in by_version.items()
        if wanted in (None, version)
        and image.alive
        and not image.bad
        # Only an AMI whose tags were never written is known by its claim alone.
        and (image.fingerprint == fingerprint or (not image.fingerprint and version in claimed))
    ]
    verified = [i for i in same if i.verified and i.state == "available"]
    if verified:
        return LayerPlan("app", fingerprint, "reuse", "unchanged", _newest(verified))
    if same:
        image = _newest(same)
        version = image.version(image_name)
        claim = claimed.get(version) if version else None
        return LayerPlan("app", fingerprint, "adopt", "an interrupted run made it", image, claim)
    open_claims = [claim for version, claim in claimed.items() if version not in by_version]
    claim = max(open_claims, key=lambda c: c.version, default=None)
    why = "it is baked afresh" if since else _why("app", images)
    return LayerPlan("app", fingerprint, "build", why, reservation=claim)


def _newest(images: Iterable[Image]) -> Image:
    # The id breaks ties between AMIs of one second, so that two readers choose the same one.
    return max(images, key=lambda image: (image.created, image.id))


def _why(layer: Layer, images: Iterable[Image]) -> str:
    others = any(i.layer == layer and not i.bad for i in images)
    return "its inputs changed" if others else "there is none yet"
