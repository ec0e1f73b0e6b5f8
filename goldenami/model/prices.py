"""AWS's prices; prices.toml beside this module has them for two regions, for when the AWS Price List cannot be read."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any

HOURS = 730  # hours in a month, as AWS counts them


@dataclass(frozen=True)
class Prices:
    """Prices of a region in US dollars without tax.

    Attributes:
        instances: Of an hour of each instance type.
        gp3: Of a GB-month of a gp3 volume.
        snapshot: Of a GB-month of a snapshot's data.
        load_balancer: Of an hour of an Application Load Balancer, without the capacity units of its traffic.
        address: Of an hour of a public IPv4 address.
        databases: Of an hour of each DB instance class with PostgreSQL in one zone; two zones cost twice as much.
        database_gp3: Of a GB-month of a DB instance's gp3 storage in one zone; 0 if unknown.
    """

    region: str
    instances: Mapping[str, float]
    gp3: float
    snapshot: float
    load_balancer: float
    address: float
    databases: Mapping[str, float] = field(default_factory=dict)
    database_gp3: float = 0.0

    def instance(self, kind: str) -> float | None:
        """Return the price of an hour of an instance type, or None if it is unknown."""
        return self.instances.get(kind)


@cache
def _table() -> Mapping[str, Any]:
    with Path(__file__).with_name("prices.toml").open("rb") as file:
        return tomllib.load(file)


def as_of() -> date:
    """Return the date of the table's prices."""
    date_of_table: date = _table()["as_of"]
    return date_of_table


def regions() -> frozenset[str]:
    """Return the regions in the table."""
    return frozenset(_table()["regions"])


def for_region(region: str) -> Prices | None:
    """Return the table's prices of a region, or None if it is not in the table."""
    return Prices(region=region, **_table()["regions"][region]) if region in regions() else None
