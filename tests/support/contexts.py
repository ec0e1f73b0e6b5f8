"""A checkout for tests: a fake account in memory, a fake Packer, a scripted clock, and captured output."""

from __future__ import annotations

import copy
import io
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import hcl2
import pytest

from goldenami.context import Context
from goldenami.model import image as model_image
from goldenami.recipe.parse import parse
from goldenami.tools.progress import Progress
from tests.support import recipes
from tests.support.clock import ScriptedClock
from tests.support.fake_account import Account
from tests.support.fake_packer import FakePacker

_loads = hcl2.loads
_parsed: dict[tuple[str, str], Any] = {}


def _parsed_once(text: str, **given: Any) -> Any:
    """Cache hcl2.loads: it takes a tenth of a second, and each bake renders the same texts."""
    key = (text, repr(given))
    if key not in _parsed:
        _parsed[key] = _loads(text, **given)
    return copy.deepcopy(_parsed[key])


# Output of the builder.
IMAGE_CHECKS = [
    "1,,ui,message,    amazon-ebs.golden: CHECK health ok HTTP 200",
    "1,,ui,message,    amazon-ebs.golden: CHECK git ok 2.39",
]


class Checkout:
    """A checkout with an application, and the account, Packer and clock that its contexts use."""

    def __init__(self, root: Path, patch: pytest.MonkeyPatch) -> None:
        self.root = root / "checkout"
        self.root.mkdir()
        (self.root / "app").mkdir()
        for name, text in {"main.go": "package main\n", "go.mod": "module app\n", "distro.mod": "module app\n"}.items():
            (self.root / "app" / name).write_text(text)
        self.account = Account(root / "account")
        self.packer = FakePacker(root / "bin")
        self.packer.configure(account=str(root / "account"), image=True, lines=IMAGE_CHECKS)
        # The real tools of a bake, without shellcheck: the scripts have tests of their own.
        for tool in ("setpriv", "git", "sh", "cat", "env", "ls", "mktemp", "wc", "xargs", "printf"):
            if found := shutil.which(tool):
                (root / "bin" / tool).symlink_to(found)
        patch.setenv("PATH", str(root / "bin"))
        patch.setattr(hcl2, "loads", _parsed_once)
        self.clock = ScriptedClock()
        self.output = io.StringIO()

    def ctx(self, changes: Mapping[str, Any] | None = None) -> Context:
        """Return a context for a recipe with these keys changed."""
        given = {"app.source": "app", "targets.local.ssh_cidrs": ["127.0.0.1/32"], **(changes or {})}
        recipe = parse(recipes.text(given), self.root / "golden.toml")
        progress = Progress(self.clock, self.output)
        return Context(self.root, recipe, recipe.target("local"), self.account.aws, self.clock, progress)

    def copy_from(self, other: Checkout) -> None:
        """Copy the images, parameters and runs of another checkout, which is faster than baking."""
        for image in other.account.folder.glob("*.json"):
            shutil.copy(image, self.account.folder)
        self.account.parameters = copy.deepcopy(other.account.parameters)
        self.account.machines = copy.deepcopy(other.account.machines)
        self.account.roles = set(other.account.roles)
        shutil.copytree(other.root / "build", self.root / "build")

    def built_layers(self) -> list[str]:
        """Return the layers that Packer built, in order."""
        return [Path(call["cwd"]).name for call in self.packer.calls()]

    def version_statuses(self) -> dict[str, str]:
        """Return the status of each version: failed, verified or unverified."""

        def status(tags: Mapping[str, str]) -> str:
            if model_image.FAILED in tags:
                return "failed"
            return "verified" if model_image.VERIFIED in tags else "unverified"

        images = self.account.images().values()
        return {i["Name"].rpartition("-")[2]: status(i["Tags"]) for i in images if "-golden-" in i["Name"]}

    def candidate(self) -> str:
        """Return the name of the candidate, or empty."""
        values = self.account.parameters.get("/goldenami/guestbook/candidate", [""])
        return str(self.account.images().get(values[-1], {}).get("Name", ""))
