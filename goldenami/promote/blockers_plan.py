"""Blockers and warnings of a promotion. The vCPU quota is checked in plan.py, data that would be lost in database/guard.py."""

from __future__ import annotations

from collections.abc import Iterator

from goldenami.database import release_plan
from goldenami.database.volume_plan import unsupported_reason
from goldenami.model.auto_scaling import RefreshPreferences
from goldenami.model.fleet import FleetState, LaunchTemplateVersion
from goldenami.recipe.rules import is_arm
from goldenami.rollout.group_plan import group_blockers, group_warnings
from goldenami.rollout.request_model import RolloutRequest


def blockers(
    request: RolloutRequest, fleet_state: FleetState, version: int | None, preferences: RefreshPreferences | None
) -> Iterator[str]:
    """Yield every reason why the promotion is refused.

    Args:
        request: What to promote, and how.
        fleet_state: The current state of the fleet.
        version: The launch template version to promote; None if it has to be created.
        preferences: The instance refresh's preferences; None if no instance has to be replaced.
    """
    yield from _image_blockers(request, fleet_state.source_version)
    if reason := _volume_blocker(request):
        yield reason
    if request.schema is not None and request.image is not None:
        yield from release_plan.blockers(request.schema, request.image, schema_newer=request.schema_newer)
    group, active = fleet_state.group, fleet_state.active_refresh
    if group is None:
        return
    if group.number is None:
        yield (
            f"{group.name} launches {group.version} of its launch template, which cannot be rolled back"
            " (./invoke fleet.create sets a version number)"
        )
    elif fleet_state.source_version is not None and not fleet_state.source_version.image.startswith("ami-"):
        image_id = fleet_state.source_version.image or "no image"
        yield f"{group.name} launches {image_id}, not a literal AMI id, which cannot be rolled back"
    if active is not None and active.is_ending and (version is None or active.version != version):
        yield f"an instance refresh is being rolled back or cancelled ({active.id}, {active.status}); wait for it"
    elif active is not None and (active.version is None or active.version != version):
        what = f"version {active.version}" if active.version else "another configuration"
        yield f"an instance refresh to {what} is in progress ({active.id}, {active.percent} %); ./invoke rollback ends it"
    if preferences is None:
        return
    if reason := _storage_mode_blocker(request):
        yield reason
        return
    yield from group_blockers(group, version, transfers_data=request.transfers_data)


def _storage_mode_blocker(request: RolloutRequest) -> str:
    """Return why instances of this image would not find the data; empty if they do."""
    image = request.image
    if image is None or not image.storage_mode or request.storage_change is not None:
        return ""
    uses = f'{image.name} ({image.id}) uses storage mode "{image.storage_mode}"'
    if request.current_storage_mode and request.current_storage_mode != image.storage_mode:
        return (
            f'{uses}, the running image "{request.current_storage_mode}": its instances would not find the data'
            f" (./invoke db.migrate --to {image.storage_mode} transfers it)"
        )
    if request.storage_mode and request.storage_mode != image.storage_mode:
        return (
            f'{uses}, the recipe "{request.storage_mode}": bake again, or set mode = "{image.storage_mode}" under'
            " [database]"
        )
    return ""


def _volume_blocker(request: RolloutRequest) -> str:
    """Return why the image cannot use the volume of the running one; empty if it can, or that is unknown."""
    image = request.image
    if request.storage_mode != "volume" or request.storage_change is not None or request.current_platform is None:
        return ""
    if image is None or image.storage_mode not in ("", "volume"):  # another blocker reports that
        return ""
    return unsupported_reason("the volume", request.current_platform, image)


def _image_blockers(request: RolloutRequest, source: LaunchTemplateVersion | None) -> Iterator[str]:
    image = request.image
    if image is None:
        yield f"{request.ami} does not exist or is not visible to this account"
        return
    if image.state != "available":
        yield f"{image.id} is {image.state}, not available"
    if image.retired:
        yield f"{image.name} ({image.id}) was retired ({image.retired}) and cannot be promoted"
    elif not image.verified and not request.unverified:
        failed = image.tags.get("goldenami:failed", "")
        why = f"failed verification ({failed})" if image.failed else "is not verified"
        yield f"{image.name} ({image.id}) {why}; ./invoke promote --ami {image.id} --unverified promotes it anyway"
    instance_type = str(request.overrides.get("InstanceType") or (source.instance_type if source else ""))
    if instance_type and image.architecture and is_arm(instance_type) != (image.architecture == "arm64"):
        yield f"{image.id} is for {image.architecture}, which {instance_type} is not"
    size = source.root_gib(image.root_device) if source else 0
    if size and size < image.size_gib:
        yield f"{image.id} needs a root volume of {image.size_gib} GiB; the launch template has {size}"


def warnings(
    request: RolloutRequest, fleet_state: FleetState, version: int | None, preferences: RefreshPreferences | None
) -> Iterator[str]:
    """Yield what the operator should know beforehand."""
    if request.unverified and request.image is not None and not request.image.verified:
        yield "UNVERIFIED: this image is not verified, and is promoted because of --unverified"
    if request.schema is not None:
        yield from release_plan.warnings(request.schema, rehearse=request.rehearse or request.transfers_data)
    group = fleet_state.group
    if group is None:
        yield "there is no Auto Scaling group: only the launch template and the parameter change; no instance does"
        return
    if preferences is None:
        return
    unhealthy = [m.id for m in group.members if not (m.serving or m.is_standby)]
    if unhealthy:
        yield f"not in service before the start: {', '.join(unhealthy)}"
    if not group.desired:
        yield "the group is empty: no instance can show whether the image works"
    yield from group_warnings(group, version, transfers_data=request.transfers_data)
    if not preferences.auto_rollback:
        yield "the group already launches this version: instances are replaced, and AWS cannot roll that back"
