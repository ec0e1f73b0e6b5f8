"""Planning, on sets of images and claims that nobody would think of."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from hypothesis import given, strategies as st

from goldenami.bake.plan import LayerPlan, VersionReservation, plan_app, plan_base
from goldenami.model.image import FAILED, FINGERPRINT, LAYER, VERIFIED, Image, base_name
from goldenami.model.version import Version, ami_name, next_after

WANTED, OTHER = "a" * 64, "b" * 64
NOW = datetime(2026, 3, 14, tzinfo=UTC)
fingerprints = st.sampled_from([WANTED, OTHER, ""])
states = st.sampled_from(["available", "available", "pending", "failed", "deregistered"])
versions = st.builds(Version, st.integers(1, 2), st.integers(0, 3))
dates = st.sampled_from(["2026-01-01T00:00:00.000Z", "2026-02-01T00:00:00.000Z"])


@st.composite
def image_sets(draw: st.DrawFn) -> list[Image]:
    found = []
    golden = draw(st.lists(versions, unique=True, max_size=5))
    bases = draw(st.lists(st.sampled_from([WANTED, OTHER]), max_size=4))
    for number in range(len(golden) + len(bases)):
        is_base = number >= len(golden)
        tags = {}
        if fingerprint := draw(st.just(bases[number - len(golden)]) if is_base else fingerprints):
            tags[FINGERPRINT] = fingerprint
            tags[LAYER] = "base" if is_base else "app"
        if draw(st.booleans()):
            tags[VERIFIED] = "2026-01-01T00:00:00Z"
        if draw(st.integers(0, 3)) == 0:
            tags[FAILED] = "health"
        name = base_name("web", fingerprint, f"run{number}") if is_base else ami_name("web", golden[number])
        if is_base and draw(st.booleans()):
            tags = {}  # killed before it could tag
        found.append(Image(f"ami-{number}", name, draw(states), "x86_64", draw(dates), tags=tags))
    return draw(st.permutations(found))


claim_sets = st.lists(
    st.builds(VersionReservation, versions, st.sampled_from(["run1", "run2"]), st.sampled_from([WANTED, OTHER])),
    unique_by=lambda claim: claim.version,
    max_size=4,
)


def sound(plan: LayerPlan) -> None:
    """What holds of every plan."""
    assert (plan.image is None) == (plan.action == "build")
    assert plan.reason
    if plan.image:
        assert plan.image.alive
        assert not plan.image.failed
    if plan.action == "reuse":
        assert plan.image is not None
        assert plan.image.state == "available"


@given(image_sets(), st.booleans())
def test_base_plans_are_sound(images: list[Image], fresh: bool) -> None:
    plan = plan_base("web", WANTED, images, fresh=fresh)
    sound(plan)
    assert not fresh or plan.action == "build"
    if plan.image:
        assert plan.image.name.startswith(f"web-base-{WANTED[:12]}-")
    if plan.action == "reuse":
        assert plan.image is not None
        assert (plan.image.layer, plan.image.fingerprint) == ("base", WANTED)


@given(image_sets())
def test_a_base_layer_that_was_planned_and_made_is_reused_the_next_time(images: list[Image]) -> None:
    plan = plan_base("web", WANTED, images, fresh=False)
    done = plan.image or Image("ami-new", base_name("web", WANTED, "run9"), "available", "x86_64", "2026-03-14")
    done = replace(done, state="available", tags={**done.tags, LAYER: "base", FINGERPRINT: WANTED})
    rest = [image for image in images if image.id != done.id]
    assert plan_base("web", WANTED, [*rest, done], fresh=False).action == "reuse"


@given(image_sets(), claim_sets, st.booleans(), st.none() | versions)
def test_app_plans_are_sound(
    images: list[Image], claims: list[VersionReservation], fresh: bool, wanted: Version | None
) -> None:
    plan = plan_app("web", WANTED, images, claims, fresh=fresh, requested=wanted)
    sound(plan)
    taken = {image.version("web") for image in images}
    assert not fresh or (plan.action == "build" and plan.reservation is None)
    if plan.action == "reuse":
        assert plan.image is not None
        assert plan.image.verified
    if plan.image:
        claimed = {claim.version for claim in claims if claim.fingerprint == WANTED}
        assert plan.image.fingerprint == WANTED or plan.image.version("web") in claimed
        assert wanted in (None, plan.image.version("web"))
        assert plan.reservation is None or (
            plan.action == "adopt" and plan.reservation.version == plan.image.version("web")
        )
    elif plan.reservation:
        assert plan.reservation in claims
        assert plan.reservation.fingerprint == WANTED
        assert plan.reservation.version not in taken
        assert wanted in (None, plan.reservation.version)


@given(image_sets(), claim_sets, st.booleans(), st.sampled_from(["minor", "major", "patch", "month"]))
def test_an_app_layer_that_was_planned_and_made_is_reused_and_its_version_was_new(
    images: list[Image], claims: list[VersionReservation], fresh: bool, policy: str
) -> None:
    plan = plan_app("web", WANTED, images, claims, fresh=fresh)
    taken = {v for image in images if (v := image.version("web"))}
    if plan.image:
        done = plan.image
    else:
        version = (
            plan.reservation.version
            if plan.reservation
            else next_after(taken | {c.version for c in claims}, policy, NOW)
        )
        assert version not in taken
        claims = [*claims, VersionReservation(version, "run9", WANTED)] if not plan.reservation else claims
        done = Image("ami-new", ami_name("web", version), "available", "x86_64", "2026-03-14")
    done = replace(done, state="available", tags={**done.tags, FINGERPRINT: WANTED, LAYER: "app", VERIFIED: "now"})
    rest = [image for image in images if image.id != done.id]
    again = plan_app("web", WANTED, [*rest, done], claims)
    assert again.action == "reuse"
    sound(again)


@given(image_sets(), claim_sets, st.randoms())
def test_two_readers_plan_the_same(images: list[Image], claims: list[VersionReservation], random: object) -> None:
    shuffled = list(images)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert plan_app("web", WANTED, shuffled, reversed(claims)) == plan_app("web", WANTED, images, claims)
    assert plan_base("web", WANTED, shuffled, fresh=False) == plan_base("web", WANTED, images, fresh=False)


def app(version: str, state: str = "available", **tags: str) -> Image:
    known = {"fingerprint": FINGERPRINT, "verified": VERIFIED, "failed": FAILED}
    named = {known[key]: value for key, value in tags.items()}
    return Image(f"ami-{version}", f"web-golden-{version}", state, "x86_64", f"2026-{version}", tags=named)


def test_a_killed_run_s_number_is_taken_up_again_for_the_same_content_only() -> None:
    claim = VersionReservation(Version(1, 3), "dead", WANTED)
    assert plan_app("web", WANTED, [], [claim]).reservation == claim
    assert plan_app("web", OTHER, [], [claim]).reservation is None


def test_an_untagged_image_under_our_claim_is_adopted() -> None:
    late = app("v1.3", state="pending")
    plan = plan_app("web", WANTED, [late], [VersionReservation(Version(1, 3), "dead", WANTED)])
    assert (plan.action, plan.image) == ("adopt", late)


def test_an_unverified_image_is_adopted_so_that_it_meets_its_gate() -> None:
    plan = plan_app("web", WANTED, [app("v1.0", fingerprint=WANTED)], [])
    assert (plan.action, plan.reason) == ("adopt", "created by an interrupted run")


def test_a_verified_image_is_preferred_to_a_newer_one_that_has_yet_to_pass() -> None:
    good = app("v1.0", fingerprint=WANTED, verified="now")
    assert plan_app("web", WANTED, [good, app("v1.1", fingerprint=WANTED)], []).image == good


def test_a_failed_image_leads_to_a_new_one_and_its_number_stays_used() -> None:
    claim = VersionReservation(Version(1, 0), "dead", WANTED)
    plan = plan_app("web", WANTED, [app("v1.0", fingerprint=WANTED, failed="health")], [claim])
    assert (plan.action, plan.reservation, plan.reason) == ("build", None, "it does not exist yet")


def test_reasons_tell_the_first_from_a_change() -> None:
    tagged = replace(app("v1.0", fingerprint=OTHER, verified="now"))
    tagged = replace(tagged, tags={**tagged.tags, LAYER: "app"})
    assert plan_app("web", WANTED, [tagged], []).reason == "its inputs changed"
    assert plan_app("web", WANTED, [], []).reason == "it does not exist yet"
    assert plan_base("web", WANTED, [], fresh=True).reason == "requested with --fresh"


def test_an_image_that_says_it_is_of_other_content_is_not_taken_for_ours() -> None:
    other = app("v1.3", fingerprint=OTHER, verified="now")
    assert plan_app("web", WANTED, [other], [VersionReservation(Version(1, 3), "dead", WANTED)]).action == "build"


def test_a_generator_of_images_will_do() -> None:
    late = Image("ami-1", base_name("web", WANTED, "run1"), "available", "x86_64", "2026-03-14")
    assert plan_base("web", WANTED, (image for image in [late]), fresh=False).action == "adopt"
