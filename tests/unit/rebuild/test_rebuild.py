"""The monthly rebuild, whole, against an account in memory: with news and without, ended anywhere, and twice at once."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from goldenami.aws import parameters
from goldenami.context import Context
from goldenami.errors import BusyError, GateError
from goldenami.model.names import ResourceNames
from goldenami.rebuild import check, notify, rebuild, report as rebuild_report
from goldenami.rebuild.record_model import RebuildRecord, RebuildResult
from goldenami.state import records
from goldenami.state.lock_model import LockRecord
from tests.support.contexts import Checkout
from tests.support.fake_account import NEWER, Refused
from tests.support.http_server import Web

DEBIAN = "/aws/service/debian/release/12/latest/amd64"
NAMES = ResourceNames("guestbook")
TOPIC = "arn:aws:sns:ap-northeast-2:123456789012:golden-images"


def ctx(at: Checkout, web: Web, **changes: Any) -> Context:
    given = {"app.port": web.port, "notify.sns_topic_arn": TOPIC}
    return at.ctx({**given, **{k.replace("__", "."): v for k, v in changes.items()}})


def go(at: Checkout, web: Web, *, if_needed: bool = False, **changes: Any) -> RebuildResult:
    return rebuild.rebuild(ctx(at, web, **changes), if_needed=if_needed)


def record(at: Checkout) -> RebuildRecord:
    found = records.parse(at.account.parameters[NAMES.rebuild_record][-1], RebuildRecord)
    assert found is not None
    return found


def age(at: Checkout, days: int) -> None:
    """Let everything in the account be so many days old."""
    made = (at.clock.now() - timedelta(days=days)).strftime("%Y-%m-%dT%H:%M:%S.000Z")
    for path in at.account.folder.glob("*.json"):
        path.write_text(json.dumps({**json.loads(path.read_text()), "CreationDate": made}))


def edit(at: Checkout) -> None:
    (at.root / "app/main.go").write_text("package main // changed\n")


@pytest.mark.usefixtures("_baked")
def test_without_news_nothing_is_baked_and_that_is_recorded(at: Checkout, web: Web) -> None:
    age(at, 3)
    before = at.account.images()
    outcome = go(at, web, if_needed=True)
    assert outcome.unchanged
    assert at.account.images() == before
    assert at.built_layers() == []
    assert record(at).state == "unchanged"
    assert at.account.published == []
    assert NAMES.rebuild_lock not in at.account.parameters
    assert "nothing has changed" in (outcome.run.folder / "rebuild.md").read_text()
    assert "unknown" in outcome.check.packages


@pytest.mark.usefixtures("_baked")
@pytest.mark.parametrize("kind", ["age", "source-ami", "application", "recipe"])
def test_each_reason_bakes_both_layers_afresh_and_tells_what_changed(at: Checkout, web: Web, kind: str) -> None:
    age(at, 40 if kind == "age" else 3)
    changes: dict[str, Any] = {}
    if kind == "source-ami":
        at.account.parameters[DEBIAN].append(NEWER)
    if kind == "application":
        edit(at)
    if kind == "recipe":
        changes = {"app__environment": {"USE_AWS_PARAMS": "true", "LOG": "all"}}
    outcome = go(at, web, if_needed=True, **changes)
    assert [reason.kind for reason in outcome.check.reasons] == [kind]
    assert at.built_layers() == ["base", "app"]
    assert at.version_statuses() == {"v1.0": "verified", "v1.1": "verified"}
    assert at.candidate() == "guestbook-golden-v1.1"
    changed = {change.what: (change.before, change.after) for change in outcome.changes}
    assert changed["version"] == ("1.0.0", "1.1.0")
    assert ("source AMI" in changed) == (kind == "source-ami")
    assert ("application" in changed) == (kind == "application")
    assert record(at).state == "finished"
    (message,) = at.account.published
    assert message["TopicArn"] == TOPIC
    assert message["Subject"] == "guestbook v1.1 is baked and verified"
    assert "version: 1.0.0 → 1.1.0" in message["Message"]
    assert outcome.check.reasons[0].text in message["Message"]
    assert "promote --ami" in message["Message"]  # no promotion by itself


@pytest.mark.usefixtures("_baked")
def test_asked_for_it_bakes_without_a_reason(at: Checkout, web: Web) -> None:
    age(at, 3)
    assert go(at, web, image__version_policy="month").record.version == "v1.202603"
    assert at.built_layers() == ["base", "app"]


@pytest.mark.usefixtures("_baked")
def test_the_plan_changes_nothing(at: Checkout, web: Web) -> None:
    age(at, 40)
    there = ctx(at, web)
    calls = len(at.account.calls)
    page = rebuild_report.plan(there, check.check(there), if_needed=True).text
    assert "the packages were last updated 40 days ago (the limit is 30) (assumed)" in page
    assert "v1.1" in page
    assert "do not promote it" in page
    assert all(name.startswith(("Describe", "Get")) for name, _ in at.account.calls[calls:])
    told = rebuild_report.plan(there, check.check(there), if_needed=True).facts
    assert told["reasons"][0]["kind"] == "age"


class KilledError(BaseException):
    """What no code can catch: the process is gone."""


OURS = (NAMES.rebuild_record, NAMES.rebuild_lock)


def die_at(at: Checkout, number: int) -> Callable[[], None]:
    """Let the process die just after its number-th write of the rebuild's own (record, claim, notice) is carried out.

    Returns:
        What brings the account back for the next one.
    """
    left = iter(range(number, -1, -1))
    answer, dead = at.account.answer, []

    def dying(model: Any, context: dict[str, Any], **more: Any) -> Any:
        if dead:
            raise KilledError  # nothing that a dead process would still do is done
        found = answer(model, context, **more)
        own = model.name == "Publish" or context["asked"].get("Name") in OURS
        if own and not model.name.startswith("Get") and next(left, None) == 0:
            dead.append(True)
            raise KilledError
        return found

    at.account.answer = dying  # type: ignore[method-assign]

    def revive() -> None:
        del at.account.answer

    return revive


@pytest.mark.usefixtures("_baked")
@pytest.mark.parametrize("number", range(9))
def test_killed_after_any_step_the_next_one_finishes_it_once(
    at: Checkout, web: Web, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    monkeypatch.setattr("goldenami.tools.host.is_alive", lambda _: False)
    age(at, 40)
    revive = die_at(at, number)
    with pytest.raises(KilledError):
        go(at, web)
    revive()
    at.clock.sleep(5)
    again = go(at, web, if_needed=True)
    assert again.record.state == ("unchanged" if number >= 7 else "finished")  # 7 is the last record, 8 the lock
    assert at.version_statuses() == {"v1.0": "verified", "v1.1": "verified"}
    assert len(at.account.images()) == 4
    assert at.candidate() == "guestbook-golden-v1.1"
    assert at.account.alive() == []
    assert NAMES.rebuild_lock not in at.account.parameters
    # Told once; twice where it died between telling and writing that down.
    assert len(at.account.published) == (2 if number == 6 else 1)


@pytest.mark.usefixtures("_baked")
def test_two_at_once_the_second_is_told_who_is_at_it(at: Checkout, web: Web) -> None:
    now = at.clock.now()
    other = LockRecord("their-run", "rebuild", "kim@ci-7", "", now.isoformat(), now.isoformat())
    there = ctx(at, web)
    parameters.create(there.aws, NAMES.rebuild_lock, records.dump(other))
    at.clock.sleep(60 * 60)  # a bake gives no sign of life for long
    with pytest.raises(BusyError, match="the rebuild is locked by kim@ci-7") as error:
        rebuild.rebuild(there)
    assert error.value.code == 7
    assert at.built_layers() == []
    assert NAMES.rebuild_record not in at.account.parameters
    at.clock.sleep(3 * 60 * 60)  # but not for ever
    assert rebuild.rebuild(there).record.state == "finished"


@pytest.mark.usefixtures("_baked")
def test_a_failed_gate_is_recorded_and_told_and_the_next_one_starts_afresh(at: Checkout, web: Web) -> None:
    age(at, 40)
    at.account.checks = "CHECK boot-unit-active FAIL failed\n"
    with pytest.raises(GateError):
        go(at, web)
    assert record(at).state == "failed"
    assert record(at).step == "bake"
    (message,) = at.account.published
    assert "the rebuild failed" in message["Subject"]
    assert "boot-unit-active" in message["Message"]
    assert at.candidate() == "guestbook-golden-v1.0"
    at.account.checks = "CHECK boot-unit-active ok active\nCHECK boot-clean ok none\n"
    at.clock.sleep(60)
    assert go(at, web, if_needed=True).record.state == "finished"


@pytest.mark.usefixtures("_baked")
def test_a_place_that_cannot_be_told_changes_nothing_else(at: Checkout, web: Web, tmp_path: Path) -> None:
    def refuse() -> None:
        raise Refused("NotFound")

    age(at, 40)
    at.account.before["Publish"] = refuse
    at.account.parameters["/guestbook/hook"] = ["ftp://hunter2.example/"]
    out = tmp_path / "told.json"
    script = f"import sys; open({str(out)!r}, 'w').write(sys.stdin.read())"
    outcome = go(at, web, notify__webhook_parameter="/guestbook/hook", notify__command=[sys.executable, "-c", script])
    assert outcome.record.state == "finished"
    assert outcome.record.notified == (f"the command {sys.executable}",)
    assert len(outcome.notify_failed) == 2
    assert "hunter2" not in at.output.getvalue() + json.dumps(outcome.notify_failed)
    assert "could not notify the topic" in at.output.getvalue()
    assert json.loads(out.read_text())["goldenami"]["result"] == "success"
    assert "Notification failed" in (outcome.run.folder / "rebuild.md").read_text()


@pytest.mark.usefixtures("_baked")
def test_an_account_that_refuses_everything_still_tells_its_reason(at: Checkout, web: Web) -> None:
    def refuse() -> None:
        raise Refused("UnauthorizedOperation")

    at.account.before["DescribeImages"] = refuse
    with pytest.raises(Exception, match="UnauthorizedOperation"):
        go(at, web)
    (message,) = at.account.published
    assert "AWS does not allow DescribeImages" in message["Message"]


@pytest.mark.usefixtures("_baked")
def test_the_schedules_unit_says_nothing_that_was_told_already(at: Checkout, web: Web, monkeypatch: Any) -> None:
    monkeypatch.setenv("INVOCATION_ID", "abc")
    age(at, 40)
    there = ctx(at, web)
    rebuild.rebuild(there)
    assert len(at.account.published) == 1
    assert notify.notify_result(there, "failed", failure=True, unless_notified="abc").notified == ()
    assert notify.notify_result(there, "failed", failure=True, unless_notified="def").notified == (
        f"the topic {TOPIC}",
    )
    assert len(at.account.published) == 2


def test_a_record_survives_the_parameters_room_and_strangers() -> None:
    long = RebuildRecord("run", "2026-03-14T09:26:53", "kim@ci", error="하" * 5000, reasons=("x" * 3000,) * 6)
    assert len(records.dump(long.shortened()).encode()) <= 4096
    assert records.parse(records.dump(long.shortened()), RebuildRecord) is not None
    for text in ("", "[]", "{}", '{"run": 1}', "ami-1"):
        assert records.parse(text, RebuildRecord) is None
