"""Why a rebuild is due: every reason is found, none is made up, and what is assumed is called so."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, strategies as st

from goldenami.model.image import COMMIT, SOURCE_AMI, Image, short_commit
from goldenami.rebuild.plan import PendingUpdates, RebuildInputs, age_days, pending_updates_text, rebuild_reasons

NOW = datetime(2026, 3, 14, 9, 0, tzinfo=UTC)


def image(ami: str, age: timedelta = timedelta(0), **tags: str) -> Image:
    made = (NOW - age).strftime("%Y-%m-%dT%H:%M:%S.000Z")
    return Image(ami, "guestbook-golden-v1.0", "available", "x86_64", made, tags=tags)


def stock(age: timedelta = timedelta(0), **more: Any) -> RebuildInputs:
    given: dict[str, Any] = {
        "candidate": image("ami-app", **{COMMIT: "c0ffee", SOURCE_AMI: "ami-base"}),
        "base": image("ami-base", age, **{SOURCE_AMI: "ami-vendor"}),
        "source_ami": "ami-vendor",
        "commit": "c0ffee",
        "recipe": {"base": False, "app": False},
    }
    return RebuildInputs(**(given | more))


def kinds(found: RebuildInputs, limit: int = 30) -> list[str]:
    return [reason.kind for reason in rebuild_reasons(found, limit, NOW)]


def test_nothing_has_changed() -> None:
    assert kinds(stock()) == []


@pytest.mark.parametrize(
    ("more", "kind", "told"),
    [
        ({"candidate": None}, "no-image", "no verified image"),
        ({"source_ami": "ami-newer"}, "source-ami", "ami-newer"),
        ({"base": None}, "source-ami", "does not exist any more"),
        ({"recipe": {"base": True, "app": False}}, "recipe", "base layer"),
        ({"recipe": {"base": False, "app": True}}, "recipe", "app layer"),
        ({"commit": "0ddba11"}, "application", "0ddba11"),
        ({"pending": PendingUpdates("i-1", ("openssl", "libc6"))}, "packages", "i-1: openssl, libc6"),
    ],
)
def test_each_reason_by_itself(more: dict[str, Any], kind: str, told: str) -> None:
    found = rebuild_reasons(stock(**more), 30, NOW)
    assert [reason.kind for reason in found] == [kind]
    assert told in found[0].text
    assert found[0].seen


def test_age_is_assumed_and_says_so() -> None:
    old = stock(timedelta(days=31))
    (reason,) = rebuild_reasons(old, 30, NOW)
    assert (reason.kind, reason.seen) == ("age", False)
    assert kinds(old, 0) == []
    assert kinds(stock(timedelta(days=29, hours=23)), 30) == []


def test_what_is_known_about_packages_is_told_with_how() -> None:
    assert "unknown" in pending_updates_text(stock(timedelta(days=3)), NOW)
    assert "3 day(s) ago" in pending_updates_text(stock(timedelta(days=3)), NOW)
    assert pending_updates_text(stock(pending=PendingUpdates("i-1", ())), NOW).startswith("no update(s) pending on i-1")
    assert pending_updates_text(stock(candidate=None), NOW) == "there is no image yet"


@given(
    st.integers(0, 400),
    st.integers(0, 365),
    st.booleans(),
    st.booleans(),
    st.booleans(),
    st.none() | st.lists(st.sampled_from(["a", "b"])),
)
def test_a_rebuild_is_due_exactly_when_something_is_different(
    days: int, limit: int, newer: bool, moved: bool, recipe: bool, pending: list[str] | None
) -> None:
    found = stock(
        timedelta(days=days),
        source_ami="ami-newer" if newer else "ami-vendor",
        commit="0ddba11" if moved else "c0ffee",
        recipe={"app": recipe},
        pending=None if pending is None else PendingUpdates("i-1", tuple(pending)),
    )
    due = {
        "source-ami": newer,
        "recipe": recipe,
        "application": moved,
        "packages": bool(pending),
        "age": bool(limit) and days >= limit,
    }
    assert kinds(found, limit) == [kind for kind, is_so in due.items() if is_so]


def test_ages_and_commits_are_short() -> None:
    assert age_days(image("ami-1", timedelta(days=2, hours=5)), NOW) == 2
    assert age_days(image("ami-1", -timedelta(days=2)), NOW) == 0
    assert short_commit("0123456789abcdef0123456789abcdef01234567") == "0123456789ab"
    assert short_commit("dir-0123456789abcdef0123") == "dir-0123456789ab"
    assert short_commit("") == "no known commit"
