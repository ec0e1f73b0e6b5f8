"""Which package updates are waiting, as a serving machine of an image says: nothing is installed, no cache is touched."""

from __future__ import annotations

from goldenami.aws import run_command as commands
from goldenami.context import Shop
from goldenami.infra import describe as scenery
from goldenami.model.image import Image
from goldenami.rebuild.plan import Pending

# The package lists go to a folder of their own, which is removed again.
_ASK = {
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


def ask(shop: Shop, image: Image) -> Pending | None:
    """Ask a serving instance of this image through Run Command.

    Returns:
        What it says; None where there is no such instance, Run Command is not wanted by the recipe, or the answer is none.
    """
    if not shop.recipe.fleet.run_command:
        return None
    group = scenery.read(shop).group
    serving = [m for m in group.members if m.serving and m.image == image.id] if group else []
    for member in serving[:1]:
        ran = commands.run(shop.aws, shop.clock, member.id, _ASK[shop.family.packages], timeout=120)
        if ran is not None and ran.code == 0:
            return Pending(member.id, tuple(ran.stdout.split()))
        shop.progress.say(f"{member.id} could not say which updates are waiting")
    return None
