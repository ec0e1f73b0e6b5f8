"""Data moves to a volume and from it, from and to either other home, under a writer that never stops; killed or not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from localcloud.rds import postgres
from tests.e2e import test_rows
from tests.e2e.relay import Relay
from tests.e2e.service import Service
from tests.e2e.test_migrate import (
    CALLS,
    Homes,
    homes,  # noqa: F401 - a fixture
    settled,
)
from tests.e2e.test_promote_crash import killed
from tests.e2e.workspace import Workspace, colleague, relayed_through
from tests.e2e.writer import Writer

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.data,
    pytest.mark.long,
    pytest.mark.skipif(postgres.unavailable_reason() is not None, reason=str(postgres.unavailable_reason())),
]


@pytest.fixture(scope="module")
def moved(homes: Homes, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A checkout whose data is to live on a volume, with an image of that kind."""
    ctx = colleague(homes.here.ctx, tmp_path_factory.mktemp("volume") / "moved")
    ctx.edit("golden.toml", 'mode = "instance"', 'mode = "volume"')
    ctx.edit("golden.toml", "[[parameters]]", "[database.volume]\nsize_gib = 1\n\n[[parameters]]")
    service = Service(ctx, ctx.ok("bake").strip(), homes.here.address)
    yield service
    homes.there.made += [*service.made, service.good]
    homes.there.machines |= {f"with a volume: {kind}": machine for kind, machine in service.machines.items()}


def volumes(service: Service) -> list[Any]:
    """The volumes that anybody takes for the truth."""
    tagged = [{"Name": "tag:goldenami:data", "Values": ["guestbook"]}]
    found: list[Any] = service.client("ec2").describe_volumes(Filters=tagged)["Volumes"]
    return found


def on_volume(service: Service) -> str:
    """The one instance serves with the volume, whose id this is."""
    test_rows.settled(service, service.good, suspended=())
    (found,) = volumes(service)
    (member,) = service.status()["instances"]
    assert [(a["InstanceId"], a["State"]) for a in found["Attachments"]] == [(member["id"], "attached")]
    return str(found["VolumeId"])


def free(service: Service, volume: str) -> None:
    """Nobody takes it for the truth any more; its owner deletes it."""
    assert volumes(service) == []
    service.client("ec2").delete_volume(VolumeId=volume)


@pytest.fixture
def at_home(homes: Homes, moved: Service) -> Homes:
    """The rows are on the instance, and on no volume."""
    homes.back()
    test_rows.settled(homes.here, homes.here.good)
    for left in volumes(moved):
        moved.client("ec2").delete_volume(VolumeId=left["VolumeId"])
    return homes


@pytest.fixture
def elsewhere(at_home: Homes) -> Homes:
    """The rows are on the server."""
    at_home.there.ctx.ok(*at_home.migrate, "--ami", at_home.there.good)
    settled(at_home, at_home.there.good)
    return at_home


def test_rows_move_to_a_volume_and_from_it(at_home: Homes, moved: Service) -> None:
    homes, ctx, ill = at_home, moved.ctx, moved.image("dies later")
    with Writer(moved.address) as writer:
        done = ctx.invoke("db.migrate", "--to", "volume", "--ami", ill, "--watch", "40s")
        assert done.returncode == 5, done.stderr[-3000:]
        test_rows.settled(homes.here, homes.here.good)
        assert [v["State"] for v in volumes(moved)] == ["available"], "it stays, with nothing on it that counts"
        ctx.ok("db.migrate", "--to", "volume", "--ami", moved.good)
        volume = on_volume(moved)
        homes.here.ctx.ok("db.migrate", "--to", "instance", "--ami", homes.here.good)
    test_rows.settled(homes.here, homes.here.good)
    writer.check()
    print(f"{len(writer.acknowledged)} rows, nobody could write for at most {writer.longest:.1f} s")
    free(moved, volume)


def test_rows_move_from_a_server_to_a_volume_and_back_to_it(elsewhere: Homes, moved: Service) -> None:
    homes, ctx = elsewhere, moved.ctx
    ill, bad = moved.image("dies later"), homes.there.image("dies later")
    with Writer(moved.address) as writer:
        done = ctx.invoke("db.migrate", "--to", "volume", "--ami", ill, "--watch", "40s")
        assert done.returncode == 5, done.stderr[-3000:]
        assert "The previous instance is in service with all data" in done.stderr
        settled(homes, homes.there.good)
        ctx.ok("db.migrate", "--to", "volume", "--ami", moved.good)
        volume = on_volume(moved)
        done = homes.there.ctx.invoke(*homes.migrate, "--ami", bad, "--watch", "40s")
        assert done.returncode == 5, done.stderr[-3000:]
        assert "The previous instance is in service with all data" in done.stderr
        assert on_volume(moved) == volume
        homes.there.ctx.ok(*homes.migrate, "--ami", homes.there.good)
    settled(homes, homes.there.good)
    writer.check()
    print(f"{len(writer.acknowledged)} rows, nobody could write for at most {writer.longest:.1f} s")
    free(moved, volume)


WAYS: dict[str, Callable[[str, str], bool]] = {
    **{name: call for name, call in CALLS.items() if name != "host"},
    "volume": lambda name, _: name == "CreateVolume",
    "taken": lambda name, _: name == "AttachVolume",
}


@pytest.fixture
def relayed(moved: Service, tmp_path: Path) -> Iterator[tuple[Workspace, Relay]]:
    """Another checkout whose calls all go through a relay."""
    with relayed_through(moved.ctx, tmp_path / "relayed") as both:
        yield both


@pytest.mark.parametrize("call", WAYS)
def test_killed_on_the_way_to_a_volume_the_same_command_finishes_it(
    at_home: Homes, moved: Service, relayed: tuple[Workspace, Relay], call: str
) -> None:
    homes, (other, relay) = at_home, relayed
    migrate = ("db.migrate", "--to", "volume", "--ami", moved.good)
    with Writer(moved.address) as writer:
        killed(other, relay, WAYS[call], *migrate)
        other.ok(*migrate)
        volume = on_volume(moved)
        homes.here.ctx.ok("db.migrate", "--to", "instance", "--ami", homes.here.good)
    test_rows.settled(homes.here, homes.here.good)
    writer.check()
    print(f"{call}: {len(writer.acknowledged)} rows, nobody could write for at most {writer.longest:.1f} s")
    free(moved, volume)


FROM: dict[str, Callable[[str, str], bool]] = {
    **{name: CALLS[name] for name in ("fenced", "restored", "opened", "terminated")},
    "untagged": lambda name, body: name == "DeleteTags" and "goldenami:data" in body,
}


@pytest.mark.parametrize("call", FROM)
def test_killed_between_a_server_and_a_volume_the_same_command_finishes_it(
    elsewhere: Homes, moved: Service, relayed: tuple[Workspace, Relay], tmp_path: Path, call: str
) -> None:
    homes, (other, relay) = elsewhere, relayed
    there = ("db.migrate", "--to", "volume", "--ami", moved.good)
    back = (*homes.migrate, "--ami", homes.there.good)
    with Writer(moved.address) as writer, relayed_through(homes.there.ctx, tmp_path / "there") as (elder, wire):
        if call == "untagged":  # there is no volume yet that could be left
            other.ok(*there)
        else:
            killed(other, relay, FROM[call], *there)
            other.ok(*there)
        volume = on_volume(moved)
        killed(elder, wire, FROM[call], *back)
        elder.ok(*back)
    settled(homes, homes.there.good)
    writer.check()
    print(f"{call}: {len(writer.acknowledged)} rows, nobody could write for at most {writer.longest:.1f} s")
    free(moved, volume)
