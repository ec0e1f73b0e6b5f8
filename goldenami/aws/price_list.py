"""The AWS Price List: current on-demand prices of a region.

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

API_REGION = "us-east-1"  # one of the few regions that have the API; it covers all regions
_LINUX = {"operatingSystem": "Linux", "tenancy": "Shared", "preInstalledSw": "NA", "capacitystatus": "Used"}
_DATABASE = {"deploymentOption": "Single-AZ"}


def get_prices(aws: AwsSession, kinds: Iterable[str], databases: Iterable[str] = ()) -> Prices | None:
    """Return the region's prices for instance types and DB instance classes.

    None if the price list lacks any that is not a database's; a DB instance class without a price is left out.
    """
    api, region = replace(aws, region=API_REGION), {"regionCode": aws.region}

    def price(service: str, usage: str, **product: str) -> float | None:
        return _price(api, service, {**product, **region}, usage)

    instances = {kind: price("AmazonEC2", "", instanceType=kind, **_LINUX) for kind in set(kinds)}
    gp3 = price("AmazonEC2", "EBS:VolumeUsage.gp3", productFamily="Storage", volumeApiName="gp3")
    snapshot = price("AmazonEC2", "EBS:SnapshotUsage", productFamily="Storage Snapshot")
    balancer = price("AWSELB", "LoadBalancerUsage", productFamily="Load Balancer-Application")
    address = price("AmazonVPC", "PublicIPv4:InUseAddress", group="VPCPublicIPv4Address")
    known = {kind: amount for kind, amount in instances.items() if amount}
    if len(known) < len(instances) or not (gp3 and snapshot and balancer and address):
        return None
    classes = {
        kind: price("AmazonRDS", f"InstanceUsage:{kind}", instanceType=kind, databaseEngine="PostgreSQL", **_DATABASE)
        for kind in set(databases)
    }
    storage = {"productFamily": "Database Storage", "volumeType": "General Purpose-GP3"}
    database_gp3 = price("AmazonRDS", "RDS:GP3-Storage", **storage, **_DATABASE) if classes else None
    known_classes = {kind: amount for kind, amount in classes.items() if amount}
    return Prices(aws.region, known, gp3, snapshot, balancer, address, known_classes, database_gp3 or 0.0)


def _price(aws: AwsSession, service: str, product: Mapping[str, str], usage: str) -> float | None:
    """Return the on-demand price of a product in dollars; None unless exactly one price matches."""
    filters: Any = [{"Type": "TERM_MATCH", "Field": field, "Value": value} for field, value in product.items()]
    pages = aws.client("pricing").get_paginator("get_products").paginate(ServiceCode=service, Filters=filters)
    prices = set()
    for page in pages:
        for text in page["PriceList"]:
            offer = json.loads(text)
            if offer["product"]["attributes"].get("usagetype", "").endswith(usage):
                prices |= set(_dollars(offer))
    return prices.pop() if len(prices) == 1 else None


def _dollars(offer: Mapping[str, Any]) -> Iterable[float]:
    for term in offer.get("terms", {}).get("OnDemand", {}).values():
        for dimension in term["priceDimensions"].values():
            amount = float(dimension["pricePerUnit"].get("USD", 0))
            if amount:
                yield amount
