"""Read the current state of the fleet: launch template, Auto Scaling group, instances, refreshes, production parameter."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from goldenami.aws import auto_scaling, instance_refreshes, instances, launch_templates, load_balancers, parameters
from goldenami.context import Context
from goldenami.errors import UsageError
from goldenami.infra import launch_template_plan
from goldenami.model.fleet import AutoScalingGroup, CanaryGroup, FleetInstance, FleetState
from goldenami.model.image import RELEASE
from goldenami.model.references import Pointers
from goldenami.model.resources import Instance


def describe_fleet(ctx: Context) -> FleetState:
    """Return everything that a promotion depends on."""
    names = ctx.names
    with ThreadPoolExecutor() as pool:  # parallel, because each call takes a network round trip
        group_call = pool.submit(_group, ctx)
        template = pool.submit(launch_templates.get, ctx.aws, names.launch_template)
        history = pool.submit(parameters.get_history, ctx.aws, names.production)
        canary = pool.submit(_canary_group, ctx)
        group = group_call.result()
        return FleetState(
            template=template.result(),
            group=group,
            refreshes=tuple(instance_refreshes.list_refreshes(ctx.aws, group.name)) if group else (),
            history=tuple(history.result()),
            canary=canary.result(),
        )


def _group(ctx: Context) -> AutoScalingGroup | None:
    group = auto_scaling.get(ctx.aws, ctx.names.group)
    if group is None:
        return None
    hooks, schedules = auto_scaling.list_hooks(ctx.aws, group.name), auto_scaling.list_schedules(ctx.aws, group.name)
    return replace(group, hooks=hooks, schedules=schedules)


def _canary_group(ctx: Context) -> CanaryGroup | None:
    group = auto_scaling.get(ctx.aws, ctx.names.canary_group)
    if group is None:
        return None
    load_balancer = load_balancers.get(ctx.aws, ctx.names.load_balancer)
    weights = load_balancers.get_weights(ctx.aws, load_balancer.arn) if load_balancer else {}
    total = sum(weights.values())
    canary = sum(weight for arn, weight in weights.items() if arn in group.target_groups)
    return CanaryGroup(group, round(100 * canary / total) if total else 0)


def fleet_instances(ctx: Context) -> list[Instance]:
    """Return the instances with the fleet's tag, without those that run a release step outside the fleet."""
    return [i for i in _tagged(ctx) if RELEASE not in i.tags]


def release_instances(ctx: Context) -> list[Instance]:
    """Return the instances that run a release step outside the fleet, or were left by a crashed one."""
    return [i for i in _tagged(ctx) if RELEASE in i.tags]


def _tagged(ctx: Context) -> list[Instance]:
    return instances.list_tagged(ctx.aws, launch_template_plan.FLEET_TAG, ctx.name)


def list_instances(ctx: Context) -> list[FleetInstance]:
    """Return all instances of the fleet, oldest first."""
    fleet_state = describe_fleet(ctx)
    groups = (fleet_state.group, fleet_state.canary.group if fleet_state.canary else None)
    members = {m.id: m for group in groups if group for m in group.members}
    fleet = []
    for instance in fleet_instances(ctx):
        member = members.get(instance.id)
        fleet.append(
            FleetInstance(
                id=instance.id,
                image=instance.image,
                state=instance.state,
                address=instance.address,
                zone=instance.zone,
                version=member.version if member else 0,
                grouped=member is not None,
                lifecycle=member.lifecycle if member else "",
                target=member.target if member else "",
                launched=instance.launched,
                drifted=instance.tags.get(auto_scaling.DRIFTED_TAG, ""),
            )
        )
    return sorted(fleet, key=lambda instance: (instance.launched, instance.id))


def resolve_instance(ctx: Context, instance: str) -> FleetInstance:
    """Return an instance by its id; the only instance if the id is empty. Raise UsageError if there are none or several."""
    fleet = list_instances(ctx)
    if instance:
        if named := [m for m in fleet if m.id == instance]:
            return named[0]
        raise UsageError(f"{instance} is not an instance of {ctx.name}", next="./invoke instances")
    running = [m for m in fleet if m.state == "running"] or fleet
    if len(running) == 1:
        return running[0]
    ids = ", ".join(m.id for m in running) or "none"
    raise UsageError(f"which instance? there are: {ids}", next="./invoke instances, then --instance i-…")


def release_pointers(ctx: Context) -> Pointers:
    """Return the names of the parameters with AMI ids that goldenami manages."""
    return Pointers(production=ctx.names.production, candidate=ctx.candidate, path=f"/goldenami/{ctx.name}")
