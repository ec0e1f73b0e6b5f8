"""The candidate, also after its promotion was rolled back."""

from __future__ import annotations

from dataclasses import replace

from goldenami.images.candidate_plan import choose_candidate, newest_good
from goldenami.model.image import FAILED, RETIRED, ROLLED_BACK, STORAGE_MODE, VERIFIED, Image, image_status

NAME = "guestbook"


def image(number: int, **tags: str) -> Image:
    names = {"rolled_back": ROLLED_BACK, "failed": FAILED, "retired": RETIRED, "mode": STORAGE_MODE}
    own = {VERIFIED: "now", **{names[name]: value for name, value in tags.items()}}
    return Image(
        f"ami-{number}", f"{NAME}-golden-v1.{number}", "available", "x86_64", f"2026-01-0{number}T00:00:00Z", tags=own
    )


def test_published_image_is_the_candidate() -> None:
    assert choose_candidate([image(1), image(2), image(3)], "ami-2", NAME).ami == "ami-2"


def test_candidate_that_was_rolled_back_is_skipped_for_the_newest_good_image() -> None:
    images = [image(1), image(2), image(3, rolled_back="it failed")]
    candidate = choose_candidate(images, "ami-3", NAME)
    assert (candidate.ami, candidate.skipped) == ("ami-2", images[2])
    assert image_status(images[2]) == "rolled back"


def test_no_candidate_is_left_if_every_image_is_bad() -> None:
    images = [image(1, failed="boot"), image(2, retired="slow"), image(3, rolled_back="it failed")]
    assert choose_candidate(images, "ami-3", NAME).ami == ""


def test_newest_good_image_has_the_storage_mode_and_is_available() -> None:
    images = [image(1), image(2, mode="rds"), replace(image(3), state="disabled")]
    found = newest_good(images, NAME, "instance")
    assert found is not None
    assert found.id == "ami-1"
