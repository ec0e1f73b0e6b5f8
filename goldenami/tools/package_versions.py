"""Which of two package versions is the older one, as the distribution's own tool says.

Sources: dpkg(1), --compare-versions; https://rpm.org/docs/latest/manual/lua.html (rpm.vercmp compares whole versions)
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from goldenami.errors import ToolError
from goldenami.tools import process


def version_comparison(packages: str) -> Callable[[str, str], int]:
    """A comparison of two versions (below, at or above zero) for `apt` or `dnf`, whose program must be on this machine.

    Raises:
        ToolError: It is not.
    """
    tool, compare = ("dpkg", _dpkg) if packages == "apt" else ("rpm", _rpm)
    if not process.which(tool):
        raise ToolError(
            f"{tool} is needed to compare package versions", next=f"install {tool}, or leave out --advisories"
        )
    return compare


@cache
def _dpkg(a: str, b: str) -> int:
    if a == b:
        return 0
    for word, answer in (("lt", -1), ("gt", 1)):
        if process.run(["dpkg", "--compare-versions", a, word, b]).code == 0:
            return answer
    return 0


@cache
def _rpm(a: str, b: str) -> int:
    # The versions go in as definitions, which are not evaluated, and not into the script itself.
    argv = ["rpm", f"--define=golden_a {a}", f"--define=golden_b {b}"]
    script = '%{lua:print(rpm.vercmp(rpm.expand("%{golden_a}"), rpm.expand("%{golden_b}")))}'
    done = process.run([*argv, "--eval", script])
    if done.code or not done.stdout.strip().lstrip("-").isdigit():
        raise ToolError(f"rpm could not compare {a} and {b}: {(done.stderr or done.stdout).strip()}")
    return int(done.stdout)
