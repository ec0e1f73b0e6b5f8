"""Prune on a grown account: whatever anything names stays, also what is named only at the last moment; the rest goes whole."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from goldenami.context import Context
from goldenami.images import prune, report as images_report
from goldenami.model import image as model_image
from goldenami.recipe.parse import parse
from goldenami.tools.progress import Progress
from tests.support import recipes
from tests.support.clock import ScriptedClock
from tests.support.image_references import PARAMETER_OF, PRODUCTION, REFERENCES, add_reference
from tests.support.large_account import NAME, START, Killed, LargeAccount, ami, snap
from tests.support.large_account_growth import grow_account

# Keeps next to nothing by itself, so that what stays does so because it is named.
STRICT = {"verified": 1, "months": 0, "rollbacks": 1, "minimum_age_days": 0, "grace_days": 1, "max_per_run": 1000}
DAY = 86400.0


def context_for(account: LargeAccount, root: Path, keep: Mapping[str, int] | None = None) -> Context:
    text = recipes.text({f"retention.{name}": value for name, value in {**STRICT, **(keep or {})}.items()})
    recipe = parse(text, root / "golden.toml")
    clock = ScriptedClock(START)
    return Context(root, recipe, recipe.target("local"), account.aws, clock, Progress(clock, io.StringIO()))


def live(ctx: Context, runs: int = 3) -> None:
    """Some runs, two days apart."""
    for _ in range(runs):
        prune.prune(ctx)
        ctx.clock.sleep(2 * DAY)


def past_deprecation(days: float = 50) -> dict[str, str]:
    return {"DeprecationTime": f"{START - timedelta(days=days):%Y-%m-%dT%H:%M:%S.000Z}"}


@pytest.fixture
def account() -> LargeAccount:
    """Three old images; the newest is what the policy keeps."""
    made = LargeAccount()
    for number in (1, 2, 3):
        made.image(number, days=100 - number)
    return made


@pytest.mark.parametrize("way", REFERENCES)
def test_what_is_named_stays_and_says_by_whom(account: LargeAccount, tmp_path: Path, way: str) -> None:
    add_reference(account, way, ami(1))
    ctx = context_for(account, tmp_path)
    live(ctx)
    assert ami(1) in account.images
    assert ami(2) not in account.images  # nothing named this one
    verdict = next(v for v in prune.prune(ctx, plan_only=True).decisions if v.image.id == ami(1))
    assert verdict.action == "keep"
    assert verdict.reason
    assert verdict.referenced_by or way == "keep-tag"


def test_disabled_image_is_kept_and_its_reason_names_the_way_back(account: LargeAccount, tmp_path: Path) -> None:
    account.image(1, days=99, state="disabled")
    ctx = context_for(account, tmp_path)
    decision = next(d for d in prune.prune(ctx, plan_only=True).decisions if d.image.id == ami(1))
    assert decision.action == "keep"
    assert "it is disabled: aws ec2 enable-image" in decision.reason


@pytest.mark.parametrize("way", REFERENCES)
def test_what_is_named_at_the_last_moment_stays(tmp_path: Path, way: str) -> None:
    """The reference appears after the plan was made, right before the image's turn."""
    account = LargeAccount()
    for number in (1, 2, 3):
        account.image(number, days=100 - number, **past_deprecation())
    ctx = context_for(account, tmp_path)

    def meanwhile(call: str) -> None:
        if (
            call == "DeregisterImage" and ami(2) not in account.needed
        ):  # the first one goes; the second has its re-check yet
            add_reference(account, way, ami(2))

    account.before_call = meanwhile
    result = prune.prune(ctx)
    assert ami(1) not in account.images
    assert ami(2) in account.images
    assert list(result.kept) == [ami(2)]


def test_an_image_is_deprecated_first_and_goes_after_its_grace_with_its_snapshots(
    account: LargeAccount, tmp_path: Path
) -> None:
    account.image(1, days=99.5, snapshots=[101, 102])
    account.snapshots[snap(500)] = {model_image.RUN: "run1"}
    ctx = context_for(account, tmp_path, {"grace_days": 14})
    first = prune.prune(ctx)
    assert [v.action for v in first.decisions] == ["keep", "deprecate", "deprecate"]
    assert "DeprecationTime" in account.images[ami(1)]
    assert [v.action for v in prune.prune(ctx).decisions] == ["keep", "wait", "wait"]
    ctx.clock.sleep(15 * DAY)
    last = prune.prune(ctx)
    assert list(account.images) == [ami(3)]
    assert {snap(101), snap(102), snap(2 * 16)} == set(last.snapshots)
    assert set(account.snapshots) == {snap(16), snap(48), snap(500)}  # only what belonged to those two


def test_a_snapshot_that_another_image_uses_stays_until_its_last_image_goes(tmp_path: Path) -> None:
    account = LargeAccount()
    account.image(1, snapshots=[7, 8])
    account.image(2, days=50, snapshots=[8, 9], name="of-somebody-else")
    account.image(3, days=1)
    ctx = context_for(account, tmp_path)
    live(ctx)
    assert set(account.images) == {ami(2), ami(3)}
    assert {snap(8), snap(9)} <= set(account.snapshots)
    assert snap(7) not in account.snapshots
    assert all(model_image.ORPHANED not in told for told in account.snapshots.values())


def test_two_images_of_ours_that_share_a_snapshot_leave_none_behind(tmp_path: Path) -> None:
    account = LargeAccount()
    for number in (1, 2):
        account.image(number, snapshots=[7])
    account.image(3, days=1)
    live(context_for(account, tmp_path))
    assert set(account.snapshots) == {snap(48)}


def test_the_policy_keeps_the_newest_one_a_month_and_the_young(tmp_path: Path) -> None:
    account = LargeAccount()
    for number in range(1, 13):  # one a fortnight, back to September
        account.image(number, days=number * 14)
    account.image(20, days=3, verified=False)
    keep = {"verified": 2, "months": 4, "minimum_age_days": 7}
    verdicts = prune.prune(context_for(account, tmp_path, keep), plan_only=True).decisions
    kept = {v.image.id: v.reason for v in verdicts if v.action == "keep"}
    assert kept == {
        ami(20): "younger than 7 days",
        ami(1): "one of the newest 2 verified",
        ami(2): "one of the newest 2 verified",
        ami(3): "the newest verified of 2026-01",
        ami(6): "the newest verified of 2025-12",
        ami(8): "the newest verified of 2025-11",
    }
    assert account.deregistered == []


def test_a_base_layer_goes_only_after_its_last_child(tmp_path: Path) -> None:
    account = LargeAccount()
    account.image(1, layer="base", verified=False)
    account.image(2, days=99, extra={model_image.SOURCE_AMI: ami(1)})
    account.image(3, days=50, layer="base", verified=False)
    account.image(4, days=49, extra={model_image.SOURCE_AMI: ami(3)})
    ctx = context_for(account, tmp_path)
    told = {v.image.id: v.reason for v in prune.prune(ctx, plan_only=True).decisions}
    assert told[ami(1)] == f"guestbook-golden-v1.2 ({ami(2)}) was created from it"
    live(ctx, 5)
    assert set(account.images) == {ami(3), ami(4)}
    assert account.deregistered == [ami(2), ami(1)]


def test_what_is_wanted_again_is_no_longer_deprecated(account: LargeAccount, tmp_path: Path) -> None:
    ctx = context_for(account, tmp_path)
    prune.prune(ctx)
    assert "DeprecationTime" in account.images[ami(1)]
    add_reference(account, "production", ami(1))
    assert [v.action for v in prune.prune(ctx).decisions][-1] == "restore"
    assert "DeprecationTime" not in account.images[ami(1)]
    assert model_image.PRUNED not in account.images[ami(1)]["Tags"]
    assert [v.action for v in prune.prune(ctx).decisions][-1] == "keep"


def test_a_run_is_capped(tmp_path: Path) -> None:
    account = LargeAccount()
    for number in range(1, 31):
        account.image(number, days=200 - number, **(past_deprecation() if number <= 15 else {}))
    result = prune.prune(context_for(account, tmp_path, {"max_per_run": 4}))
    assert account.deregistered == [ami(1), ami(2), ami(3), ami(4)]  # the oldest first
    assert account.calls["EnableImageDeprecation"] == 4
    assert [v.action for v in result.decisions].count("later") == 21


def test_what_others_made_under_our_name_is_not_ours(tmp_path: Path) -> None:
    account = LargeAccount()
    account.image(1, verified=False)
    del account.images[ami(1)]["Tags"][model_image.IMAGE]
    account.image(2, name=f"{NAME}-like-but-another")
    account.image(3, days=1)
    ctx = context_for(account, tmp_path)
    live(ctx)
    assert account.deregistered == []
    assert [v.reason for v in prune.prune(ctx).decisions][-1].startswith("not managed by goldenami")


def test_good_images_that_failed_or_were_retired_are_no_rollback_targets(account: LargeAccount, tmp_path: Path) -> None:
    account.parameter(PRODUCTION, ami(1), ami(2), ami(3))
    account.images[ami(2)]["Tags"][model_image.FAILED] = "health"
    live(context_for(account, tmp_path))
    assert set(account.images) == {ami(1), ami(3)}  # a rollback would pass over the second


def test_the_history_of_our_own_records_holds_nothing(account: LargeAccount, tmp_path: Path) -> None:
    account.parameter(f"/goldenami/{NAME}/record", json.dumps({"ami": ami(1)}), json.dumps({"ami": ami(2)}))
    live(context_for(account, tmp_path))
    assert set(account.images) == {ami(2), ami(3)}  # what it says now holds


def test_the_calls_of_a_quiet_run_are_the_pages_that_must_be_read(tmp_path: Path) -> None:
    account = LargeAccount()
    for number in range(1, 4):
        account.image(number, days=1)
    for _ in range(3):
        account.template(ami(1), ami(2))
    for number in range(25):
        account.parameter(f"/p/{number}", "text")
    prune.prune(context_for(account, tmp_path))
    assert account.calls == {
        "DescribeImages": 1,
        "DescribeInstances": 1,
        "DescribeLaunchTemplates": 1,
        "DescribeLaunchTemplateVersions": 3,
        "DescribeLaunchConfigurations": 1,
        "DescribeAutoScalingGroups": 1,
        "DescribeParameters": 1,
        "GetParameters": 3,
        "DescribeSnapshots": 1,
    }


def test_the_words_for_people_and_for_scripts(account: LargeAccount, tmp_path: Path) -> None:
    ctx = context_for(account, tmp_path)
    add_reference(account, "stopped", ami(1))
    result = prune.prune(ctx, plan_only=True)
    told = images_report.pruned(ctx, result, plan_only=True).text
    assert "would deprecate" in told
    assert "(stopped)" in told
    facts = images_report.pruned(ctx, result, plan_only=True).facts
    assert [one["action"] for one in facts["images"]] == ["keep", "deprecate", "keep"]
    assert facts["images"][-1]["referenced_by"][0]["kind"] == "instance"
    assert account.calls["EnableImageDeprecation"] == 0
    assert "2 keep, 1 deprecate" in images_report.prune_summary(result)


# --- any account, any policy, killed anywhere


@st.composite
def accounts(draw: st.DrawFn) -> tuple[LargeAccount, dict[str, int]]:
    """A small account with references of every kind, and a policy."""
    account = LargeAccount(check=False)
    size = draw(st.integers(1, 8))
    shared = [1, 2, 3]
    for number in range(1, size + 1):
        kind = draw(st.sampled_from(["golden", "golden", "golden", "base", "foreign"]))
        facts: dict[str, Any] = past_deprecation() if draw(st.booleans()) else {}
        if kind == "foreign":
            facts["name"] = f"of-somebody-{number}"
        behind = [number * 16, *draw(st.lists(st.sampled_from(shared), max_size=2, unique=True))]
        state = draw(st.sampled_from(["available"] * 6 + ["pending", "failed", "disabled"]))
        parent = (
            {model_image.SOURCE_AMI: ami(draw(st.integers(1, number - 1)))}
            if number > 1 and draw(st.booleans())
            else {}
        )
        account.image(
            number,
            days=draw(st.integers(0, 400)),
            layer="base" if kind == "base" else "app",
            verified=kind != "base" and draw(st.booleans()),
            state=state,
            snapshots=behind,
            extra=parent,
            **facts,
        )
    ways = st.sampled_from(sorted(REFERENCES))
    for way in draw(st.lists(ways, max_size=5, unique_by=lambda one: PARAMETER_OF.get(one, one))):
        image = draw(st.sampled_from([ami(number) for number in range(1, size + 1)]))
        good = account.images[image]["State"] == "available" and model_image.VERIFIED in account.images[image]["Tags"]
        ours = account.images[image]["Name"].startswith(f"{NAME}-golden-")
        if way != "rollback" or (good and ours):  # what is not good is no target of a rollback
            add_reference(account, way, image)
    policy = {
        "verified": draw(st.integers(1, 3)),
        "months": draw(st.integers(0, 3)),
        "rollbacks": draw(st.integers(1, 3)),
        "minimum_age_days": draw(st.integers(0, 60)),
        "grace_days": draw(st.integers(0, 20)),
        "max_per_run": draw(st.integers(1, 5)),
    }
    return account, policy


def settled(account: LargeAccount, ctx: Context) -> None:
    """Run until nothing changes any more. Each image goes within its grace and a run of its own."""
    for _ in range(60):
        before = (len(account.images), len(account.snapshots))
        verdicts = prune.prune(ctx).decisions
        ctx.clock.sleep(25 * DAY)
        quiet = all(v.action == "keep" for v in verdicts)
        if quiet and before == (len(account.images), len(account.snapshots)):
            return
    raise AssertionError("never came to rest")


SLOW = settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@SLOW
@given(accounts(), st.data())
def test_nothing_that_is_named_ever_goes_and_nothing_is_left_behind(
    tmp_path: Path, given_account: tuple[LargeAccount, dict[str, int]], data: st.DataObject
) -> None:
    """The account itself fails on a delete of what is needed. Killed at any call, the runs after it make it whole."""
    account, policy = given_account
    before = {one: dict(image) for one, image in account.images.items()}
    known = set(account.snapshots)
    ctx = context_for(account, tmp_path, policy)
    doom = data.draw(st.integers(1, 60), label="killed at call")

    def count(call: str) -> None:
        if sum(account.calls.values()) == doom:
            raise Killed

    account.before_call = count
    with contextlib.suppress(Killed):
        settled(account, ctx)
    account.before_call = lambda call: None
    settled(account, ctx)
    gone = set(before) - set(account.images)
    assert not gone & set(account.needed)
    assert all(image["Name"].startswith(f"{NAME}-") for one, image in before.items() if one in gone)
    # Exactly the snapshots of what went are gone, but for those that an image still uses.
    behind = {m["Ebs"]["SnapshotId"] for one in gone for m in before[one]["BlockDeviceMappings"]}
    assert known - set(account.snapshots) == behind - account.used()
    assert not any(model_image.ORPHANED in told for told in account.snapshots.values())


def test_killed_at_each_call_in_turn_the_next_run_makes_it_whole(tmp_path: Path) -> None:
    def new_account() -> LargeAccount:
        made = LargeAccount(check=False)
        made.image(1, snapshots=[7, 8, 9], **past_deprecation())
        made.image(2, days=99, snapshots=[9, 10], **past_deprecation())
        made.image(3, days=1)
        return made

    quiet = new_account()
    prune.prune(context_for(quiet, tmp_path))
    calls = sum(quiet.calls.values())
    assert set(quiet.snapshots) == {snap(48)}
    for doom in range(1, calls + 1):
        account = new_account()

        def killed(call: str, doom: int = doom, account: LargeAccount = account) -> None:
            if sum(account.calls.values()) == doom:
                raise Killed

        account.before_call = killed
        with pytest.raises(Killed):
            prune.prune(context_for(account, tmp_path))
        prune.prune(context_for(account, tmp_path))
        assert (set(account.images), account.snapshots) == (set(quiet.images), quiet.snapshots), doom


def test_a_grown_account_is_pruned_without_a_false_delete(tmp_path: Path) -> None:
    """References of every kind among a thousand images; each delete of a needed one would fail."""
    account = grow_account(1000, 4000, 30, 20, deprecated=past_deprecation())
    ctx = context_for(account, tmp_path, {"max_per_run": 60, "rollbacks": 3})
    before = len(account.images)
    result = prune.prune(ctx)
    assert len(account.deregistered) == 60
    assert before - len(account.images) == 60
    assert result.kept == {}
    doomed = {v.image.id for v in result.decisions if v.action in ("deregister", "later", "deprecate", "wait")}
    asked = {v.image.id for v in result.decisions if v.action == "deregister"}
    shared = {one for one, why in account.needed.items() if why in ("share", "organization")}
    assert (
        doomed & set(account.needed) <= shared - asked
    )  # whom an image is shared with is asked when its turn has come
    assert set(account.images) >= set(account.needed)


def test_of_two_images_of_one_second_the_higher_version_is_the_newer(tmp_path: Path) -> None:
    account = LargeAccount()
    for number in (9, 10, 8):
        account.image(number)
    told = {v.image.id: v.action for v in prune.prune(context_for(account, tmp_path), plan_only=True).decisions}
    assert told == {ami(10): "keep", ami(9): "deprecate", ami(8): "deprecate"}
