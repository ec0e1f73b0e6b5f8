"""Plan a promotion: the steps that are left, and what blocks it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from goldenami.images.diff_plan import ImageDiff
from goldenami.model.auto_scaling import RefreshPreferences
from goldenami.model.comparison import includes
from goldenami.model.fleet import AutoScalingGroup, FleetState
from goldenami.model.image import Image
from goldenami.model.resources import VcpuQuota
from goldenami.promote.blockers_plan import blockers, warnings
from goldenami.rollout import plan as rollout_plan
from goldenami.rollout.group_plan import kept_members
from goldenami.rollout.plan import refresh_preferences
from goldenami.rollout.request_model import RolloutRequest


@dataclass(frozen=True)
class PromotionPlan:
    """Remaining steps, in this order: version, traffic shift, instance refresh, canary group, default version, parameter.

    Attributes:
        version: The launch template version; None if it has to be created.
        source: The version that it is created from; None for the first version of a new template.
        refresh_preferences: How to replace the instances; None if none has to be replaced.
        adopt: Id of a running instance refresh that already does that.
        traffic: Percent of the requests that a canary group receives before that, step by step.
        end_canary: True if an earlier promotion has left a canary group to delete.
        default: True if the template's default version has to change.
        publish: True if the production parameter has to change.
        blockers: Reasons why it is refused; with any, nothing is done.
        warnings: What the operator should know.
    """

    version: int | None
    source: int | None
    refresh_preferences: RefreshPreferences | None = None
    adopt: str = ""
    traffic: tuple[int, ...] = ()
    end_canary: bool = False
    default: bool = True
    publish: bool = True
    blockers: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def unchanged(self) -> bool:
        """True if there is nothing to do."""
        steps = self.version is None or self.refresh_preferences or self.end_canary or self.default or self.publish
        return not (self.blockers or steps)


@dataclass(frozen=True)
class PromotionPreflight:
    """State and plan of a promotion."""

    request: RolloutRequest
    fleet_state: FleetState
    plan: PromotionPlan
    running: Image | None
    quota: VcpuQuota | None = None
    diff: ImageDiff | None = None  # contents of the running image and the new one, if they differ


def plan_promotion(request: RolloutRequest, fleet_state: FleetState, quota: VcpuQuota | None = None) -> PromotionPlan:
    """Plan a promotion, also one that was interrupted at any step: its effects are part of the fleet's state.

    Args:
        request: What to promote, and how.
        fleet_state: The current state of the fleet.
        quota: The account's vCPU quota; None to skip that check.
    """
    version = matching_version(request.overrides, fleet_state)
    group, active, source = fleet_state.group, fleet_state.active_refresh, fleet_state.source_version
    preferences: RefreshPreferences | None = None
    adopt = ""
    traffic: tuple[int, ...] = ()
    if group is not None and not _is_up_to_date(group, version):
        shifts = bool(request.traffic and group.desired and group.target_groups)
        # The traffic shift is the canary: after it, the group is refreshed all at once.
        how = replace(request, canary=100, watch=0) if shifts else request
        can_roll_back = version is None or group.number != version
        kept = sum(not m.is_standby for m in kept_members(group, version))
        preferences = refresh_preferences(group.desired, how, can_roll_back=can_roll_back, kept=kept)
        if group.protects_new:
            preferences = replace(preferences, protected="Refresh")
        # Also one that AWS is rolling back: it is monitored to its end, and its failure reported.
        if active is not None and version is not None and active.version == version:
            adopt = active.id
        traffic = request.traffic if shifts and not adopt else ()
    plan_blockers = [*blockers(request, fleet_state, version, preferences)]
    plan_warnings = [*warnings(request, fleet_state, version, preferences)]
    # An instance refresh or canary group in progress already has its capacity.
    if quota and group and preferences and not adopt and fleet_state.canary is None:
        surge = rollout_plan.surge_capacity(group.desired, preferences, traffic, request.watch)
        plan_blockers += rollout_plan.quota_blockers(quota, surge)
        plan_warnings += rollout_plan.quota_warnings(quota)
    return PromotionPlan(
        version=version,
        source=source.number if source else None,
        refresh_preferences=preferences,
        adopt=adopt,
        traffic=traffic,
        end_canary=fleet_state.canary is not None,
        default=fleet_state.template is None or version is None or fleet_state.template.default != version,
        publish=fleet_state.pointer is None or fleet_state.pointer.ami != request.ami,
        blockers=tuple(plan_blockers),
        warnings=tuple(plan_warnings),
    )


def matching_version(overrides: Mapping[str, Any], fleet_state: FleetState) -> int | None:
    """Return the newest launch template version that equals the source version with these overrides, or None."""
    source, template = fleet_state.source_version, fleet_state.template
    if template is None or source is None:
        return None
    desired = {**source.data, **overrides}
    versions = template.versions.values()
    return max((v.number for v in versions if set(v.data) == set(desired) and includes(v.data, desired)), default=None)


def _is_up_to_date(group: AutoScalingGroup, version: int | None) -> bool:
    """Return True if the group launches this version, and every instance that a refresh would replace runs it."""
    remaining = [m for m in group.members if not (m.is_leaving or group.keeps(m))]
    return version is not None and group.number == version and all(m.version == version for m in remaining)
