"""Lifecycle hooks hold members in Pending:Wait or Terminating:Wait until completed, or until their heartbeat times out. moto
stores hooks and does nothing with them.
https://docs.aws.amazon.com/autoscaling/ec2/userguide/lifecycle-hooks-overview.html"""

from __future__ import annotations

import time
import uuid
from typing import Any

from moto.autoscaling.exceptions import ValidationError
from moto.autoscaling.responses import AutoScalingResponse
from moto.core.responses import ActionResult, EmptyResult

from localcloud.autoscaling.request import requested_group
from localcloud.core.overrides import replace_methods

TRANSITIONS = {"Pending": "autoscaling:EC2_INSTANCE_LAUNCHING", "Terminating": "autoscaling:EC2_INSTANCE_TERMINATING"}
RESULTS = ("CONTINUE", "ABANDON")
MAX_WAIT = 48 * 3600.0  # or 100 times the heartbeat timeout, if that is less

_put = AutoScalingResponse.put_lifecycle_hook


class HookWait:
    """One hook's wait for one member."""

    def __init__(self, hook: Any, now: float) -> None:
        self.token, self.heartbeat = str(uuid.uuid4()), float(hook.heartbeat_timeout)
        self.default_result, self.result = str(hook.default_result), ""
        self.until, self.latest = now + self.heartbeat, now + min(MAX_WAIT, 100 * self.heartbeat)

    def extend(self, now: float) -> None:
        self.until = min(now + self.heartbeat, self.latest)


def hold(group: Any, member: Any, phase: str, now: float) -> str:
    """Hold a member in `Pending` or `Terminating` while hooks wait. Return CONTINUE or ABANDON once none does, else nothing."""
    if member.lifecycle_state == phase:
        hooks = group.autoscaling_backend.describe_lifecycle_hooks(group.name)
        matching = [hook for hook in hooks if hook.lifecycle_transition == TRANSITIONS[phase]]
        member.waits = {hook.name: HookWait(hook, now) for hook in matching}
        member.lifecycle_state = f"{phase}:Wait" if matching else f"{phase}:Proceed"
    for wait in member.waits.values():
        if not wait.result and now >= wait.until:
            wait.result = wait.default_result
    results = {wait.result for wait in member.waits.values()}
    if "ABANDON" in results:  # no other hook is waited for
        return "ABANDON"
    if "" in results:
        return ""
    member.lifecycle_state = f"{phase}:Proceed"
    return "CONTINUE"


def install() -> None:
    """Replace moto's action, and add those that it lacks."""
    replace_methods(
        AutoScalingResponse, put_lifecycle_hook, complete_lifecycle_action, record_lifecycle_action_heartbeat
    )


def put_lifecycle_hook(self: Any) -> Any:
    """moto checks nothing. https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_PutLifecycleHook.html"""
    requested_group(self)
    transition, timeout = self._get_param("LifecycleTransition"), self._get_param("HeartbeatTimeout")
    if transition not in TRANSITIONS.values():
        raise ValidationError(f"Lifecycle transition must be one of {', '.join(TRANSITIONS.values())}")
    if timeout is not None and not 30 <= int(timeout) <= 7200:
        raise ValidationError("Heartbeat timeout must be between 30 and 7200 seconds")
    if self._get_param("DefaultResult") not in (None, *RESULTS):
        raise ValidationError("Default result must be CONTINUE or ABANDON")
    return _put(self)


def complete_lifecycle_action(self: Any) -> Any:
    """https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_CompleteLifecycleAction.html"""
    if (result := self._get_param("LifecycleActionResult")) not in RESULTS:
        raise ValidationError("LifecycleActionResult must be CONTINUE or ABANDON")
    _find_wait(self).result = result
    return ActionResult({})


def record_lifecycle_action_heartbeat(self: Any) -> Any:
    """https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_RecordLifecycleActionHeartbeat.html"""
    _find_wait(self).extend(time.time())
    return EmptyResult()


def _find_wait(response: Any) -> HookWait:
    group, name = requested_group(response), response._get_param("LifecycleHookName")
    instance_id, token = response._get_param("InstanceId"), response._get_param("LifecycleActionToken")
    for member in group.instance_states:
        wait: HookWait | None = getattr(member, "waits", {}).get(name)
        if wait and not wait.result and (member.instance_id == instance_id or wait.token == token):
            return wait
    what = f"instance ID {instance_id}" if instance_id else f"token {token}"
    raise ValidationError(f"No active Lifecycle Action found with {what}")
