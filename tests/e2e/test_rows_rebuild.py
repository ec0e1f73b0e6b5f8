"""The monthly rebuild goes to the fleet under a writer that never stops: not a row is lost or there twice, killed or not."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.relay import Relay
from tests.e2e.service import Service
from tests.e2e.test_promote_crash import killed
from tests.e2e.test_rows import (
    CALLS,
    kept,  # noqa: F401 - a fixture
    settled,
)
from tests.e2e.workspace import Workspace, colleague
from tests.e2e.writer import Writer

pytestmark = [pytest.mark.e2e, pytest.mark.data, pytest.mark.long]


@pytest.fixture
def monthly(kept: Service, tmp_path: Path) -> Iterator[tuple[Workspace, Relay]]:
    """A checkout that promotes what it rebuilds, with a change of the application; its calls go through a relay."""
    info = kept.ctx.cloud()
    with Relay(info["endpoint"]) as relay:
        other = colleague(kept.ctx, tmp_path / "monthly")
        other.edit("golden.toml", "[targets.local]", f'[targets.local]\nendpoint_url = "{relay.endpoint}"')
        other.edit("golden.toml", "[retention]", "[rebuild]\nauto_promote = true\n\n[retention]")
        other.env |= {"AWS_ACCESS_KEY_ID": info["access_key"], "AWS_SECRET_ACCESS_KEY": info["secret_key"]}
        other.env |= {"AWS_EC2_METADATA_DISABLED": "true"}
        (other.root / "examples/guestbook/changed.txt").write_text(str(time.monotonic_ns()))
        before = {image["id"] for image in kept.ctx.images()}
        yield other, relay
        serving = kept.pointer()
        kept.made += [image["id"] for image in kept.ctx.images() if image["id"] not in before]
        assert serving in kept.made


@pytest.mark.parametrize("call", ["", "fenced", "opened"])
def test_every_row_is_there_after_a_month(kept: Service, monthly: tuple[Workspace, Relay], call: str) -> None:
    ctx, relay = monthly
    with Writer(kept.address) as writer:
        if call:
            killed(ctx, relay, CALLS[call], "rebuild", "--if-needed", patience=480)
        done = json.loads(ctx.ok("rebuild", "--if-needed", "--json"))
    assert (done["state"], done["ami"]) == ("finished", kept.pointer())
    settled(kept, done["ami"])
    writer.check()
    print(f"{len(writer.acknowledged)} rows, nobody could write for at most {writer.longest:.1f} s")
