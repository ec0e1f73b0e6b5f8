"""The only instance is stopped, or AWS cannot be reached while writes are stopped: what is said was looked at."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from botocore.exceptions import EndpointConnectionError

from goldenami.context import Context
from goldenami.database import freeze, restore, transfer
from goldenami.database.switchover_model import WriteFreeze
from goldenami.errors import AwsError, GateError, GoldenError, UnreachableError
from goldenami.fleet import create, describe, instances
from goldenami.fleet.model import Assessment
from goldenami.state import lock
from tests.integration.database.test_transfer import Clerk, Pier, pier  # noqa: F401 - a fixture
from tests.integration.database.test_volume import end, ended, restore as restore_backup
from tests.integration.promote.test_promote import SERVICES, pytestmark  # noqa: F401 - marks
from tests.support.advice import Operator
from tests.support.cloud_server import eventually

AT_ONCE = 90.0  # seconds, on a busy machine; the timeouts are 180 or more


def status(pier: Pier) -> Assessment:
    return describe.fleet_status(pier.ctx()).assessment


@contextmanager
def stopped(pier: Pier) -> Iterator[str]:
    """Stop the only instance, and start it again at the end."""
    instance, image = pier.machine().id, pier.running()
    pier.town.ec2.stop_instances(InstanceIds=[instance])
    pier.town.wait(instance, "stopped")
    yield instance
    pier.town.ec2.start_instances(InstanceIds=[instance])
    pier.town.wait(instance, "running")
    pier.serves(image)


class Outage:
    """Ends the connection of a context right after a command was sent to an instance."""

    def __init__(self, ctx: Context, action: str) -> None:
        self.action, self.down = f"action={action}", False
        for service in (*SERVICES, "s3"):
            events = ctx.aws.client(service).meta.events  # type: ignore[call-overload]
            events.register("before-call", self._before)
            events.register("after-call.ssm.SendCommand", self._after)
            events.register("provide-client-params.ssm.SendCommand", self._sending)

    def _before(self, **_: Any) -> None:
        if self.down:
            raise EndpointConnectionError(endpoint_url="http://127.0.0.1:1")

    def _sending(self, params: dict[str, Any], **_: Any) -> None:
        self.sent = self.action in params["Parameters"]["commands"]

    def _after(self, **_: Any) -> None:
        self.down = self.down or self.sent


def test_status_of_a_stopped_instance_is_not_serving_and_leads_to_recover(pier: Pier) -> None:
    with stopped(pier) as instance:
        found = status(pier)
        assert found.state == "not serving"
        assert found.event == f"{instance} stopped"
        assert found.since
        assert any(f"{instance} is stopped" in drift.text for drift in found.drift)
        assert found.next == "./invoke recover"
    assert (status(pier).state, status(pier).drift) == ("serving", ())


@pytest.mark.parametrize(
    ("act", "expected"),
    [
        (lambda ctx, i: instances.terminate(ctx, i, decrement=False, force=True), "the instance is stopped"),
        (lambda ctx, i: restore.back_up(ctx, i, "", own=False, why=""), "the instance is stopped"),
        (lambda ctx, _: create.create(ctx), "is stopped, and guestbook-asg does not replace it"),
    ],
)
def test_command_on_a_stopped_instance_says_so_at_once_and_stops_no_writes(pier: Pier, act: Any, expected: str) -> None:
    with stopped(pier) as instance:
        began = time.monotonic()
        with pytest.raises((GateError, AwsError), match=expected) as caught:
            act(pier.ctx(), instance)
        assert time.monotonic() - began < AT_ONCE
        assert "serves" not in str(caught.value)
        assert freeze.load(pier.ctx()) is None
        assert status(pier).under_way == ()


def test_promotion_over_a_stopped_instance_is_refused_at_once(pier: Pier) -> None:
    image = pier.image("good")
    with stopped(pier):
        began = time.monotonic()
        with pytest.raises(GateError, match=r"the instance is stopped\nNo changes") as caught:
            pier.promote(image)
        assert time.monotonic() - began < AT_ONCE
        assert caught.value.next == "./invoke status"


def test_unreachable_cloud_while_writes_are_stopped_is_reported_with_what_resumes_them(pier: Pier) -> None:
    image, machine = pier.running(), pier.machine()
    backup, ctx = restore.back_up(pier.ctx(), "", "", own=False, why=""), pier.ctx()
    Outage(ctx, "stop-writes")
    with pytest.raises(UnreachableError) as caught:
        restore_backup(ctx, backup.id)
    eventually(lambda: machine.door is None)
    record = freeze.load(pier.ctx())
    assert record is not None
    assert caught.value.state == (
        f"Writes are stopped on {machine.id} since {record.since}, and stay stopped until a command resumes them."
    )
    assert caught.value.next == "./invoke recover, once AWS responds"
    found = status(pier)
    assert (found.state, found.next) == ("not serving", "./invoke recover")
    assert any(f"writes are stopped on {machine.id} since {record.since}" in line for line in found.under_way)
    assert lock.holder(pier.ctx()) is not None, "it could not be released"
    restore_backup(pier.ctx(), backup.id)
    pier.serves(image)
    assert status(pier).state == "serving"


def test_unreachable_cloud_during_a_transfer_is_reported_with_what_resumes_it(pier: Pier) -> None:
    before, image, ctx = pier.running(), pier.image("good"), pier.ctx()
    Outage(ctx, "read-only")
    with Clerk(pier) as clerk:
        with pytest.raises(UnreachableError) as caught:
            pier.promote(image, ctx)
        switchover = transfer.load(pier.ctx())
        assert switchover is not None
        assert switchover.frozen_since in str(caught.value.state)
        assert caught.value.next == "./invoke rollback, once AWS responds"
        found = status(pier)
        assert found.next == "./invoke rollback"
        assert any(f"writes stopped since {switchover.frozen_since}" in line for line in found.under_way)
        pier.promote(image)
    pier.serves(image)
    clerk.check()
    assert before != image


def test_freeze_whose_instance_cannot_be_inspected_is_not_claimed_to_have_ended(pier: Pier) -> None:
    instance, record = pier.machine().id, WriteFreeze("run", "terminate", (pier.machine().id,))
    with stopped(pier), pytest.raises(GateError, match="out of space") as caught, freeze.frozen(pier.ctx(), record):
        raise GoldenError("out of space")
    assert caught.value.state == f"Writes may still be stopped on {instance}."
    assert caught.value.next == "./invoke recover"
    freeze.end_stale_freeze(pier.ctx())
    assert freeze.load(pier.ctx()) is None


def stopped_instance(pier: Pier) -> None:
    pier.town.ec2.stop_instances(InstanceIds=[pier.machine().id])
    pier.town.wait(pier.machine().id, "stopped")


def terminated_instance(pier: Pier) -> None:
    end(pier, pier.machine().id)


def killed_restore(pier: Pier) -> None:
    backup = restore.back_up(pier.ctx(), "", "", own=False, why="")
    ended(pier, "SendCommand stop-writes", lambda ctx: restore_backup(ctx, backup.id))


@pytest.mark.parametrize("broken", [killed_restore, stopped_instance, terminated_instance])
def test_advice_leads_back_to_the_only_instance_with_its_data(
    pier: Pier, monkeypatch: pytest.MonkeyPatch, broken: Any
) -> None:
    image = pier.running()
    restore.back_up(pier.ctx(), "", "", own=False, why="")
    rows = list(pier.machine().rows)
    broken(pier)
    operator = Operator(pier.ctx, monkeypatch)
    assert operator.follow() == "", operator.output
    assert operator.commands[0] == "./invoke recover"
    pier.serves(image)
    assert pier.machine().rows == rows
