"""Bake, whole, against an account in memory, a fake packer and a real health path on loopback."""

from __future__ import annotations

import json
from typing import Any

import pytest

from goldenami.bake import bake, preflight, report as bake_report
from goldenami.bake.model import BakeOptions, BakeResult
from goldenami.context import Context
from goldenami.errors import AwsError, BuildError, GateError, GoldenError, UsageError
from goldenami.model import image as model_image
from goldenami.state.runs import Run
from goldenami.text import Report
from tests.support.contexts import IMAGE_CHECKS, Checkout
from tests.support.fake_account import NEWER, SOURCE, Refused
from tests.support.http_server import Web

CLAIMS = "/goldenami/guestbook/versions"


def ctx(at: Checkout, web: Web, **changes: Any) -> Context:
    return at.ctx({"app.port": web.port, **{k.replace("__", "."): v for k, v in changes.items()}})


def go(at: Checkout, web: Web, options: BakeOptions | None = None, **changes: Any) -> BakeResult:
    return bake.bake(ctx(at, web, **changes), options or BakeOptions())


def fails(at: Checkout, web: Web, expected: type[BaseException], options: BakeOptions | None = None) -> Any:
    with pytest.raises(expected) as error:
        go(at, web, options)
    return error.value


def edit(at: Checkout) -> None:
    (at.root / "app/main.go").write_text("package main // changed\n")


def test_from_nothing_to_a_verified_candidate(at: Checkout, web: Web) -> None:
    result = go(at, web)
    assert str(result.version) == "v1.0"
    assert at.built_layers() == ["base", "app"]
    assert at.version_statuses() == {"v1.0": "verified"}
    assert at.candidate() == "guestbook-golden-v1.0"
    assert at.account.alive() == []
    found = result.image.tags
    assert found["Version"] == "1.0.0"
    assert found["Team"] == "web"
    assert result.base.image is not None
    assert found[model_image.SOURCE_AMI] == result.base.image.id
    assert result.base.image.tags[model_image.SOURCE_AMI] == SOURCE
    assert "Version" not in result.base.image.tags
    assert all(image["ImdsSupport"] == "v2.0" for image in at.account.images().values())


def test_a_run_leaves_its_report_and_no_private_key(at: Checkout, web: Web) -> None:
    run = go(at, web).run
    assert run is not None
    assert Run(run.id, run.folder).facts()["state"] == "finished"
    assert {p.name for p in run.folder.iterdir()} >= {
        "manifest.json",
        "report.md",
        "report.json",
        "console.log",
        "bake.log",
    }
    assert not list(run.folder.rglob("ssh_key"))
    report = json.loads((run.folder / "report.json").read_text())
    assert report["passed"] is True
    assert {c["name"] for c in report["checks"]} >= {"health", "boot-health-outside", "boot-unit-active", "provenance"}


@pytest.mark.usefixtures("_baked")
def test_again_launches_nothing(at: Checkout, web: Web) -> None:
    again = go(at, web)
    assert again.unchanged
    assert again.image.name == at.candidate() == "guestbook-golden-v1.0"
    assert at.built_layers() == []
    changing = ("Run", "Create", "Put", "Modify", "Delete", "Terminate", "Deregister", "Authorize")
    assert not [name for name, _ in at.account.calls if name.startswith(changing)]
    assert "unchanged; nothing was launched" in bake_report.baked(ctx(at, web), again).summary
    assert bake_report.baked(ctx(at, web), again).facts["unchanged"] is True


@pytest.mark.usefixtures("_baked")
def test_a_change_of_the_application_bakes_its_layer_alone(at: Checkout, web: Web) -> None:
    edit(at)
    result = go(at, web)
    assert at.built_layers() == ["app"]
    assert (result.base.action, str(result.version)) == ("reuse", "v1.1")
    assert at.candidate() == "guestbook-golden-v1.1"
    report = json.loads((result.run.folder / "report.json").read_text())  # type: ignore[union-attr]
    assert "base" in {check["gate"] for check in report["checks"]}


@pytest.mark.usefixtures("_baked")
def test_a_change_below_the_application_bakes_both(at: Checkout, web: Web) -> None:
    at.account.parameters["/aws/service/debian/release/12/latest/amd64"].append(NEWER)
    assert str(go(at, web).version) == "v1.1"
    assert at.built_layers() == ["base", "app"]


@pytest.mark.usefixtures("_baked")
@pytest.mark.parametrize(
    ("options", "version", "layers"),
    [
        (BakeOptions(bump="major"), "v2.0", ["app"]),
        (BakeOptions(bump="patch"), "v1.0.1", ["app"]),
        (BakeOptions(fresh=True), "v1.1", ["base", "app"]),
        (BakeOptions(version="v3.5"), "v3.5", ["app"]),
    ],
)
def test_new_versions_on_request(at: Checkout, web: Web, options: BakeOptions, version: str, layers: list[str]) -> None:
    assert str(go(at, web, options).version) == version
    assert at.built_layers() == layers


@pytest.mark.usefixtures("_baked")
def test_a_version_that_was_asked_for_and_is_there_already_is_reused(at: Checkout, web: Web) -> None:
    assert go(at, web, BakeOptions(version="1.0")).unchanged


@pytest.mark.usefixtures("_baked")
def test_a_version_that_is_taken_is_refused(at: Checkout, web: Web) -> None:
    edit(at)
    error = fails(at, web, UsageError, BakeOptions(version="v1.0"))
    assert error.message == "v1.0 is taken; a version is never reused (the latest is v1.0)"
    assert at.built_layers() == []


def others_claim(at: Checkout, *versions: str) -> None:
    """Somebody else claims these just before we do."""

    def happen() -> None:
        for version in versions:
            at.account.parameters.setdefault(f"{CLAIMS}/{version}", ['{"run": "other", "fingerprint": "f"}'])

    at.account.before["PutParameter"] = happen


def test_two_at_once_get_two_numbers(at: Checkout, web: Web) -> None:
    others_claim(at, "v1.0", "v1.1")
    assert str(go(at, web).version) == "v1.2"
    assert at.version_statuses() == {"v1.2": "verified"}


@pytest.mark.usefixtures("_baked")
def test_two_who_ask_for_the_same_number_at_once(at: Checkout, web: Web) -> None:
    others_claim(at, "v2.0")
    edit(at)
    assert "v2.0 is taken" in fails(at, web, UsageError, BakeOptions(version="v2.0")).message


def test_the_very_first_number_asked_for_by_two_at_once(at: Checkout, web: Web) -> None:
    others_claim(at, "v1.0")
    fails(at, web, UsageError, BakeOptions(version="v1.0"))


def test_a_check_that_fails_inside_makes_no_image(at: Checkout, web: Web) -> None:
    lines = [
        *IMAGE_CHECKS,
        "1,,ui,message,    amazon-ebs.golden: CHECK app-built FAIL exit 2",
        "1,,ui,error,Script exited: 1",
    ]
    at.packer.configure(app={"image": False, "code": 1, "lines": lines})
    error = fails(at, web, GateError)
    assert error.message == "the app layer failed its checks: app-built (exit 2)"
    assert error.state == "The builder was terminated; no AMI was created."
    assert error.next.endswith("app/packer.log")
    assert at.version_statuses() == {}
    assert at.candidate() == ""
    (folder,) = (at.root / "build").glob("2026*")
    assert json.loads((folder / "report.json").read_text())["passed"] is False
    assert at.account.alive() == []


def test_a_build_that_fails_is_told_in_packer_s_words_and_its_number_is_taken_up_again(at: Checkout, web: Web) -> None:
    at.packer.configure(app={"image": False, "code": 1, "lines": ["1,,ui,error,Timeout waiting for SSH."]})
    error = fails(at, web, BuildError)
    assert error.message == "Packer could not bake the app layer: Timeout waiting for SSH."
    assert error.exit_code == 4
    at.packer.configure(app={})
    assert str(go(at, web).version) == "v1.0"
    assert at.built_layers() == ["base", "app", "app"]


def test_a_folder_that_packer_refuses_launches_nothing(at: Checkout, web: Web) -> None:
    refusal = 'Error: Failed preparing build: "amazon-ebs.golden"\\n\\n* instance_type must be specified'
    at.packer.configure(app={"image": False, "code": 1, "lines": [f"1,,ui,error,{refusal}"]})
    error = fails(at, web, BuildError)
    assert "* instance_type must be specified" in error.message
    assert error.state == "Nothing was launched."


def test_credentials_that_packer_cannot_use_launch_nothing(at: Checkout, web: Web) -> None:
    why = "validating provider credentials: retrieving caller identity from STS: api error InvalidClientTokenId"
    lines = [  # as Packer 1.14.3 with the plugin 1.8.2 says it
        f"1,,ui,error,Build 'amazon-ebs.golden' errored after 159 milliseconds 697 microseconds: {why}",
        "1,,ui,say,\\n==> Wait completed after 159 milliseconds 840 microseconds",
        "1,,error-count,1",
        "1,,ui,error,\\n==> Some builds didn't complete successfully and had errors:",
        f"1,amazon-ebs.golden,error,{why}",
        f"1,,ui,error,--> amazon-ebs.golden: {why}",
        "1,,ui,say,\\n==> Builds finished but no artifacts were created.",
    ]
    at.packer.configure(app={"image": False, "code": 1, "lines": lines})
    error = fails(at, web, BuildError)
    assert error.message == f"Packer could not bake the app layer: {why}"
    assert error.state == "Nothing was launched."


def test_the_report_of_a_build_that_failed_before_any_check_does_not_say_passed(at: Checkout, web: Web) -> None:
    at.packer.configure(image=False, code=1, lines=["1,,ui,error,Timeout waiting for SSH."])
    fails(at, web, BuildError)
    (folder,) = (at.root / "build").glob("2026*")
    assert json.loads((folder / "report.json").read_text())["passed"] is False


def test_packer_gave_up_but_the_image_appeared_all_the_same(at: Checkout, web: Web) -> None:
    late = {"tagged": False, "manifest": False, "code": 1, "lines": ["1,,ui,error,Error waiting for AMI: timeout"]}
    at.packer.configure(base=late, app=late)
    result = go(at, web)
    assert at.version_statuses() == {"v1.0": "verified"}
    assert result.image.tags[model_image.FINGERPRINT] == result.app.fingerprint


def test_packer_made_the_image_but_its_manifest_is_not_there(at: Checkout, web: Web) -> None:
    at.packer.configure(manifest=False)
    go(at, web)
    assert at.version_statuses() == {"v1.0": "verified"}


def test_an_image_that_was_made_in_spite_of_a_failed_check_is_never_used(at: Checkout, web: Web) -> None:
    at.packer.configure(base={"lines": ["1,,ui,message,    amazon-ebs.golden: CHECK go-version FAIL 1.18"]})
    assert "no AMI was created" not in (fails(at, web, GateError).state or "")
    at.packer.configure(base={})
    go(at, web)
    assert at.built_layers() == ["base", "base", "app"]


@pytest.mark.usefixtures("_baked")
def test_a_fault_on_the_fresh_boot_marks_the_image_and_publishes_nothing(at: Checkout, web: Web) -> None:
    edit(at)
    at.account.checks = "CHECK boot-unit-active FAIL guestbook.service is failed\n"
    error = fails(at, web, GateError)
    assert "boot-unit-active (guestbook.service is failed)" in error.message
    assert "tagged as failed" in error.state
    assert at.version_statuses() == {"v1.0": "verified", "v1.1": "failed"}
    assert at.candidate() == "guestbook-golden-v1.0"
    assert at.account.alive() == []
    at.account.checks = "CHECK boot-unit-active ok active\n"
    assert str(go(at, web).version) == "v1.2"  # a failed image is never adopted, its number never reused


def test_clean_removes_an_image_that_fails(at: Checkout, web: Web) -> None:
    at.account.checks = "CHECK boot-clean FAIL /root/.ssh/authorized_keys\n"
    error = fails(at, web, GateError, BakeOptions(clean=True))
    assert "were deleted" in error.state
    assert at.version_statuses() == {}


def test_an_image_that_its_gate_never_saw_is_adopted(at: Checkout, web: Web) -> None:
    def die() -> None:
        raise KeyboardInterrupt

    at.account.before["RunInstances"] = die
    fails(at, web, KeyboardInterrupt)
    assert at.version_statuses() == {"v1.0": "unverified"}
    assert at.account.alive() == []
    del at.account.before["RunInstances"]
    result = go(at, web)
    assert (result.base.action, result.app.action, str(result.version)) == ("reuse", "adopt", "v1.0")
    assert at.built_layers() == ["base", "app"]
    assert at.version_statuses() == {"v1.0": "verified"}


# The calls at which a bake may be cut off; each test run is cut at one, then simply run again.
_CUTS = ["PutParameter", "CreateSecurityGroup", "CreateTags", "ModifyImageAttribute", "GetConsoleOutput"]


@pytest.mark.parametrize("call", [*_CUTS, "DeleteSecurityGroup"])
def test_cut_off_anywhere_then_run_again(at: Checkout, web: Web, call: str) -> None:
    cut = [True]

    def once() -> None:
        if cut:
            cut.clear()
            raise KeyboardInterrupt

    at.account.before[call] = once
    fails(at, web, KeyboardInterrupt)
    result = go(at, web)
    assert str(result.version) == "v1.0"
    assert at.version_statuses() == {"v1.0": "verified"}
    assert len(at.account.images()) == 2  # one of each layer, no second of either
    assert sorted(at.built_layers()) == ["app", "base"] or call == "CreateTags"
    assert at.candidate() == "guestbook-golden-v1.0"
    left = [name for name in at.account.alive() if result.run and result.run.id in name]
    assert not left


def crash(at: Checkout, web: Web, call: str) -> None:
    """Die at a call as kill -9 does: nothing of ours runs any more, no clean-up either."""

    class Killed(BaseException):
        pass

    def die() -> None:
        at.account.before = dict.fromkeys(["DescribeInstances", "DescribeVolumes"], die)
        raise Killed

    at.account.before = {call: die}
    fails(at, web, Killed)
    at.account.before = {}
    for path in (at.root / "build").glob("*/run.json"):
        facts = json.loads(path.read_text())
        path.write_text(json.dumps({k: v for k, v in facts.items() if k != "error"} | {"state": "running"}))


@pytest.mark.parametrize("call", ["AuthorizeSecurityGroupIngress", "GetConsoleOutput"])
def test_what_a_killed_run_left_is_removed_by_the_next(at: Checkout, web: Web, call: str) -> None:
    crash(at, web, call)
    assert at.account.alive()
    go(at, web)
    assert at.account.alive() == []
    assert "an earlier run was interrupted" in at.output.getvalue()
    states = [json.loads(p.read_text())["state"] for p in sorted((at.root / "build").glob("*/run.json"))]
    assert sorted(states) == ["finished", "interrupted"]


def test_what_a_run_left_that_was_interrupted_twice_is_removed_by_the_next(at: Checkout, web: Web) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    at.account.before = {"AuthorizeSecurityGroupIngress": interrupt, "DescribeInstances": interrupt}
    fails(at, web, KeyboardInterrupt)  # ^C in the build, and ^C again while it cleans up
    assert at.account.alive()
    at.account.before = {}
    go(at, web)
    assert at.account.alive() == []


def test_a_pointer_that_aws_does_not_take_fails_the_bake_and_the_next_one_publishes(at: Checkout, web: Web) -> None:
    real = at.account.PutParameter

    def swallow(Name: str, **given: Any) -> Any:
        return {"Version": 99} if Name.endswith("/candidate") else real(Name=Name, **given)

    at.account.PutParameter = swallow  # type: ignore[method-assign]
    assert "did not accept" in fails(at, web, AwsError).message
    assert at.version_statuses() == {"v1.0": "verified"}
    at.account.PutParameter = real  # type: ignore[method-assign]
    assert go(at, web).unchanged
    assert at.candidate() == "guestbook-golden-v1.0"


def test_a_secret_is_made_once_and_is_nowhere_but_in_parameter_store(at: Checkout, web: Web) -> None:
    go(at, web)
    (secret,) = at.account.parameters["/guestbook/production/db/password"]
    assert len(secret) >= 32
    for path in [p for p in at.root.rglob("*") if p.is_file()]:
        assert secret.encode() not in path.read_bytes(), path
    assert secret not in at.output.getvalue()
    go(at, web, BakeOptions(fresh=True))
    assert at.account.parameters["/guestbook/production/db/password"] == [secret]


def test_a_parameter_that_nobody_makes_stops_the_bake_before_anything_is_launched(at: Checkout, web: Web) -> None:
    given = [{"name": "/guestbook/production/db/password", "type": "SecureString"}]
    with pytest.raises(AwsError, match="do not exist: /guestbook/production/db/password") as error:
        bake.bake(at.ctx({"app.port": web.port, "parameters": given}), BakeOptions())
    assert error.value.next is not None
    assert "aws ssm put-parameter --type SecureString" in error.value.next
    assert at.built_layers() == []


def test_a_source_ami_that_is_not_published_here_is_told(at: Checkout, web: Web) -> None:
    at.account.parameters.clear()
    error = fails(at, web, AwsError)
    assert "debian-12 on x86_64 is not published in ap-northeast-2" in error.message


def planned(context: Context) -> Report:
    base, app = preflight.plan_layers(context, preflight.preflight(context), BakeOptions())
    return bake_report.plan(base, app)


def test_a_plan_changes_nothing(at: Checkout, web: Web) -> None:
    told = planned(ctx(at, web)).text
    assert [line.split() for line in told.splitlines()[1:]] == [
        ["base", "build", "it", "does", "not", "exist", "yet"],
        ["app", "build", "its", "base", "layer", "is", "rebuilt"],
    ]
    assert not [name for name, _ in at.account.calls if not name.startswith(("Get", "Describe"))]
    assert not (at.root / "build").exists()


@pytest.mark.usefixtures("_baked")
def test_a_plan_for_scripts(at: Checkout, web: Web) -> None:
    layers = planned(ctx(at, web)).facts
    assert [layer["action"] for layer in layers.values()] == ["reuse", "reuse"]


def test_rendering_launches_nothing_and_leaves_both_folders(at: Checkout, web: Web) -> None:
    folder = bake.render_only(ctx(at, web), BakeOptions())
    assert {"base", "app", "run.json"} <= {path.name for path in folder.iterdir()}
    assert at.built_layers() == []
    assert len(at.packer.calls("validate")) == 2
    values = json.loads((folder / "app/golden.auto.pkrvars.json").read_text())
    assert values["ami_name"] == "guestbook-golden-v1.0"


def test_rendering_shows_the_version_that_a_bake_would_take(at: Checkout, web: Web) -> None:
    at.account.put_image("ami-old", "guestbook-golden-v1.4")
    folder = bake.render_only(ctx(at, web), BakeOptions())
    values = json.loads((folder / "app/golden.auto.pkrvars.json").read_text())
    assert values["ami_name"] == "guestbook-golden-v1.5"


def test_a_refusal_of_aws_leaves_a_report(at: Checkout, web: Web) -> None:
    def refuse() -> None:
        raise Refused("UnauthorizedOperation")

    at.account.before["CreateSecurityGroup"] = refuse
    error = fails(at, web, Exception)
    assert not isinstance(error, GoldenError)  # tasks.py puts it in words
    (folder,) = (at.root / "build").glob("2026*")
    assert json.loads((folder / "run.json").read_text())["state"] == "failed"
    assert "failed: An error occurred (UnauthorizedOperation)" in (folder / "report.md").read_text()
