"""One workspace and one cloud for the end-to-end tests; its base layer is baked once."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e import workspace
from tests.e2e.service import QUICK, Service
from tests.e2e.workspace import Workspace


@pytest.fixture(scope="session")
def cloud_state() -> Iterator[Path]:
    """The state folder; at the end nothing of the cloud may be left on this machine."""
    state = Path(tempfile.mkdtemp(prefix="goldenami-e2e-"))
    yield state
    keeper = Workspace(workspace.ROOT, state)
    keeper.invoke("local.down")
    left = keeper.on_this_machine()
    shutil.rmtree(state)
    assert not left, left


@pytest.fixture(scope="session")
def ctx(cloud_state: Path, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A clean copy whose state folder is empty at first."""
    return Workspace(workspace.checkout(tmp_path_factory.mktemp("shop")), cloud_state)


@pytest.fixture(scope="session")
def baked(ctx: Workspace) -> str:
    """The AMI of the session's first bake: the recipe as it stands, from nothing."""
    printed = ctx.ok("bake")
    return printed.strip()


@pytest.fixture
def tiny(ctx: Workspace, baked: str, tmp_path: Path) -> Iterator[Workspace]:
    """Another checkout on the same cloud, with an application that builds in a second; its base layer is there."""
    other = workspace.colleague(ctx, tmp_path / "tiny")
    # A source of its own for each test, so that no test finds the image of another.
    workspace.use_tiny_app(other, str(tmp_path))
    kept = {image["id"] for image in ctx.images()}
    yield other
    for image in ctx.images():  # each is more than a gigabyte; asked of `shop`, as a test may have broken its recipe
        if image["id"] not in kept:
            ctx.client("ec2").deregister_image(ImageId=image["id"], DeleteAssociatedSnapshots=True)


@pytest.fixture(scope="module")
def service(ctx: Workspace, baked: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A fleet of one that serves the tiny application through its balancer."""
    other = workspace.colleague(ctx, tmp_path_factory.mktemp("service") / "tiny")
    workspace.use_tiny_app(other, "promote")
    for old, new in QUICK.items():
        other.edit("golden.toml", old, new)
    other.ok("bake")
    address = other.ok("fleet.create").strip()
    found = Service(other, "", address.removeprefix("http://"))
    found.good = found.pointer()
    yield found
    other.ok("fleet.destroy", "--yes")
    found.forget()
    assert other.leftovers() == []
