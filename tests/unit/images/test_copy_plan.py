"""What remains to be done for a copy, whatever is there; and the requests that it makes."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, strategies as st

from goldenami.aws import image_copies
from goldenami.images.copy_plan import CopyState, copied_tags, is_foreign, remaining_steps, source_tag, token
from goldenami.model.image import COPY_OF, PRUNED, VERIFIED, Image
from goldenami.recipe.image import CopyTarget
from tests.support.aws_stubs import scripted

ORIGINAL = Image(
    "ami-0123456789abcdef0",
    "guestbook-golden-v1.0",
    "available",
    "x86_64",
    "2026-01-01T00:00:00.000Z",
    snapshots=("snap-1",),
    imds="v2.0",
    encrypted=True,
    tags={VERIFIED: "2026", "Version": "1.0.0", PRUNED: "x", "goldenami:copy-in:eu-west-1": "ami-9", "aws:x": "y"},
)
COPY = Image("ami-0fedcba9876543210", ORIGINAL.name, "available", "x86_64", "", snapshots=("snap-2",))
accounts = st.lists(st.sampled_from(["111111111111", "222222222222"]), unique=True)


def after(copy: CopyTarget, seen: CopyState, step: str) -> CopyState:
    """What there is once a step is done."""
    image = seen.image
    if step == "remove":
        return replace(seen, image=None)
    if step == "allow":
        return replace(seen, allowed=True)
    if step == "copy":
        return replace(seen, image=replace(COPY, state="pending", tags={COPY_OF: ORIGINAL.id}), shared=frozenset())
    assert image is not None, step
    if step == "wait":
        return replace(seen, image=replace(image, state="available"))
    assert image.state == "available", step
    if step == "protect":
        return replace(seen, image=replace(image, imds="v2.0"))
    if step.startswith("share "):
        return replace(seen, shared=seen.shared | {step.removeprefix("share ")})
    if step == "tag":
        return replace(seen, image=replace(image, tags={**image.tags, **copied_tags(ORIGINAL)}))
    return replace(seen, candidate=image.id) if step == "publish" else replace(seen, recorded=image.id)


@st.composite
def sights(draw: st.DrawFn) -> tuple[CopyTarget, CopyState]:
    copy = CopyTarget(region="us-east-1", share_with=tuple(draw(accounts)), publish=draw(st.booleans()))
    state = draw(st.sampled_from(["", "pending", "available", "failed"]))
    tags = {COPY_OF: ORIGINAL.id, **(copied_tags(ORIGINAL) if draw(st.booleans()) else {})}
    image = replace(COPY, state=state, imds=draw(st.sampled_from(["", "v2.0"])), tags=tags) if state else None
    shared = frozenset(draw(accounts)) if image else frozenset[str]()
    pointer = draw(st.sampled_from(["", COPY.id, "ami-other"]))
    return copy, CopyState(image, shared, pointer, draw(st.booleans()), draw(st.sampled_from(["", COPY.id])))


@given(sights(), st.integers(0, 10))
def test_stopped_after_any_step_the_rest_is_what_remains(given_sight: tuple[CopyTarget, CopyState], stop: int) -> None:
    copy, seen = given_sight
    steps = remaining_steps(ORIGINAL, copy, seen)
    for step in steps[:stop]:
        seen = after(copy, seen, step)
    rest = remaining_steps(ORIGINAL, copy, seen)
    assert set(rest) <= set(steps)
    for step in rest:
        seen = after(copy, seen, step)
    assert remaining_steps(ORIGINAL, copy, seen) == ()
    assert seen.image is not None
    assert (seen.image.state, seen.image.imds, seen.image.verified) == ("available", "v2.0", True)
    assert seen.shared >= set(copy.share_with)
    assert not copy.publish or seen.candidate == seen.image.id


@given(sights())
def test_it_is_verified_only_when_protected_and_published_only_when_verified(
    given_sight: tuple[CopyTarget, CopyState],
) -> None:
    steps = remaining_steps(ORIGINAL, *given_sight)
    order = {step.partition(" ")[0]: number for number, step in enumerate(steps)}
    for first, then in (("allow", "copy"), ("copy", "wait"), ("wait", "protect"), ("protect", "tag"), ("share", "tag")):
        if first in order and then in order:
            assert order[first] < order[then]
    if "publish" in order:
        assert all(order["publish"] > order[step] for step in order if step != "record" and step != "publish")


def test_a_copy_has_its_original_s_tags_but_those_about_the_original_alone() -> None:
    assert copied_tags(ORIGINAL) == {VERIFIED: "2026", "Version": "1.0.0", COPY_OF: ORIGINAL.id}


def test_an_image_of_the_same_name_without_the_copy_tag_is_foreign() -> None:
    assert is_foreign(ORIGINAL, COPY)
    assert not is_foreign(ORIGINAL, replace(COPY, tags={COPY_OF: ORIGINAL.id}))


def test_a_token_is_the_wish_s_own() -> None:
    here, there = CopyTarget(region="us-east-1"), CopyTarget(region="eu-west-1")
    assert token(ORIGINAL, here, "") == token(ORIGINAL, here, "")
    assert len({token(ORIGINAL, here, ""), token(ORIGINAL, there, ""), token(ORIGINAL, here, "ami-failed")}) == 3
    assert source_tag(CopyTarget(region="us-east-1", profile="production")) == "goldenami:copy-in:us-east-1:production"


TAGS = [{"Key": "Version", "Value": "1.0.0"}]
ASKED = {
    "Name": ORIGINAL.name,
    "Description": f"Copy of {ORIGINAL.id} in ap-northeast-2",
    "SourceImageId": ORIGINAL.id,
    "SourceRegion": "ap-northeast-2",
    "Encrypted": True,
    "ClientToken": "t",
    "TagSpecifications": [{"ResourceType": "image", "Tags": TAGS}, {"ResourceType": "snapshot", "Tags": TAGS}],
    "KmsKeyId": "alias/golden",
}


def test_the_request_is_the_one_that_aws_documents() -> None:
    told = {"encrypted": True, "kms_key": "alias/golden", "token": "t", "tags": {"Version": "1.0.0"}}
    with scripted() as wire:
        wire.answer("ec2", "copy_image", ASKED, {"ImageId": COPY.id})
        assert image_copies.start_copy(wire.aws, ORIGINAL, "ap-northeast-2", **told) == COPY.id  # type: ignore[arg-type]
        wire.refuse("ec2", "copy_image", ASKED, "InvalidAMIName.Duplicate")
        assert image_copies.start_copy(wire.aws, ORIGINAL, "ap-northeast-2", **told) is None  # type: ignore[arg-type]


def test_the_snapshots_are_shared_before_the_image() -> None:
    with scripted() as wire:
        permission = {"Attribute": "createVolumePermission", "OperationType": "add", "UserIds": ["210987654321"]}
        wire.answer("ec2", "modify_snapshot_attribute", {"SnapshotId": "snap-1", **permission}, {})
        launch = {"ImageId": ORIGINAL.id, "LaunchPermission": {"Add": [{"UserId": "210987654321"}]}}
        wire.answer("ec2", "modify_image_attribute", launch, {})
        image_copies.share(wire.aws, ORIGINAL, "210987654321")


def test_another_account_is_reached_by_its_profile_and_never_with_our_keys() -> None:
    with scripted() as wire:
        assert image_copies.in_region(wire.aws, "us-east-1", "").keys == wire.aws.keys
        there = image_copies.in_region(wire.aws, "us-east-1", "production")
    assert (there.region, there.profile, there.keys) == ("us-east-1", "production", None)
