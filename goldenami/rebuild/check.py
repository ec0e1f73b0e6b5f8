"""Check whether a rebuild is due; nothing is changed."""

from __future__ import annotations

from dataclasses import replace

from goldenami.aws import run_command
from goldenami.bake import preflight
from goldenami.bake.model import BakeOptions
from goldenami.context import Context
from goldenami.images.catalog import read_pointer
from goldenami.infra import describe
from goldenami.model.image import COMMIT, SOURCE_AMI, Image
from goldenami.rebuild.plan import PendingUpdates, RebuildInputs, pending_updates_text, rebuild_reasons
from goldenami.rebuild.record_model import RebuildCheck, RebuildRecord
from goldenami.state import records


def check(ctx: Context) -> RebuildCheck:
    """Return the reasons for a rebuild, and what it would bake."""
    current = preflight.preflight(ctx)
    candidate = _pointed_image(ctx, current.images, ctx.candidate)
    inputs = _inputs(ctx, candidate, current)
    now = ctx.clock.now()
    latest = last_rebuild(ctx)
    return RebuildCheck(
        inputs=inputs,
        reasons=rebuild_reasons(inputs, ctx.recipe.rebuild.max_age_days, now),
        packages=pending_updates_text(inputs, now),
        current=_pointed_image(ctx, current.images, ctx.names.production) or candidate,
        version=preflight.next_version(ctx, current, BakeOptions()),
        unfinished=latest if latest and latest.state == "running" else None,
    )


def last_rebuild(ctx: Context) -> RebuildRecord | None:
    """Return the record of the latest rebuild, on any machine."""
    return records.load(ctx, ctx.names.rebuild_record, RebuildRecord)


def _pointed_image(ctx: Context, images: tuple[Image, ...], parameter: str) -> Image | None:
    """Return the image in a parameter, if it is available and good."""
    ami = read_pointer(ctx.aws, parameter)
    return next((i for i in images if i.id == ami and i.state == "available" and not i.bad), None)


def _inputs(ctx: Context, candidate: Image | None, current: preflight.BakeInputs) -> RebuildInputs:
    base = next((i for i in current.images if candidate and i.id == candidate.tags.get(SOURCE_AMI)), None)
    changed = {}
    if candidate and base:
        # Fingerprints with the source AMI and commit of the image: new ones are reasons of their own.
        digest = preflight.layer_fingerprint(ctx, "base", base.tags.get(SOURCE_AMI, ""), current.source)
        changed["base"] = digest != base.fingerprint
        source = replace(current.source, commit=candidate.tags.get(COMMIT, ""))
        changed["app"] = preflight.layer_fingerprint(ctx, "app", base.id, source) != candidate.fingerprint
    return RebuildInputs(
        candidate=candidate,
        base=base,
        source_ami=current.source_ami,
        commit=current.source.commit,
        recipe=changed,
        pending=pending_updates(ctx, candidate) if candidate else None,
    )


# The package lists are downloaded to a temporary folder, so that the instance is not changed.
_COMMANDS = {
    "apt": """\
set -eu
lists=$(mktemp -d)
trap 'rm -rf "$lists"' EXIT
apt-get -qq -o Dir::State::Lists="$lists" -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache= update >&2
apt-get -qq -s -o Dir::State::Lists="$lists" -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache= -o Debug::NoLocking=1 \\
  dist-upgrade | awk '$1 == "Inst" && $3 ~ /^\\[/ { print $2 }'
""",
    "dnf": """\
set -eu
cache=$(mktemp -d)
trap 'rm -rf "$cache"' EXIT
code=0
dnf -q --setopt=cachedir="$cache" check-update >"$cache/updates" || code=$?
[ "$code" -eq 0 ] || [ "$code" -eq 100 ]
awk 'NF == 3 && $1 ~ /\\./ { print $1 }' "$cache/updates"
""",
}


def pending_updates(ctx: Context, image: Image) -> PendingUpdates | None:
    """Query an instance of this image that is in service, through Run Command.

    Returns:
        Its pending updates; None if there is no such instance, the recipe disables Run Command, or the command failed.
    """
    if not ctx.recipe.fleet.run_command:
        return None
    group = describe.describe_fleet(ctx).group
    serving = [m for m in group.members if m.serving and m.image == image.id] if group else []
    for member in serving[:1]:
        result = run_command.run(ctx.aws, ctx.clock, member.id, _COMMANDS[ctx.family.packages], timeout=120)
        if result is not None and result.code == 0:
            return PendingUpdates(member.id, tuple(result.stdout.split()))
        ctx.progress.info(f"the pending updates of {member.id} could not be queried")
    return None
