"""What an AMI's tags and name say of it."""

from __future__ import annotations

import pytest

from goldenami.model import image as model_image
from goldenami.model.image import Image, base_name, is_base_of
from goldenami.model.version import Version


def image(**facts: object) -> Image:
    known = {"id": "ami-1", "name": "web-golden-v1.2", "state": "available", "architecture": "x86_64", "created": "now"}
    return Image(**{**known, **facts})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("tags", "verified", "failed"),
    [
        ({}, False, False),
        ({model_image.VERIFIED: "2026-03-14"}, True, False),
        ({model_image.FAILED: "health"}, False, True),
        ({model_image.VERIFIED: "2026-03-14", model_image.FAILED: "health"}, False, True),
        ({"verified": "true"}, False, False),
    ],
)
def test_only_our_own_tag_makes_an_image_verified_and_a_failure_outweighs_it(
    tags: dict[str, str], verified: bool, failed: bool
) -> None:
    assert (image(tags=tags).verified, image(tags=tags).failed) == (verified, failed)


@pytest.mark.parametrize(
    ("state", "alive"),
    [("available", True), ("pending", True), ("failed", False), ("deregistered", False), ("invalid", False)],
)
def test_what_can_be_launched_or_soon_can(state: str, alive: bool) -> None:
    assert image(state=state).alive is alive


def test_version_comes_from_the_name_whatever_the_tags_say() -> None:
    named = image(tags={"Version": "9.9.9"})
    assert named.version("web") == Version(1, 2)
    assert named.version("we") is None
    assert image(name="web-base-0123456789ab-run").version("web") is None


def test_a_base_image_is_recognised_by_its_name_alone() -> None:
    fingerprint = "0123456789abcdef" * 4
    name = base_name("web", fingerprint, "20260314-092653-abcdef")
    assert is_base_of(name, "web", fingerprint)
    assert not is_base_of(name, "we", fingerprint)
    assert not is_base_of(name, "web", "f" * 64)
    assert len(base_name("w" * 40, fingerprint, "20260314-092653-abcdef")) <= 128  # EC2's limit for AMI names
