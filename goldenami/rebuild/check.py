"""Whether a rebuild is due: read what there is and what could be, and decide; nothing is changed."""

from __future__ import annotations

from dataclasses import replace

from goldenami.aws import parameters, run_command
from goldenami.bake import model as bake_model
from goldenami.bake import preflight
from goldenami.context import Context
from goldenami.infra import describe
from goldenami.model import image as model_image
from goldenami.model.image import Image
from goldenami.rebuild.plan import PendingUpdates, RebuildInputs, package_reasons, rebuild_reasons
from goldenami.rebuild.record_model import RebuildCheck, RebuildRecord
from goldenami.state import records


def check(ctx: Context) -> RebuildCheck:
    """Read and decide; nothing is changed."""
    known = preflight.preflight(ctx)
    candidate = _production_image(ctx, known.images, ctx.candidate)
    stock = _inputs(ctx, candidate, known)
    now = ctx.clock.now()
    latest = last_rebuild(ctx)
    return RebuildCheck(
        inputs=stock,
        reasons=rebuild_reasons(stock, ctx.recipe.rebuild.max_age_days, now),
        packages=package_reasons(stock, now),
        current=_production_image(ctx, known.images, ctx.names.production) or candidate,
        version=preflight.next_version(ctx, known, bake_model.BakeOptions()),
        unfinished=latest if latest and latest.state == "running" else None,
    )


def last_rebuild(ctx: Context) -> RebuildRecord | None:
    """How the latest rebuild went, wherever it ran."""
    return records.load(ctx, ctx.names.rebuild_record, RebuildRecord)


def _production_image(ctx: Context, known: tuple[Image, ...], parameter: str) -> Image | None:
    """The image that a pointer names, where it is still there and good."""
    pointer = parameters.get(ctx.aws, parameter)
    found = [image for image in known if pointer and image.id == pointer.value]
    return found[0] if found and found[0].state == "available" and not found[0].bad else None


def _inputs(ctx: Context, candidate: Image | None, known: preflight.BakeInputs) -> RebuildInputs:
    base = next((i for i in known.images if candidate and i.id == candidate.tags.get(model_image.SOURCE_AMI)), None)
    differs = {}
    if candidate and base:
        # On what each was made from: a new source AMI or commit is a reason of its own.
        before = preflight.layer_fingerprint(ctx, "base", base.tags.get(model_image.SOURCE_AMI, ""), known.source)
        differs["base"] = before != base.fingerprint
        app = replace(known.source, commit=candidate.tags.get(model_image.COMMIT, ""))
        before = preflight.layer_fingerprint(ctx, "app", base.id, app)
        differs["app"] = before != candidate.fingerprint
    return RebuildInputs(
        candidate=candidate,
        base=base,
        source_ami=known.source_ami,
        commit=known.source.commit,
        recipe=differs,
        pending=pending_updates(ctx, candidate) if candidate else None,
    )


# The package lists go to a folder of their own, which is removed again.
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
    """Ask a serving instance of this image through Run Command.

    Returns:
        What it says; None where there is no such instance, Run Command is not wanted by the recipe, or the answer is none.
    """
    if not ctx.recipe.fleet.run_command:
        return None
    group = describe.describe_fleet(ctx).group
    serving = [m for m in group.members if m.serving and m.image == image.id] if group else []
    for member in serving[:1]:
        ran = run_command.run(ctx.aws, ctx.clock, member.id, _COMMANDS[ctx.family.packages], timeout=120)
        if ran is not None and ran.code == 0:
            return PendingUpdates(member.id, tuple(ran.stdout.split()))
        ctx.progress.info(f"{member.id} could not say which updates are waiting")
    return None
