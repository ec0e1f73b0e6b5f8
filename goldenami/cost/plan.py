"""What a recipe's fleet costs in a month, with Docker and without, and what operations cost: a calculation, no bill."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from goldenami.model.prices import HOURS, Prices
from goldenami.model.resources import DbInstance
from goldenami.recipe.recipe import Recipe

_SIZES = ("nano", "micro", "small", "medium", "large", "xlarge", "2xlarge", "4xlarge")


@dataclass(frozen=True)
class CostItem:
    """A line of the month.

    Attributes:
        count: How many units.
        each: The price of a unit for the month.
        note: What the line leaves out or takes for granted.
    """

    what: str
    count: float
    each: float
    note: str = ""

    @property
    def month(self) -> float:
        """The month's price."""
        return self.count * self.each


@dataclass(frozen=True)
class CostComparison:
    """The same service with golden images, and with Docker on the next size of instance."""

    images: tuple[CostItem, ...]
    docker: tuple[CostItem, ...]

    @property
    def saved(self) -> float:
        """What golden images save in a month; negative when they cost more."""
        return total(self.docker) - total(self.images)


@dataclass(frozen=True)
class Operation:
    """What a kind of operation took and cost.

    Attributes:
        times: How many of them the records hold.
        minutes: Of machines that ran for it alone, in the mean.
        cost: In the mean.
    """

    kind: str
    times: int
    minutes: float
    cost: float
    what: str


def total(items: Iterable[CostItem]) -> float:
    """The sum."""
    return sum(item.month for item in items)


def next_size(kind: str) -> str:
    """The next larger instance type of a family: t3.small for t3.micro; itself when there is none that we know."""
    family, _, size = kind.partition(".")
    if size not in _SIZES[:-1]:
        return kind
    return f"{family}.{_SIZES[_SIZES.index(size) + 1]}"


def compare(recipe: Recipe, prices: Prices, server: DbInstance | None = None) -> CostComparison | None:
    """The team's comparison: without Docker the smaller instance is enough (about 100 MB of memory go to Docker's daemon).

    Args:
        recipe: What the fleet is.
        prices: Of the region.
        server: The server elsewhere that was made for it, if there is one.

    Returns:
        None where an instance type has no price.
    """
    kind, larger = recipe.instance.type, next_size(recipe.instance.type)
    small, large = prices.instance(kind), prices.instance(larger)
    if small is None or large is None:
        return None
    fleet, gib = recipe.fleet, recipe.image.root_volume.size_gib
    zones = len(fleet.subnet_ids or fleet.zones)
    common = [CostItem(f"{gib} GiB gp3 root volume", fleet.desired, gib * prices.gp3)]
    if recipe.database.on_volume:
        data = recipe.database.volume.size_gib
        common.append(CostItem(f"{data} GiB data volume", 1, data * prices.gp3, "without its snapshots"))
    if server is not None:
        common += _database(server, prices)
    addresses = fleet.desired
    if fleet.load_balancer:
        common.append(
            CostItem(
                "Application Load Balancer", 1, HOURS * prices.load_balancer, "without its traffic's capacity units"
            )
        )
        addresses += zones
    common.append(CostItem("public IPv4 address", addresses, HOURS * prices.address))
    kept = recipe.retention.verified + 1
    snapshots = CostItem(
        "snapshot of an image kept",
        kept,
        gib * prices.snapshot,
        "at most: whole disks; EBS stores blocks in use, and of each further snapshot what changed",
    )
    return CostComparison(
        images=(CostItem(kind, fleet.desired, HOURS * small), *common, snapshots),
        docker=(CostItem(larger, fleet.desired, HOURS * large), *common),
    )


def _database(server: DbInstance, prices: Prices) -> list[CostItem]:
    """A server elsewhere: in two zones, each part of it twice."""
    hour, zones = prices.databases.get(server.instance_class, 0.0), 2 if server.multi_az else 1
    disk = prices.database_gp3 if server.storage_type == "gp3" else 0.0
    note = "the second one stands by" if server.multi_az else ""
    return [
        CostItem(
            f"{server.instance_class} RDS server",
            zones,
            HOURS * hour,
            note if hour else "not counted: no price of it is known",
        ),
        CostItem(
            f"{server.storage} GiB {server.storage_type} of {server.name}",
            zones,
            server.storage * disk,
            "without backups beyond its size" if disk else "not counted: no price of it is known",
        ),
    ]


def operations(records: Sequence[Mapping[str, Any]], recipe: Recipe, prices: Prices, builder: str) -> list[Operation]:
    """What bakes and promotions took and cost, from the runs' own records of their phases.

    A builder, and the instance of the second gate, run for a bake alone. While a fleet is renewed, up to as many instances
    as it has run beside it. EC2 bills seconds, at least 60 a launch.
    Source: https://aws.amazon.com/ec2/pricing/on-demand/

    Args:
        records: What each run.json holds.
        recipe: For sizes and numbers.
        prices: Of the region.
        builder: The instance type that bakes.
    """
    build, serve = prices.instance(builder) or 0.0, prices.instance(recipe.instance.type) or 0.0
    gib = recipe.image.root_volume.size_gib * prices.snapshot
    found = []
    for kind, prefixes, hour, what in (
        ("bake", ("bake ", "verify "), build, f"builders; each AMI's snapshot then costs at most ${gib:.2f} a month"),
        ("promotion", ("renewing ",), serve * max(1, recipe.fleet.desired), "instances beside the fleet, at most"),
    ):
        took = [_seconds(record, prefixes) for record in records if record.get("kind", "bake") == kind]
        ran = [seconds for seconds in took if sum(seconds)]
        if ran:
            billed = [sum(max(60.0, part) for part in seconds) / 3600 * hour for seconds in ran]
            minutes = sum(sum(seconds) for seconds in ran) / 60
            found.append(Operation(kind, len(ran), minutes / len(ran), sum(billed) / len(ran), what))
    return found


def _seconds(record: Mapping[str, Any], prefixes: tuple[str, ...]) -> list[float]:
    phases = record.get("phases")
    found = phases.items() if isinstance(phases, Mapping) else ()
    return [float(seconds) for name, seconds in found if name.startswith(prefixes)]


@dataclass(frozen=True)
class Cost:
    """The calculation.

    Attributes:
        source: Where the prices are from, in words.
        unseen: Why it is not known whether a database server belongs to it; empty where it is.
    """

    region: str
    source: str
    comparison: CostComparison
    operations: tuple[Operation, ...]
    unseen: str = ""
