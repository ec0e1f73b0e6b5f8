"""Fixtures of the end-to-end tests: one workspace and one local cloud, whose base layer is baked once."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e import workspace
from tests.e2e.service import FAST_SETTINGS, Service
from tests.e2e.workspace import Workspace


@pytest.fixture(scope="session")
def cloud_state() -> Iterator[Path]:
    """State folder of the cloud; fails if the cloud leaves resources on this machine."""
    state = Path(tempfile.mkdtemp(prefix="goldenami-e2e-"))
    yield state
    owner = Workspace(workspace.ROOT, state)
    owner.invoke("local.down")
    leftovers = owner.host_leftovers()
    shutil.rmtree(state)
    assert not leftovers, leftovers


@pytest.fixture(scope="session")
def ctx(cloud_state: Path, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Clean copy of the checkout with an empty state folder."""
    return Workspace(workspace.checkout(tmp_path_factory.mktemp("checkout")), cloud_state)


@pytest.fixture(scope="session")
def baked(ctx: Workspace) -> str:
    """AMI id of the session's first bake, with the unchanged recipe and without a base layer."""
    return ctx.ok("bake").strip()


@pytest.fixture
def tiny(ctx: Workspace, baked: str, tmp_path: Path) -> Iterator[Workspace]:
    """Another checkout on the same cloud with an application that builds in a second; the base layer exists."""
    other = workspace.copy_checkout(ctx, tmp_path / "tiny")
    # Each test has a different source, so that it does not reuse another test's image.
    workspace.use_tiny_app(other, str(tmp_path))
    existing = {image["id"] for image in ctx.images()}
    yield other
    for image in ctx.images():  # each has more than a gigabyte; `ctx`, because a test may have broken its own recipe
        if image["id"] not in existing:
            ctx.client("ec2").deregister_image(ImageId=image["id"], DeleteAssociatedSnapshots=True)


@pytest.fixture(scope="module")
def service(ctx: Workspace, baked: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """Fleet of one instance that serves the tiny application through its load balancer."""
    other = workspace.copy_checkout(ctx, tmp_path_factory.mktemp("service") / "tiny")
    workspace.use_tiny_app(other, "promote")
    for old, new in FAST_SETTINGS.items():
        other.edit("golden.toml", old, new)
    other.ok("bake")
    address = other.ok("fleet.create").strip()
    found = Service(other, "", address.removeprefix("http://"))
    found.good = found.production_ami()
    yield found
    other.ok("fleet.destroy", "--yes")
    found.clean_up()
    assert other.leftovers() == []
