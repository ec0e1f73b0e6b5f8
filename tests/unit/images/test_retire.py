"""Retire: a bad image and its children are marked for ever, and nothing that carries images takes one any more."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from goldenami.bake.plan import plan_app, plan_base
from goldenami.errors import UsageError
from goldenami.images import catalog, report as images_report, retire
from goldenami.images.retire_plan import family, plan
from goldenami.model import image as model_image
from goldenami.model.fleet import ReleasePointer
from goldenami.model.image import Image
from goldenami.promote.plan import plan_promotion as promotion
from goldenami.promote.rollback_plan import choose_target
from tests.support.fleet_states import NEW, OLD, fleet_state, group, image, request_for, template
from tests.support.image_references import CANDIDATE, PRODUCTION
from tests.support.large_account import NAME, Killed, LargeAccount, ami
from tests.unit.images.test_prune import context_for


@pytest.fixture
def account() -> LargeAccount:
    """A base layer, its child and grandchild; and a good image of another base."""
    made = LargeAccount()
    made.image(1, layer="base", verified=False)
    made.image(2, days=50, extra={model_image.SOURCE_AMI: ami(1)})
    made.image(3, days=40, SourceImageId=ami(2))
    made.image(4, days=45)
    made.parameter(CANDIDATE, ami(4), ami(3))
    return made


def marked(account: LargeAccount) -> set[str]:
    return {one for one, image in account.images.items() if model_image.RETIRED in image["Tags"]}


def test_an_image_is_retired_with_all_that_was_made_from_it(account: LargeAccount, tmp_path: Path) -> None:
    ctx = context_for(account, tmp_path)
    planned = retire.retire(ctx, ami(1), "", plan_only=True)
    assert "would retire" in images_report.retired(planned, plan_only=True).text
    assert marked(account) == set()
    done = retire.retire(ctx, ami(1), "its OpenSSL is broken")
    assert marked(account) == {ami(1), ami(2), ami(3)}
    assert account.images[ami(3)]["Tags"][model_image.RETIRED].endswith(f"made from {ami(1)}: its OpenSSL is broken")
    assert account.parameters[CANDIDATE][-1]["Value"] == ami(4)  # the newest good one
    assert {e.image.id: e.status for e in catalog.list_images(ctx) if e.status == "retired"}.keys() == marked(account)
    told = images_report.retired(done, plan_only=False).facts
    assert (len(told["retired"]), told["candidate"]) == (3, ami(4))
    again = retire.retire(ctx, ami(1), "again")
    assert again.plan.images == ()
    assert "already retired" in images_report.retired(again, plan_only=False).text


def test_what_serves_is_warned_about(account: LargeAccount, tmp_path: Path) -> None:
    account.parameter(PRODUCTION, ami(3))
    del account.images[ami(4)]
    done = retire.retire(context_for(account, tmp_path), ami(2), "slow").plan
    assert [warning.partition(" ")[0] for warning in done.warnings] == [ami(3), "the"]


def test_its_copies_elsewhere_are_told(account: LargeAccount, tmp_path: Path) -> None:
    account.images[ami(2)]["Tags"][f"{model_image.COPY_IN}us-east-1"] = ami(55)
    done = retire.retire(context_for(account, tmp_path), ami(1), "slow").plan
    assert f"{ami(55)} is a copy of {ami(2)} in us-east-1: retire it there as well" in done.warnings


def test_killed_at_any_mark_the_next_run_marks_the_rest(account: LargeAccount, tmp_path: Path) -> None:
    def once(call: str) -> None:
        if call == "CreateTags" and account.calls[call] == 2:
            raise Killed

    account.before_call = once
    ctx = context_for(account, tmp_path)
    with pytest.raises(Killed):
        retire.retire(ctx, ami(1), "bad")
    assert ami(1) not in marked(account)  # the parent is marked last
    retire.retire(ctx, ami(1), "bad")
    assert marked(account) == {ami(1), ami(2), ami(3)}


def test_what_is_not_ours_is_refused(account: LargeAccount, tmp_path: Path) -> None:
    account.image(9, name="of-somebody-else")
    for wrong in (ami(9), ami(77)):
        with pytest.raises(UsageError, match=NAME):
            retire.retire(context_for(account, tmp_path), wrong, "bad")


@given(st.lists(st.integers(0, 8), max_size=8))
def test_a_family_is_closed_under_descent_whatever_the_ancestry(parents: list[int]) -> None:
    """Also where tags claim a circle."""
    owned = [Image(ami(n), "x", "available", "", "", source=ami(p)) for n, p in enumerate(parents)]
    root = Image(ami(0), "x", "available", "", "") if not owned else owned[0]
    ids = [one.id for one in family(root, owned)]
    assert ids[-1] == root.id
    assert len(ids) == len(set(ids))
    assert all(child.id in ids for child in owned if child.source in ids)
    assert len(plan(root, owned, NAME, candidate="", production="").images) == len(ids)


BAD = {model_image.VERIFIED: "2026", model_image.RETIRED: "2026-03-14 leaks"}


def test_no_promotion_carries_it_not_even_unverified() -> None:
    for unverified in (False, True):
        decided = promotion(request_for(image=image(tags=BAD), unverified=unverified), fleet_state())
        assert any("was retired (2026-03-14 leaks)" in why for why in decided.blockers)
        assert not any("--unverified" in why for why in decided.blockers)


def test_no_rollback_chooses_it() -> None:
    known = {OLD: image(OLD, tags=BAD), NEW: image(NEW)}
    fleet = fleet_state(
        template=template(OLD, NEW, default=2), group=group(2), history=(ReleasePointer(OLD, 1), ReleasePointer(NEW, 2))
    )
    assert choose_target(fleet, known) is None
    assert choose_target(fleet, {**known, OLD: image(OLD)}) is not None


def test_no_bake_reuses_or_adopts_it() -> None:
    told = {**BAD, model_image.FINGERPRINT: "f" * 64, model_image.LAYER: "base"}
    base = Image(ami(1), f"{NAME}-base-{'f' * 12}-run", "available", "", "2026", tags=told)
    app = Image(ami(2), f"{NAME}-golden-v1.0", "available", "", "2026", tags={**told, model_image.LAYER: "app"})
    assert plan_base(NAME, "f" * 64, [base], fresh=False).action == "build"
    assert plan_app(NAME, "f" * 64, [app], []).action == "build"
