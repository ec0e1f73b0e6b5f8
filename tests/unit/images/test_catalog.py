"""The list of images and the doctor's findings."""

from __future__ import annotations

import pytest

from goldenami.aws.session import AwsSession
from goldenami.bake.model import BakeOptions
from goldenami.context import Context
from goldenami.dev import doctor
from goldenami.errors import UsageError
from goldenami.images import catalog, report as images_report
from goldenami.model import image
from tests.support.contexts import Checkout
from tests.support.fake_account import Refused


def fill(at: Checkout) -> Context:
    base = {image.LAYER: "base"}
    at.account.put_image("ami-1", "guestbook-base-0123456789ab-run", tags=base)
    at.account.put_image("ami-2", "guestbook-golden-v1.2", tags={image.VERIFIED: "now"})
    at.account.put_image("ami-3", "guestbook-golden-v1.10", tags={image.FAILED: "health"})
    at.account.put_image("ami-4", "guestbook-golden-v1.11", state="pending")
    at.account.put_image("ami-5", "guestbook-golden-v1.9")
    at.account.parameters["/goldenami/guestbook/candidate"] = ["ami-2"]
    return at.ctx()


def test_newest_version_first_with_what_each_is_to_us(at: Checkout) -> None:
    found = catalog.list_images(fill(at))
    assert [(str(e.version or "-"), e.status, e.candidate) for e in found] == [
        ("v1.11", "pending", False),
        ("v1.10", "failed", False),
        ("v1.9", "unverified", False),
        ("v1.2", "verified", True),
        ("-", "base", False),
    ]
    lines = images_report.images(found).text.splitlines()
    assert lines[0].split() == ["VERSION", "ID", "STATUS", "CREATED", "SIZE", "NAME"]
    assert "verified (candidate)" in lines[4]
    told = images_report.images(found).facts
    assert [(row["id"], row["version"], row["status"]) for row in told][:2] == [
        ("ami-4", "v1.11", "pending"),
        ("ami-3", "v1.10", "failed"),
    ]


def test_no_images_yet_says_how_to_make_one(at: Checkout) -> None:
    assert images_report.images(catalog.list_images(at.ctx())).text == "no images yet; create one with ./invoke bake"


def test_images_of_another_recipe_whose_name_begins_like_ours_are_not_ours(at: Checkout) -> None:
    at.account.put_image("ami-9", "guestbook-admin-golden-v1.0")
    assert catalog.list_images(at.ctx()) == []


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (BakeOptions(bump="huge"), "--bump huge is unknown; expected minor, major or patch"),
        (BakeOptions(version="latest"), "'latest' is not a version"),
        (BakeOptions(version="v1.0", bump="minor"), "exclude each other"),
    ],
)
def test_options_that_cannot_be_meant_are_refused(options: BakeOptions, told: str) -> None:
    with pytest.raises(UsageError, match=told):
        options.check()


def test_options_that_can_be_meant_are_fine() -> None:
    for options in (
        BakeOptions(),
        BakeOptions(bump="major"),
        BakeOptions(version="2.0"),
        BakeOptions(fresh=True, version="v2.0"),
    ):
        options.check()


def findings(ctx: Context) -> dict[str, doctor.Finding]:
    return {finding.name: finding for finding in doctor.run_checks(ctx)}


def test_the_doctor_looks_at_everything_and_changes_nothing(at: Checkout) -> None:
    found = findings(at.ctx())
    assert {"packer", "git", "setpriv", "disk", "credentials", "network", "source AMI", "permissions"} <= set(found)
    assert found["packer"].result == found["credentials"].result == "ok"
    assert found["shellcheck"].result == "warn"
    assert found["shellcheck"].fix == "apt-get install shellcheck"
    assert "arn:aws:iam::123456789012:user/baker" in found["credentials"].detail
    assert "127.0.0.1/32" in found["network"].detail


def test_the_doctor_names_an_old_packer_and_permissions_that_lack(at: Checkout) -> None:
    def refuse() -> None:
        raise Refused("UnauthorizedOperation")

    at.packer.configure(version="Packer v1.6.5")
    at.account.before["CreateTags"] = refuse
    found = findings(at.ctx())
    assert found["packer"].detail == "1.6.5 is too old"
    assert found["permissions"].detail == "denied: ec2:CreateTags"
    assert "fail" in doctor.report(list(found.values())).text


def test_the_doctor_says_that_there_are_no_credentials(at: Checkout) -> None:
    ctx = at.ctx()
    broke = Context(ctx.root, ctx.recipe, ctx.target, AwsSession("ap-northeast-2"), ctx.clock, ctx.progress)
    found = findings(broke)
    assert found["credentials"].result == "fail"
    assert found["credentials"].fix.startswith("aws configure")
