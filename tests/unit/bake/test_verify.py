"""The second gate, against an account in memory and a real health path on loopback."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from goldenami.aws import images
from goldenami.bake import verify
from goldenami.errors import GateError, UsageError
from goldenami.model import image as model_image
from goldenami.model.image import Image
from goldenami.state import runs
from tests.support.contexts import Checkout
from tests.support.http_server import Web

AMI = "ami-00000000000000001"
COMPLETE = {
    "Name": "guestbook-golden-v1.0",
    "Version": "1.0.0",
    "Environment": "production",
    "Created": "2026-03-14",
    "Go": "1.19",
    "PostgreSQL": "15",
    model_image.RUN: "run1",
    model_image.LAYER: "app",
    model_image.FINGERPRINT: "f" * 64,
}


def image(at: Checkout, **changes: Any) -> Image:
    at.account.put_image(AMI, "guestbook-golden-v1.0", tags=COMPLETE)
    images.require_imdsv2(at.account.aws, AMI)
    found = images.get(at.account.aws, AMI)
    assert found is not None
    return replace(found, **changes)


def look(
    at: Checkout,
    script: Sequence[int],
    found: Image | None = None,
    clean: bool = False,
    pages: Mapping[str, tuple[int, str]] | None = None,
    **recipe: Any,
) -> tuple[Any, Web]:
    with Web(script, pages) as web:
        ctx = at.ctx({"app.port": web.port, **recipe})
        run = runs.create(ctx.build, at.clock.now())
        try:
            return verify.verify(ctx, run, found or image(at), profile="guestbook-bake", clean=clean), web
        except GateError as error:
            return error, web


def test_a_green_image_is_tagged_verified_with_the_time(at: Checkout) -> None:
    checks, web = look(at, [200])
    assert all(check.ok for check in checks)
    assert {"tags-complete", "imdsv2-required", "image-private", "boot-health-outside"} <= {c.name for c in checks}
    assert at.account.images()[AMI]["Tags"][model_image.VERIFIED].startswith("2026-03-14T09:2")
    assert at.account.alive() == []
    assert set(web.paths) == {"/health"}


def test_it_launches_what_the_fleet_will_run_with_imdsv2_and_its_own_group(at: Checkout) -> None:
    look(at, [200])
    (launch,) = at.account.made("RunInstances")
    assert launch["InstanceType"] == "t3.micro"
    assert launch["MetadataOptions"]["HttpTokens"] == "required"
    assert launch["IamInstanceProfile"] == {"Name": "guestbook-bake"}
    assert "KeyName" not in launch  # nobody logs in
    (rule,) = at.account.made("AuthorizeSecurityGroupIngress")
    assert rule["IpPermissions"][0]["IpRanges"] == [{"CidrIp": "127.0.0.1/32"}]
    assert rule["IpPermissions"][0]["FromPort"] not in (22, 0)


@pytest.mark.parametrize(
    ("script", "answers", "seconds"), [([503, 503, 200], 5, 1), ([200, 503, 200, 200, 503, 200], 8, 2)]
)
def test_one_healthy_answer_can_be_luck_three_in_a_row_are_not(
    at: Checkout, script: list[int], answers: int, seconds: int
) -> None:
    checks, web = look(at, script)
    assert not isinstance(checks, GateError)
    assert len(web.paths) == answers
    told = next(check.detail for check in checks if check.name == "boot-health-outside")
    assert told == f"HTTP 200 from {web.url} after {seconds} s"


@pytest.mark.parametrize("script", [[503], [302], [404]])
def test_a_path_that_stays_red_fails_after_the_grace_period(at: Checkout, script: list[int]) -> None:
    error, web = look(at, script)
    assert isinstance(error, GateError)
    assert f"boot-health-outside (HTTP {script[0]} from {web.url}" in error.message
    assert 299 <= at.clock.elapsed <= 900
    assert at.account.images()[AMI]["Tags"][model_image.FAILED] == "boot-health-outside"
    assert model_image.VERIFIED not in at.account.images()[AMI]["Tags"]
    assert at.account.alive() == []


def test_a_path_that_flaps_for_ever_is_not_healthy(at: Checkout) -> None:
    error, _ = look(at, [200, 200, 503] * 200)
    assert isinstance(error, GateError)


def test_an_instance_that_finds_a_fault_in_itself_is_not_waited_for(at: Checkout) -> None:
    at.account.checks = "CHECK boot-no-failed-units FAIL postgresql.service\n"
    error, _ = look(at, [503])
    assert isinstance(error, GateError)
    assert "boot-no-failed-units (postgresql.service)" in error.message
    assert at.clock.elapsed < 10


def test_a_console_that_stays_silent_is_no_pass(at: Checkout) -> None:
    at.account.checks = ""
    error, _ = look(at, [200])
    assert isinstance(error, GateError)
    assert "boot-report" in error.message


def test_a_console_that_comes_late_is_waited_for(at: Checkout) -> None:
    late, at.account.checks = at.account.checks, ""
    at.clock.at(200, lambda: setattr(at.account, "checks", late))
    checks, _ = look(at, [200])
    assert not isinstance(checks, GateError)


def test_checks_of_somebody_else_s_run_on_the_console_do_not_count(at: Checkout) -> None:
    at.account.checks = "GOLDEN-VERIFY 0123456789abcdef END\nCHECK boot-clean ok\n"
    real = at.account.GetConsoleOutput

    def unmarked(**given: Any) -> Any:
        at.account.nonce = "not-ours"
        return real(**given)

    at.account.GetConsoleOutput = unmarked  # type: ignore[method-assign]
    error, _ = look(at, [200])
    assert isinstance(error, GateError)
    assert "boot-report" in error.message


def test_an_instance_that_does_not_come_up_is_a_failed_check(at: Checkout) -> None:
    real = at.account.RunInstances

    def stillborn(**given: Any) -> Any:
        made = real(**given)
        made["Instances"][0]["State"] = {"Name": "terminated"}
        made["Instances"][0]["StateReason"] = {"Message": "Client.InternalError"}
        return made

    at.account.RunInstances = stillborn  # type: ignore[method-assign]
    error, _ = look(at, [200])
    assert isinstance(error, GateError)
    assert "did not start: terminated Client.InternalError" in error.message


def test_the_console_is_kept_and_the_next_command_shows_it(at: Checkout) -> None:
    at.account.checks = "CHECK boot-clean FAIL /root/.bash_history\n"
    error, _ = look(at, [200])
    assert isinstance(error, GateError)
    (console,) = (at.root / "build").glob("*/console.log")
    assert "boot\n" in console.read_text()
    assert error.next == f"less {console}"


def test_a_failed_image_is_removed_when_that_was_asked_for(at: Checkout) -> None:
    error, _ = look(at, [503], clean=True)
    assert error.state == f"{AMI} and its snapshots were deleted; the candidate is unchanged."
    assert at.account.images() == {}


@pytest.mark.parametrize(
    ("changes", "check"),
    [
        ({"tags": {**COMPLETE, "Go": ""}}, "tags-complete (missing: Go)"),
        ({"imds": ""}, "imdsv2-required (ImdsSupport is not set)"),
        ({"public": True}, "image-private (public)"),
    ],
)
def test_what_aws_says_of_the_image_counts(at: Checkout, changes: dict[str, Any], check: str) -> None:
    error, _ = look(at, [200], image(at, **changes))
    assert isinstance(error, GateError)
    assert check in error.message


def again(at: Checkout, web: Web, ami: str = AMI) -> Image:
    return verify.recheck(at.ctx({"app.port": web.port}), ami, clean=False)


def test_an_image_can_be_held_against_the_gate_again(at: Checkout, web: Web) -> None:
    image(at)
    assert again(at, web).verified
    (run,) = runs.list_runs(at.root / "build")
    assert run.facts()["state"] == "finished"


def test_an_image_that_failed_by_bad_luck_can_be_verified_after_all(at: Checkout, web: Web) -> None:
    at.account.put_image(AMI, "guestbook-golden-v1.0", tags={**COMPLETE, model_image.FAILED: "boot-health-outside"})
    images.require_imdsv2(at.account.aws, AMI)
    assert again(at, web).verified


def test_only_our_own_golden_images_are_held_against_it(at: Checkout, web: Web) -> None:
    with pytest.raises(UsageError, match="ami-none does not exist in ap-northeast-2"):
        again(at, web, "ami-none")
    at.account.put_image(AMI, "guestbook-base-0123456789ab-run1")
    with pytest.raises(UsageError, match="is not a golden AMI of guestbook"):
        again(at, web)


def test_a_response_that_is_not_as_the_recipe_expects_fails_the_gate(at: Checkout) -> None:
    checks = [{"path": "/api/hymns", "contains": "hymns"}]
    passed, web = look(at, [200], pages={"/api/hymns": (200, "all hymns")}, checks=checks)
    assert not isinstance(passed, GateError)
    assert web.paths.count("/api/hymns") == 3
    error, web = look(at, [200], pages={"/api/hymns": (500, "no column id\n…")}, checks=checks)
    assert isinstance(error, GateError)
    url = f"http://127.0.0.1:{web.port}/api/hymns"
    assert f"boot-health-outside (HTTP 500 from {url}, expected 200: no column id after" in error.message
