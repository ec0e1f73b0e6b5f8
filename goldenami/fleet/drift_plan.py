"""Name every difference between the fleet and what the recipe and the production parameter say, each with its fix. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from goldenami.fleet.model import Drift, FleetObservation
from goldenami.images.candidate_plan import newest_good
from goldenami.model.fleet import NOT_RUNNING, SUSPENDED_WHILE_REPLACING, AutoScalingGroup, FleetState
from goldenami.model.image import Image
from goldenami.promote.rollback_plan import changes_in_place, differences, missing_images, running_images
from goldenami.recipe.recipe import Recipe

ROLLBACK, CREATE = "./invoke rollback", "./invoke fleet.create"
RECOVER = "./invoke recover"


def find_drift(recipe: Recipe, observed: FleetObservation) -> Iterator[Drift]:
    """Yield every difference. Those that a running command causes are left out, since it resolves them."""
    fleet_state = observed.fleet_state
    group, pointer = fleet_state.group, fleet_state.pointer
    for text in missing_images(fleet_state, observed.images):
        yield Drift(text, replace_image(recipe, observed))
    if observed.in_progress:
        return
    yield from _instances(recipe, observed)
    if observed.missing_balancer:
        yield Drift(f"the load balancer {observed.missing_balancer} does not exist", CREATE)
    if group is None and fleet_state.template is not None and not observed.standalone:
        yield Drift("the Auto Scaling group does not exist", create_fleet(recipe, observed))
    if pointer is None and (group is not None or observed.standalone):
        yield Drift("the production parameter does not exist", CREATE if group else "./invoke bake")
    if observed.switchover is None and observed.freeze is None:
        yield from (Drift(text, _align(fleet_state)) for text in differences(fleet_state))
        if group is not None:
            yield from _settings(recipe, group)
    yield from map(Drift, changes_in_place(fleet_state))


def keeps_data(recipe: Recipe) -> bool:
    """Return True if the data is on the root disk of the only instance, which the group must not replace."""
    return recipe.database.on_instance and not recipe.database.on_volume


def create_fleet(recipe: Recipe, observed: FleetObservation) -> str:
    """Return the command that creates the fleet: from the released image, another one, or after a bake.

    If its data was on the root disk of an instance, it is in the backups.
    """
    pointer = observed.fleet_state.pointer
    if keeps_data(recipe) and pointer is not None and best_image(recipe, observed) is not None:
        return RECOVER
    if pointer is not None and pointer.ami in observed.images:
        return CREATE
    image = best_image(recipe, observed)
    return f"{CREATE} --ami {image.id}" if image else "./invoke bake"


def replace_image(recipe: Recipe, observed: FleetObservation) -> str:
    """Return the command that brings the fleet to an image that exists."""
    if observed.fleet_state.group is None:
        return create_fleet(recipe, observed)
    pointer, image = observed.fleet_state.pointer, best_image(recipe, observed)
    if pointer is not None and pointer.ami in observed.images:
        return ROLLBACK
    return f"./invoke promote --ami {image.id}" if image else "./invoke bake"


def best_image(recipe: Recipe, observed: FleetObservation) -> Image | None:
    """Return the newest verified image that this recipe can run and that was not rolled back."""
    return newest_good(list(observed.images.values()), recipe.image.name, recipe.database.mode)


def _instances(recipe: Recipe, observed: FleetObservation) -> Iterator[Drift]:
    group = observed.fleet_state.group
    reasons = {instance.id: instance.reason for instance in observed.stopped}
    for instance in observed.standalone:
        if instance.state in NOT_RUNNING:
            reason = f" ({instance.reason})" if instance.reason else ""
            fix = RECOVER if keeps_data(recipe) else f"./invoke deploy --ami {instance.image}"
            yield Drift(f"{instance.id} is {instance.state}{reason}", fix)
    for member in group.members if group else ():
        if member.lifecycle.startswith("Terminat") or member.state == "pending":
            continue
        if member.state != "running":
            reason = f" ({reasons[member.id]})" if reasons.get(member.id) else ""
            state = member.state or "unknown to EC2"
            yield Drift(
                f"{member.id} is {state}{reason}; in the group it is {member.lifecycle}", _replace(recipe, group)
            )
        elif member.lifecycle == "Standby":
            back = f"--instance-ids {member.id} --auto-scaling-group-name {group.name}" if group else ""
            yield Drift(f"{member.id} is in Standby and does not serve", f"aws autoscaling exit-standby {back}")
        elif member.lifecycle == "InService" and not member.serving:
            health = member.target or "unhealthy"
            cause = f"./invoke logs --instance {member.id} shows why"
            yield Drift(f"{member.id} runs and does not serve ({health}): {cause}", _replace(recipe, group))


def _replace(recipe: Recipe, group: AutoScalingGroup | None) -> str:
    """Return the command after which a member of the group that does not serve is replaced."""
    if keeps_data(recipe):
        return RECOVER
    # The group replaces it, unless it must not: then fleet.create lets it.
    return CREATE if group and set(SUSPENDED_WHILE_REPLACING) & set(group.suspended) else "./invoke status"


def _align(fleet_state: FleetState) -> str:
    """Return the command after which template, group and production parameter agree."""
    group, pointer = fleet_state.group, fleet_state.pointer
    if group is not None and group.number is None:
        return CREATE
    if pointer is None or set(running_images(fleet_state)) - {pointer.ami}:
        return ROLLBACK
    return f"./invoke promote --ami {pointer.ami}"


def _settings(recipe: Recipe, group: AutoScalingGroup) -> Iterator[Drift]:
    """Yield the group's sizes and suspended processes that differ from the recipe's."""
    fleet = recipe.fleet
    if (group.min, group.max) != (fleet.min, fleet.max):
        text = f"{group.name} has the size {group.min} to {group.max}, the recipe {fleet.min} to {fleet.max}"
        yield Drift(text, CREATE)
    expected = SUSPENDED_WHILE_REPLACING if keeps_data(recipe) else ()
    if missing := [process for process in expected if process not in group.suspended]:
        yield Drift(
            f"{', '.join(missing)} of {group.name} must be suspended: its instance has the only copy of the data",
            CREATE,
        )
    if extra := [process for process in group.suspended if process not in expected]:
        resume = f"aws autoscaling resume-processes --auto-scaling-group-name {group.name} --scaling-processes"
        yield Drift(f"{', '.join(extra)} of {group.name} is suspended", f"{resume} {' '.join(extra)}")
