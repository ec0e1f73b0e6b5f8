"""Why an image must not be carried to the fleet as it is, and what the operator should know."""

from __future__ import annotations

from collections.abc import Iterator

from goldenami.database.volume_plan import unsupported_reason
from goldenami.model.fleet import FleetState, LaunchTemplateVersion, RefreshPreferences
from goldenami.recipe.rules import is_arm
from goldenami.rollout.request_model import RolloutRequest

_NEEDED = ("Launch", "Terminate", "AddToLoadBalancer", "HealthCheck")


def blockers(
    request: RolloutRequest, fleet_state: FleetState, version: int | None, roll: RefreshPreferences | None
) -> Iterator[str]:
    """Every reason against it."""
    yield from _image_refusals(request, fleet_state.source_version)
    if other := _other_platform(request):
        yield other
    group, active = fleet_state.group, fleet_state.active_refresh
    if group is None:
        return
    if group.number is None:
        yield (
            f"{group.name} launches {group.version} of its template, which cannot be rolled back"
            " (./invoke fleet.create pins it to a number)"
        )
    elif fleet_state.source_version is not None and not fleet_state.source_version.image.startswith("ami-"):
        image_id = fleet_state.source_version.image or "no image"
        yield f"{group.name} launches {image_id}, not a literal AMI, which cannot be rolled back"
    if active is not None and active.is_ending and (version is None or active.version != version):
        yield f"an instance refresh is on its way back ({active.id}, {active.status}); wait for it"
    elif active is not None and (active.version is None or active.version != version):
        what = f"version {active.version}" if active.version else "another configuration"
        yield f"an instance refresh to {what} is under way ({active.id}, {active.percent} %); ./invoke rollback ends it"
    if roll is None:
        return
    if other := _other_storage_mode(request):
        yield other
        return
    if request.transfers_data:  # one instance, outside of any instance refresh: none of what follows is needed
        if group.desired > 1:
            yield (
                f"{group.name} has {group.desired} instances, each with a database of its own: nobody can say which rows"
                ' are right (set its size to 1, or mode = "rds" under [database])'
            )
        return
    blocked = [process for process in group.suspended if process in _NEEDED]
    if blocked:
        yield f"{', '.join(blocked)} of {group.name} is suspended, so that nothing could be renewed"
    if group.desired and group.max < group.desired + 1:
        yield (
            f"{group.name} has no room to launch before it terminates: desired {group.desired}, max {group.max}"
            f" (raise [fleet] max to {group.desired + 1} and run ./invoke fleet.create)"
        )


def _other_storage_mode(request: RolloutRequest) -> str:
    """Why instances of this image would not see the rows; empty where they do."""
    image = request.image
    if image is None or not image.storage_mode or request.storage_change is not None:
        return ""
    told = f'{image.name} ({image.id}) keeps its data in mode "{image.storage_mode}"'
    if request.current_storage_mode and request.current_storage_mode != image.storage_mode:
        return (
            f'{told}, and what runs now in "{request.current_storage_mode}": its instances would not see the rows'
            f" (./invoke db.migrate --to {image.storage_mode} carries every row over)"
        )
    if request.storage_mode and request.storage_mode != image.storage_mode:
        return (
            f'{told}, and the recipe says "{request.storage_mode}": bake again, or set mode = "{image.storage_mode}"'
            " under [database]"
        )
    return ""


def _other_platform(request: RolloutRequest) -> str:
    """Why an image must not take the volume over from the one that runs now; empty where it may, or it is not known."""
    if (
        request.storage_mode != "volume"
        or request.storage_change is not None
        or request.image is None
        or request.current_platform is None
    ):
        return ""
    if request.image.storage_mode not in ("", "volume"):  # another reason against it
        return ""
    return unsupported_reason("the volume", request.current_platform, request.image)


def _image_refusals(request: RolloutRequest, source: LaunchTemplateVersion | None) -> Iterator[str]:
    image = request.image
    if image is None:
        yield f"there is no AMI {request.ami} that we may see"
        return
    if image.state != "available":
        yield f"{image.id} is {image.state}, not available"
    if image.retired:
        yield f"{image.name} ({image.id}) was retired ({image.retired}); it is not carried any more"
    elif not image.verified and not request.unverified:
        why = (
            f"failed its gate ({image.tags.get('goldenami:failed', '')})"
            if image.failed
            else "has not passed its gates"
        )
        yield f"{image.name} ({image.id}) {why}; --unverified carries it all the same"
    kind = str(request.overrides.get("InstanceType") or (source.instance_type if source else ""))
    if kind and image.architecture and is_arm(kind) != (image.architecture == "arm64"):
        yield f"{image.id} is for {image.architecture}, which {kind} is not"
    size = source.root_gib(image.root_device) if source else 0
    if size and size < image.size_gib:
        yield f"{image.id} needs a root volume of {image.size_gib} GiB; the launch template has {size}"


def warnings(request: RolloutRequest, fleet_state: FleetState, roll: RefreshPreferences | None) -> Iterator[str]:
    """What is worth knowing beforehand."""
    if request.unverified and request.image is not None and not request.image.verified:
        yield "UNVERIFIED: this image has not passed its gates, and is carried because --unverified says so"
    group = fleet_state.group
    if group is None:
        yield "there is no Auto Scaling group: only the launch template and the parameter change; no instance does"
        return
    if roll is None:
        return
    unwell = [m.id for m in group.members if not m.serving]
    if unwell:
        yield f"not serving before it begins: {', '.join(unwell)}"
    if not group.desired:
        yield "the group is empty: no instance can show whether the image works"
    kept = [m.id for m in group.members if m.protected or m.lifecycle == "Standby"]
    if kept:
        yield f"protected or on standby, so not renewed: {', '.join(kept)}"
    if not roll.auto_rollback:
        yield "the group already launches this version: instances are renewed, and AWS cannot roll that back"
