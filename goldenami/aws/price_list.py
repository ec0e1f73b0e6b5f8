"""The AWS Price List: what AWS asks for today in a region.

Source: https://docs.aws.amazon.com/awsaccountbilling/latest/aboutv2/price-changes.html and
https://docs.aws.amazon.com/aws-cost-management/latest/APIReference/API_pricing_GetProducts.html
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from goldenami.aws.session import AwsSession
from goldenami.model.prices import Prices

# The API answers in few regions, and tells of all of them.
HOME = "us-east-1"
_LINUX = {"operatingSystem": "Linux", "tenancy": "Shared", "preInstalledSw": "NA", "capacitystatus": "Used"}


def get_prices(aws: AwsSession, kinds: Iterable[str], databases: Iterable[str] = ()) -> Prices | None:
    """A region's prices, for these instance types, and for these classes of an RDS server as far as the list holds them.

    Returns:
        None when the list does not hold every one of the others.
    """
    there = replace(aws, region=HOME)
    region = {"regionCode": aws.region}
    instances = {
        kind: _price(there, "AmazonEC2", {"instanceType": kind, **_LINUX, **region}, "") for kind in set(kinds)
    }
    storage = {"productFamily": "Storage", "volumeApiName": "gp3", **region}
    gp3 = _price(there, "AmazonEC2", storage, "EBS:VolumeUsage.gp3")
    snapshot = _price(there, "AmazonEC2", {"productFamily": "Storage Snapshot", **region}, "EBS:SnapshotUsage")
    balancer = _price(there, "AWSELB", {"productFamily": "Load Balancer-Application", **region}, "LoadBalancerUsage")
    address = _price(there, "AmazonVPC", {"group": "VPCPublicIPv4Address", **region}, "PublicIPv4:InUseAddress")
    known = {kind: price for kind, price in instances.items() if price}
    if len(known) < len(instances) or not (gp3 and snapshot and balancer and address):
        return None
    servers = {kind: _database(there, region, kind) for kind in set(databases)}
    stored = {"productFamily": "Database Storage", "volumeType": "General Purpose-GP3", "deploymentOption": "Single-AZ"}
    disk = _price(there, "AmazonRDS", {**stored, **region}, "RDS:GP3-Storage") if servers else None
    found = {kind: price for kind, price in servers.items() if price}
    return Prices(aws.region, known, gp3, snapshot, balancer, address, found, disk or 0.0)


def _database(aws: AwsSession, region: Mapping[str, str], kind: str) -> float | None:
    wanted = {"instanceType": kind, "databaseEngine": "PostgreSQL", "deploymentOption": "Single-AZ", **region}
    return _price(aws, "AmazonRDS", wanted, f"InstanceUsage:{kind}")


def _price(aws: AwsSession, service: str, wanted: Mapping[str, str], usage: str) -> float | None:
    """The on-demand price in dollars of the one product that matches; None when none, or more than one price, does."""
    filters: Any = [{"Type": "TERM_MATCH", "Field": field, "Value": value} for field, value in wanted.items()]
    pages = aws.client("pricing").get_paginator("get_products").paginate(ServiceCode=service, Filters=filters)
    found = set()
    for page in pages:
        for text in page["PriceList"]:
            product = json.loads(text)
            if product["product"]["attributes"].get("usagetype", "").endswith(usage):
                found |= set(_dollars(product))
    return found.pop() if len(found) == 1 else None


def _dollars(product: Mapping[str, Any]) -> Iterable[float]:
    for term in product.get("terms", {}).get("OnDemand", {}).values():
        for dimension in term["priceDimensions"].values():
            amount = float(dimension["pricePerUnit"].get("USD", 0))
            if amount:
                yield amount
