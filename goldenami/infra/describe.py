"""Read the fleet as it is: template, group, instances, refreshes, pointer. Nothing is changed."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from goldenami.aws import auto_scaling, instance_refreshes, instances, launch_templates, load_balancers, parameters
from goldenami.context import Context
from goldenami.errors import UsageError
from goldenami.infra import launch_template_plan
from goldenami.model.fleet import CanaryGroup, FleetInstance, FleetState
from goldenami.model.names import ResourceNames
from goldenami.model.references import Pointers


def describe_fleet(ctx: Context) -> FleetState:
    """Everything that a promotion depends on."""
    names = ResourceNames(ctx.name)
    with ThreadPoolExecutor() as pool:  # a dozen questions, each as far as the region is away
        group = pool.submit(auto_scaling.get, ctx.aws, names.group)
        template = pool.submit(launch_templates.get, ctx.aws, names.launch_template)
        history = pool.submit(parameters.get_history, ctx.aws, names.production)
        trial = pool.submit(_canary_group, ctx)
        found = group.result()
        return FleetState(
            template=template.result(),
            group=found,
            refreshes=tuple(instance_refreshes.list_refreshes(ctx.aws, found.name)) if found else (),
            history=tuple(history.result()),
            canary=trial.result(),
        )


def _canary_group(ctx: Context) -> CanaryGroup | None:
    group = auto_scaling.get(ctx.aws, ctx.names.canary_group)
    if group is None:
        return None
    balancer = load_balancers.get(ctx.aws, ctx.names.load_balancer)
    shares = load_balancers.get_weights(ctx.aws, balancer.arn) if balancer else {}
    total = sum(shares.values())
    mine = sum(weight for arn, weight in shares.items() if arn in group.target_groups)
    return CanaryGroup(group, round(100 * mine / total) if total else 0)


def list_instances(ctx: Context) -> list[FleetInstance]:
    """Every instance of the fleet, the oldest first."""
    fleet_state = describe_fleet(ctx)
    grouped = [
        group for group in (fleet_state.group, fleet_state.canary.group if fleet_state.canary else None) if group
    ]
    members = {m.id: m for group in grouped for m in group.members}
    found = []
    for one in instances.list_tagged(ctx.aws, launch_template_plan.FLEET_TAG, ctx.name):
        member = members.get(one.id)
        found.append(
            FleetInstance(
                id=one.id,
                image=one.image,
                state=one.state,
                address=one.address,
                zone=one.zone,
                version=member.version if member else 0,
                grouped=member is not None,
                lifecycle=member.lifecycle if member else "",
                target=member.target if member else "",
                launched=one.launched,
                drifted=one.tags.get(auto_scaling.DRIFTED_TAG, ""),
            )
        )
    return sorted(found, key=lambda machine: (machine.launched, machine.id))


def resolve_instance(ctx: Context, instance: str) -> FleetInstance:
    """The instance that is meant: by its id, or the only one.

    Raises:
        UsageError: There is none, or there are several and none is named.
    """
    found = list_instances(ctx)
    if instance:
        named = [m for m in found if m.id == instance]
        if named:
            return named[0]
        raise UsageError(f"{instance} is not an instance of {ctx.name}", next="./invoke instances")
    running = [m for m in found if m.state == "running"] or found
    if len(running) == 1:
        return running[0]
    told = ", ".join(m.id for m in running) or "none"
    raise UsageError(f"which instance? there are: {told}", next="./invoke instances, then --instance i-…")


def release_pointers(ctx: Context) -> Pointers:
    """Our own parameters."""
    return Pointers(production=ctx.names.production, candidate=ctx.candidate, path=f"/goldenami/{ctx.name}")
