"""Decide, without touching anything, how an image is carried to the fleet: what is left to do, and what forbids it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from goldenami.model.comparison import includes
from goldenami.model.fleet import AutoScalingGroup, FleetState, RefreshPreferences
from goldenami.model.image import Image
from goldenami.model.resources import VcpuQuota
from goldenami.promote.blockers_plan import blockers, warnings
from goldenami.rollout import plan as rollout_plan
from goldenami.rollout.plan import preferences
from goldenami.rollout.request_model import RolloutRequest


@dataclass(frozen=True)
class PromotionPlan:
    """What is left to do, in this order: version, traffic, roll, trial, default, pointer.

    Attributes:
        version: The template version to carry; None when it is still to be made.
        source: The version to make it from; None for the first version of a template that is still to be made.
        roll: How to renew the instances; None when nothing is to be renewed.
        adopt: The id of the refresh that is already doing that.
        traffic: Percent of the requests that a trial takes before that, step by step.
        trial: Whether one that an earlier promotion has left is to go.
        default: Whether the template's default version is to change.
        publish: Whether the production parameter is to change.
        refusals: Why it must not be done; with any, nothing is done.
        notes: What the operator should know.
    """

    version: int | None
    source: int | None
    refresh_preferences: RefreshPreferences | None = None
    adopt: str = ""
    traffic: tuple[int, ...] = ()
    trial: bool = False
    default: bool = True
    publish: bool = True
    blockers: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def unchanged(self) -> bool:
        """Whether everything is as asked for."""
        left = self.version is None or self.refresh_preferences or self.trial or self.default or self.publish
        return not (self.blockers or left)


@dataclass(frozen=True)
class PromotionPreflight:
    """Everything that was read and decided; nothing was changed."""

    request: RolloutRequest
    fleet_state: FleetState
    plan: PromotionPlan
    running: Image | None
    quota: VcpuQuota | None = None


def plan_promotion(request: RolloutRequest, fleet_state: FleetState, account: VcpuQuota | None = None) -> PromotionPlan:
    """Plan a promotion; also after one that was killed at any step, whose effects are part of the scene.

    Args:
        wish: What is asked for.
        scene: The fleet as it is.
        account: The account's room for more instances, where that is to be looked at.
    """
    version = matching(request.overrides, fleet_state)
    group, active, source = fleet_state.group, fleet_state.active_refresh, fleet_state.source_version
    roll: RefreshPreferences | None = None
    adopt = ""
    traffic: tuple[int, ...] = ()
    if group is not None and not _settled(group, version):
        weighed = bool(request.traffic and group.desired and group.target_groups)
        # After a shift of the traffic nothing is left to find out by a canary: the group is renewed all at once.
        how = replace(request, canary=100, watch=0) if weighed else request
        roll = preferences(group.desired, how, can_return=version is None or group.number != version)
        # One that is on its way back already is seen through to its end, and told as such.
        if active is not None and version is not None and active.version == version:
            adopt = active.id
        traffic = request.traffic if weighed and not adopt else ()
    against, told = [*blockers(request, fleet_state, version, roll)], [*warnings(request, fleet_state, roll)]
    # What is under way has taken its room already.
    if account is not None and group is not None and roll is not None and not adopt and fleet_state.canary is None:
        against += rollout_plan.quota_blockers(
            account, rollout_plan.surge_capacity(group.desired, roll, traffic, request.watch)
        )
        told += rollout_plan.quota_warnings(account)
    return PromotionPlan(
        version=version,
        source=source.number if source else None,
        refresh_preferences=roll,
        adopt=adopt,
        traffic=traffic,
        trial=fleet_state.canary is not None,
        default=fleet_state.template is None or version is None or fleet_state.template.default != version,
        publish=fleet_state.pointer is None or fleet_state.pointer.ami != request.ami,
        blockers=tuple(against),
        warnings=tuple(told),
    )


def matching(overrides: Mapping[str, Any], fleet_state: FleetState) -> int | None:
    """The number of the template version that already says all that is wanted; the newest of them."""
    source, template = fleet_state.source_version, fleet_state.template
    if template is None or source is None:
        return None
    wanted = {**source.data, **overrides}
    found = [v.number for v in template.versions.values() if set(v.data) == set(wanted) and includes(v.data, wanted)]
    return max(found, default=None)


def _settled(group: AutoScalingGroup, version: int | None) -> bool:
    """Whether the group launches this version and has nothing but it."""
    staying = [m for m in group.members if not m.lifecycle.startswith(("Terminat", "Detach"))]
    return version is not None and group.number == version and all(m.version == version for m in staying)
