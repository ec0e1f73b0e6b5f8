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


def describe_fleet(shop: Context) -> FleetState:
    """Everything that a promotion depends on."""
    names = ResourceNames(shop.name)
    with ThreadPoolExecutor() as pool:  # a dozen questions, each as far as the region is away
        group = pool.submit(auto_scaling.get, shop.aws, names.group)
        template = pool.submit(launch_templates.get, shop.aws, names.template)
        history = pool.submit(parameters.history, shop.aws, names.production)
        trial = pool.submit(_canary_group, shop)
        found = group.result()
        return FleetState(
            template=template.result(),
            group=found,
            refreshes=tuple(instance_refreshes.list_refreshes(shop.aws, found.name)) if found else (),
            history=tuple(history.result()),
            trial=trial.result(),
        )


def _canary_group(shop: Context) -> CanaryGroup | None:
    group = auto_scaling.get(shop.aws, shop.names.trial)
    if group is None:
        return None
    balancer = load_balancers.get(shop.aws, shop.names.balancer)
    shares = load_balancers.weights(shop.aws, balancer.arn) if balancer else {}
    total = sum(shares.values())
    mine = sum(weight for arn, weight in shares.items() if arn in group.target_groups)
    return CanaryGroup(group, round(100 * mine / total) if total else 0)


def list_instances(shop: Context) -> list[FleetInstance]:
    """Every instance of the fleet, the oldest first."""
    scene = describe_fleet(shop)
    grouped = [group for group in (scene.group, scene.trial.group if scene.trial else None) if group]
    members = {m.id: m for group in grouped for m in group.members}
    found = []
    for one in instances.tagged(shop.aws, launch_template_plan.FLEET_TAG, shop.name):
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
                drifted=one.tags.get(auto_scaling.SETTING_NAMES, ""),
            )
        )
    return sorted(found, key=lambda machine: (machine.launched, machine.id))


def resolve_instance(shop: Context, instance: str) -> FleetInstance:
    """The instance that is meant: by its id, or the only one.

    Raises:
        UsageError: There is none, or there are several and none is named.
    """
    found = list_instances(shop)
    if instance:
        named = [m for m in found if m.id == instance]
        if named:
            return named[0]
        raise UsageError(f"{instance} is not an instance of {shop.name}", next="./invoke instances")
    running = [m for m in found if m.state == "running"] or found
    if len(running) == 1:
        return running[0]
    told = ", ".join(m.id for m in running) or "none"
    raise UsageError(f"which instance? there are: {told}", next="./invoke instances, then --instance i-…")


def release_pointers(shop: Context) -> Pointers:
    """Our own parameters."""
    return Pointers(production=shop.names.production, candidate=shop.candidate, path=f"/goldenami/{shop.name}")
