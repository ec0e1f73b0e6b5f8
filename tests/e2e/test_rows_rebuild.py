"""Monthly rebuilds that are promoted under a continuous writer: no row is lost or duplicated, also after kills."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.relay import Relay
from tests.e2e.service import Service
from tests.e2e.test_promote_crash import run_and_kill
from tests.e2e.test_rows import CALLS, assert_idle, guestbook as guestbook
from tests.e2e.workspace import Workspace, copy_checkout
from tests.e2e.writer import Writer

pytestmark = [pytest.mark.e2e, pytest.mark.data, pytest.mark.long]


@pytest.fixture
def monthly(guestbook: Service, tmp_path: Path) -> Iterator[tuple[Workspace, Relay]]:
    """Checkout with a changed application that promotes its rebuilds; its API calls go through the relay."""
    info = guestbook.ctx.cloud()
    with Relay(info["endpoint"], (info["access_key"], info["secret_key"])) as relay:
        other = copy_checkout(guestbook.ctx, tmp_path / "monthly")
        other.edit("golden.toml", "[targets.local]", f'[targets.local]\nendpoint_url = "{relay.endpoint}"')
        other.edit("golden.toml", "[retention]", "[rebuild]\nauto_promote = true\n\n[retention]")
        other.env |= {"AWS_ACCESS_KEY_ID": info["access_key"], "AWS_SECRET_ACCESS_KEY": info["secret_key"]}
        other.env |= {"AWS_EC2_METADATA_DISABLED": "true"}
        (other.root / "examples/guestbook/changed.txt").write_text(str(time.monotonic_ns()))
        before = {image["id"] for image in guestbook.ctx.images()}
        yield other, relay
        serving = guestbook.production_ami()
        guestbook.made += [image["id"] for image in guestbook.ctx.images() if image["id"] not in before]
        assert serving in guestbook.made


@pytest.mark.parametrize("call", ["", "fenced", "opened"])
def test_rebuild_keeps_every_row(guestbook: Service, monthly: tuple[Workspace, Relay], call: str) -> None:
    ctx, relay = monthly
    with Writer(guestbook.address) as writer:
        if call:
            run_and_kill(ctx, relay, CALLS[call], "rebuild", "--if-needed", patience=480)
        done = json.loads(ctx.ok("rebuild", "--if-needed", "--json"))
    assert (done["state"], done["ami"]) == ("finished", guestbook.production_ami())
    assert_idle(guestbook, done["ami"])
    writer.check()
    print(f"{len(writer.acknowledged)} rows, longest write downtime {writer.longest:.1f} s")
