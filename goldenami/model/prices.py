"""What AWS asks for, in US dollars without tax: a small table for where the price list cannot be asked.

On-demand, Linux, shared tenancy. Sources, as of October 2025:
https://aws.amazon.com/ec2/pricing/on-demand/, https://aws.amazon.com/ebs/pricing/,
https://aws.amazon.com/elasticloadbalancing/pricing/, https://aws.amazon.com/vpc/pricing/ (public IPv4 addresses),
https://aws.amazon.com/rds/postgresql/pricing/.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date

AS_OF = date(2025, 10, 1)
HOURS = 730  # hours in a month, as AWS counts them


@dataclass(frozen=True)
class Prices:
    """A region's prices.

    Attributes:
        instances: An hour of an instance, by its type.
        gp3: A GB-month of a gp3 volume.
        snapshot: A GB-month of a snapshot's data.
        balancer: An hour of an Application Load Balancer, without the capacity units that its traffic uses.
        address: An hour of a public IPv4 address.
        databases: An hour of an RDS server with PostgreSQL in one zone, by its class; two zones cost twice that.
        database_gp3: A GB-month of its gp3 storage, likewise; 0 where it is not known.
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
        """An hour of an instance type; None where the table does not know it."""
        return self.instances.get(kind)


TABLE: Mapping[str, Prices] = {
    prices.region: prices
    for prices in (
        Prices(
            region="ap-northeast-2",
            instances={
                **{"t3.nano": 0.0065, "t3.micro": 0.0130, "t3.small": 0.0260, "t3.medium": 0.0520, "t3.large": 0.1040},
                **{
                    "t4g.nano": 0.0052,
                    "t4g.micro": 0.0104,
                    "t4g.small": 0.0208,
                    "t4g.medium": 0.0416,
                    "t4g.large": 0.0832,
                },
            },
            gp3=0.0912,
            snapshot=0.05,
            load_balancer=0.0225,
            address=0.005,
            databases={"db.t4g.micro": 0.025},
            database_gp3=0.131,
        ),
        Prices(
            region="us-east-1",
            instances={
                **{"t3.nano": 0.0052, "t3.micro": 0.0104, "t3.small": 0.0208, "t3.medium": 0.0416, "t3.large": 0.0832},
                **{
                    "t4g.nano": 0.0042,
                    "t4g.micro": 0.0084,
                    "t4g.small": 0.0168,
                    "t4g.medium": 0.0336,
                    "t4g.large": 0.0672,
                },
            },
            gp3=0.08,
            snapshot=0.05,
            load_balancer=0.0225,
            address=0.005,
            databases={
                "db.t4g.micro": 0.016,
                "db.t4g.small": 0.032,
                "db.t4g.medium": 0.065,
                "db.t4g.large": 0.129,
            },
            database_gp3=0.115,
        ),
    )
}


def for_region(region: str) -> Prices | None:
    """The prices of a region; None where the table does not know it."""
    return TABLE.get(region)
