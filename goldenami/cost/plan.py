"""Estimate the monthly cost of a recipe's fleet, with and without Docker, and the cost of operations."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from goldenami.model.prices import HOURS, Prices
from goldenami.model.resources import DbInstance
from goldenami.recipe.recipe import Recipe

_SIZES = ("nano", "micro", "small", "medium", "large", "xlarge", "2xlarge", "4xlarge")
_NO_PRICE = "not counted: its price is unknown"


@dataclass(frozen=True)
class CostItem:
    """An item of the monthly cost.

    Attributes:
        count: Number of units.
        each: Monthly price of a unit, in US dollars.
        note: What the item excludes or assumes.
    """

    what: str
    count: float
    each: float
    note: str = ""

    @property
    def month(self) -> float:
        """Monthly price."""
        return self.count * self.each


@dataclass(frozen=True)
class CostComparison:
    """Cost of the same service with golden images, and with Docker on the next larger instance type."""

    images: tuple[CostItem, ...]
    docker: tuple[CostItem, ...]

    @property
    def saved(self) -> float:
        """Monthly saving with golden images; negative if they cost more."""
        return total(self.docker) - total(self.images)


@dataclass(frozen=True)
class Operation:
    """Duration and cost of a kind of operation.

    Attributes:
        times: Number of recorded operations.
        minutes: Mean duration of the instances that ran for it, in minutes.
        cost: Mean cost, in US dollars.
        what: What is included.
    """

    kind: str
    times: int
    minutes: float
    cost: float
    what: str


def total(items: Iterable[CostItem]) -> float:
    """Return the total monthly price."""
    return sum(item.month for item in items)


def next_size(kind: str) -> str:
    """Return the next larger instance type of a family (t3.small for t3.micro), or the same if it is unknown."""
    family, _, size = kind.partition(".")
    if size not in _SIZES[:-1]:
        return kind
    return f"{family}.{_SIZES[_SIZES.index(size) + 1]}"


def compare(recipe: Recipe, prices: Prices, server: DbInstance | None = None) -> CostComparison | None:
    """Compare the cost with and without Docker, whose daemon takes about 100 MB of memory and so a larger instance type.

    Args:
        recipe: The recipe of the fleet.
        prices: Prices of the region.
        server: The fleet's DB instance, if it has one.

    Returns:
        The comparison; None if the price of an instance type is unknown.
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
    """Return the items of a DB instance; with Multi-AZ, each counts twice."""
    hour, zones = prices.databases.get(server.instance_class, 0.0), 2 if server.multi_az else 1
    disk = prices.database_gp3 if server.storage_type == "gp3" else 0.0
    note = "with a standby in a second zone" if server.multi_az else ""
    return [
        CostItem(f"{server.instance_class} RDS server", zones, HOURS * hour, note if hour else _NO_PRICE),
        CostItem(
            f"{server.storage} GiB {server.storage_type} of {server.name}",
            zones,
            server.storage * disk,
            "without backups beyond its size" if disk else _NO_PRICE,
        ),
    ]


def operations(records: Sequence[Mapping[str, Any]], recipe: Recipe, prices: Prices, builder: str) -> list[Operation]:
    """Return the duration and cost of bakes and promotions, from the phases that their runs recorded.

    A bake runs a builder, and the instance of the boot gate. A promotion runs up to as many additional instances as the fleet
    has. EC2 bills per second, and at least 60 seconds per launch.
    Source: https://aws.amazon.com/ec2/pricing/on-demand/

    Args:
        records: Contents of each run.json.
        recipe: The recipe of the fleet.
        prices: Prices of the region.
        builder: Instance type of the builder.
    """
    build, serve = prices.instance(builder) or 0.0, prices.instance(recipe.instance.type) or 0.0
    gib = recipe.image.root_volume.size_gib * prices.snapshot
    result = []
    for kind, prefixes, hour, what in (
        ("bake", ("bake ", "verify "), build, f"builders; each AMI's snapshot then costs at most ${gib:.2f} a month"),
        ("promotion", ("replacing ",), serve * max(1, recipe.fleet.desired), "additional instances, at most"),
    ):
        durations = [_seconds(record, prefixes) for record in records if record.get("kind", "bake") == kind]
        durations = [seconds for seconds in durations if sum(seconds)]
        if durations:
            billed = [sum(max(60.0, phase) for phase in seconds) / 3600 * hour for seconds in durations]
            minutes, count = sum(map(sum, durations)) / 60, len(durations)
            result.append(Operation(kind, count, minutes / count, sum(billed) / count, what))
    return result


def _seconds(record: Mapping[str, Any], prefixes: tuple[str, ...]) -> list[float]:
    phases = record.get("phases")
    items = phases.items() if isinstance(phases, Mapping) else ()
    return [float(seconds) for name, seconds in items if name.startswith(prefixes)]


@dataclass(frozen=True)
class Cost:
    """Cost of a fleet and of past operations.

    Attributes:
        source: Source of the prices.
        unseen: Why the DB instance is not included, if it is unknown; else empty.
    """

    region: str
    source: str
    comparison: CostComparison
    operations: tuple[Operation, ...]
    unseen: str = ""
