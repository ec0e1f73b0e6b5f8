"""The cost: the team's comparison comes out, each line adds up, and the list's prices are read as AWS writes them."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from goldenami.aws import price_list
from goldenami.aws.session import AwsSession
from goldenami.cost import cost, report as cost_report
from goldenami.cost.plan import compare, next_size, operations, total
from goldenami.model import prices
from goldenami.model.resources import DbInstance
from goldenami.state import runs
from tests.support.contexts import Checkout
from tests.support.recipes import RDS, VOLUME, recipe

SEOUL = prices.for_region("ap-northeast-2")
assert SEOUL is not None


def test_the_team_s_comparison() -> None:
    """t3.small with Docker against t3.micro without: half of the instance's price."""
    found = compare(recipe(), SEOUL)
    assert found is not None
    assert (found.docker[0].what, found.images[0].what) == ("t3.small", "t3.micro")
    assert found.images[0].month == pytest.approx(9.49)
    assert found.docker[0].month == pytest.approx(2 * found.images[0].month)
    assert [i.what for i in found.images[1:-1]] == [i.what for i in found.docker[1:]]
    assert found.saved == pytest.approx(found.images[0].month - found.images[-1].month)


def test_what_the_recipe_has_not_costs_nothing() -> None:
    alone = compare(recipe({**RDS, "fleet.load_balancer": False, "fleet.desired": 3}), SEOUL)
    assert alone is not None
    assert "Application Load Balancer" not in [item.what for item in alone.images]
    addresses = next(item for item in alone.images if item.what == "public IPv4 address")
    assert addresses.count == 3
    whole = compare(recipe(), SEOUL)
    assert whole is not None
    assert next(item for item in whole.images if item.what == "public IPv4 address").count == 3  # one, and two zones
    assert total(whole.images) == pytest.approx(sum(item.count * item.each for item in whole.images))


def test_a_volume_for_the_data_costs_the_same_either_way() -> None:
    found = compare(recipe(VOLUME), SEOUL)
    assert found is not None
    for items in (found.images, found.docker):
        (data,) = [item for item in items if "data volume" in item.what]
        assert (data.what, data.month) == ("8 GiB data volume", pytest.approx(8 * SEOUL.gp3))


def test_the_server_that_was_made_costs_what_it_is() -> None:
    made = DbInstance(
        "guestbook-data", "available", instance_class="db.t4g.micro", storage=30, storage_type="gp3", multi_az=True
    )
    plain, found = compare(recipe(RDS), SEOUL), compare(recipe(RDS), SEOUL, made)
    assert plain is not None
    assert found is not None
    items = {item.what: item for item in found.images}
    assert items["db.t4g.micro RDS server"].month == pytest.approx(2 * 730 * 0.025)
    assert items["30 GiB gp3 of guestbook-data"].month == pytest.approx(2 * 30 * 0.131)
    assert total(found.images) - total(plain.images) == pytest.approx(2 * (730 * 0.025 + 30 * 0.131))
    assert found.saved == pytest.approx(plain.saved), "it is the same with Docker"
    unknown = compare(recipe(RDS), SEOUL, replace(made, instance_class="db.r9.huge", storage_type="io2"))
    assert unknown is not None
    assert total(unknown.images) == pytest.approx(total(plain.images))
    assert [item.note for item in unknown.images].count("not counted: its price is unknown") == 2


def test_sizes() -> None:
    assert next_size("t3.micro") == "t3.small"
    assert next_size("t4g.nano") == "t4g.micro"
    assert next_size("m7i.metal-24xl") == "m7i.metal-24xl"
    assert compare(recipe({"instance.type": "x9.micro"}), SEOUL) is None


def test_operations_come_from_the_records() -> None:
    records: list[dict[str, Any]] = [
        {"phases": {"bake base layer with Packer": 120, "bake app layer with Packer": 60, "verify guestbook": 30}},
        {"kind": "bake", "phases": {"bake app layer with Packer": 60}},
        {"kind": "bake", "state": "running"},
        {"kind": "rebuild", "phases": {"bake base layer with Packer": 120}},  # its bake has a record of its own
        {"kind": "promotion", "phases": {"bake base layer with Packer": 120, "replacing 3 instance(s) of x-asg": 600}},
    ]
    bake, promotion = operations(records, recipe({**RDS, "fleet.desired": 3}), SEOUL, "t3.micro")
    assert (bake.times, bake.minutes) == (2, pytest.approx((210 + 60) / 60 / 2))
    assert bake.cost == pytest.approx((120 + 60 + 60 + 60) / 3600 * 0.013 / 2)  # a minute is billed for each launch
    assert (promotion.times, promotion.minutes) == (1, pytest.approx(10))
    assert promotion.cost == pytest.approx(600 / 3600 * 0.013 * 3)
    assert operations([], recipe(), SEOUL, "t3.micro") == []


def product(usage: str, dollars: str, more: str = "0.0000000000") -> str:
    dimension = {"unit": "Hrs", "pricePerUnit": {"USD": dollars}}
    terms = {"OnDemand": {"a": {"priceDimensions": {"b": dimension, "c": {"pricePerUnit": {"USD": more}}}}}}
    return json.dumps({"product": {"attributes": {"usagetype": usage}}, "terms": terms})


class List:
    """A price list on the wire: what each service and filter answers."""

    def __init__(self) -> None:
        self.aws = AwsSession("ap-northeast-2", keys=("test", "test"))
        self.asked: list[dict[str, Any]] = []
        self.missing = ""
        client = AwsSession("us-east-1", keys=("test", "test"))
        self.client = client

    def answer(self, given: dict[str, Any]) -> list[str]:
        found = {one["Field"]: one["Value"] for one in given["Filters"]}
        self.asked.append({"ServiceCode": given["ServiceCode"], **found})
        names = ("instanceType", "volumeApiName", "productFamily", "group")
        kind = next(found[name] for name in names if name in found)
        if kind == self.missing:
            return []
        return {
            "t3.micro": [product("APN2-BoxUsage:t3.micro", "0.0131")],
            "t3.small": [product("APN2-BoxUsage:t3.small", "0.0262")],
            "gp3": [product("APN2-EBS:VolumeUsage.gp3", "0.0920"), product("APN2-EBS:VolumeP-IOPS.gp3", "0.0057")],
            "Storage Snapshot": [
                product("APN2-EBS:SnapshotUsage", "0.051"),
                product("APN2-EBS:SnapshotArchiveStorage", "0.01"),
            ],
            "Load Balancer-Application": [
                product("APN2-LoadBalancerUsage", "0.023"),
                product("APN2-LCUUsage", "0.008"),
            ],
            "db.t4g.micro": [product("APN2-InstanceUsage:db.t4g.micro", "0.0250000000")],
            "Database Storage": [
                product("APN2-RDS:GP3-Storage", "0.1310000000"),
                product("APN2-RDS:GP3-PIOPS", "0.02"),
            ],
            "VPCPublicIPv4Address": [
                product("APN2-PublicIPv4:InUseAddress", "0.006"),
                product("APN2-PublicIPv4:IdleAddress", "0.007"),
            ],
        }[kind]


@pytest.fixture
def listed(monkeypatch: pytest.MonkeyPatch) -> List:
    from botocore.awsrequest import AWSResponse

    there = List()
    client = there.client.client("pricing")

    def keep(params: dict[str, Any], context: dict[str, Any], **_: Any) -> None:
        context["asked"] = params

    def reply(model: Any, context: dict[str, Any], **_: Any) -> tuple[AWSResponse, dict[str, Any]]:
        answer = {"FormatVersion": "aws_v1", "PriceList": there.answer(context["asked"])}
        return AWSResponse("http://127.0.0.1", 200, {}, None), {**answer, "ResponseMetadata": {"HTTPStatusCode": 200}}

    client.meta.events.register_first("before-parameter-build", keep)
    client.meta.events.register_first("before-call", reply)
    monkeypatch.setattr(price_list, "replace", lambda _, region: there.client)
    return there


def test_the_list_is_asked_exactly_and_read_as_it_is(listed: List) -> None:
    found = price_list.get_prices(listed.aws, ["t3.micro", "t3.small"])
    assert found == prices.Prices(
        "ap-northeast-2", {"t3.micro": 0.0131, "t3.small": 0.0262}, 0.092, 0.051, 0.023, 0.006
    )
    assert all(asked["regionCode"] == "ap-northeast-2" for asked in listed.asked)
    linux = next(asked for asked in listed.asked if asked.get("instanceType") == "t3.micro")
    assert (linux["operatingSystem"], linux["tenancy"], linux["capacitystatus"]) == ("Linux", "Shared", "Used")


def test_the_list_knows_the_server_and_may_lack_it(listed: List) -> None:
    found = price_list.get_prices(listed.aws, ["t3.micro"], ["db.t4g.micro"])
    assert found is not None
    assert (found.databases, found.database_gp3) == ({"db.t4g.micro": 0.025}, 0.131)
    asked = next(asked for asked in listed.asked if asked.get("instanceType") == "db.t4g.micro")
    assert (asked["ServiceCode"], asked["databaseEngine"]) == ("AmazonRDS", "PostgreSQL")
    assert asked["deploymentOption"] == "Single-AZ"
    listed.missing = "db.t4g.micro"
    found = price_list.get_prices(listed.aws, ["t3.micro"], ["db.t4g.micro"])
    assert found is not None
    assert (found.databases, found.database_gp3) == ({}, 0.131)


@pytest.mark.parametrize("missing", ["t3.small", "gp3", "Storage Snapshot", "VPCPublicIPv4Address"])
def test_a_list_with_a_gap_is_not_used(listed: List, missing: str) -> None:
    listed.missing = missing
    assert price_list.get_prices(listed.aws, ["t3.micro", "t3.small"]) is None


def test_it_says_where_its_prices_are_from(at: Checkout, listed: List) -> None:
    ctx = at.ctx()
    found = cost.calculate(ctx)
    assert found.source == "the AWS Price List of today (2026-03-14)"
    listed.missing = "gp3"
    found = cost.calculate(ctx)
    assert "the table of October 2025" in found.source
    text = cost_report.report(found).text
    assert "golden images save $" in text
    assert "of the instances alone 50 %" in text
    told = cost_report.report(found).facts
    assert told["saved"] == pytest.approx(told["docker"]["month"] - told["images"]["month"])


def test_runs_of_the_checkout_are_counted(at: Checkout, listed: List) -> None:
    ctx = at.ctx()
    run = runs.create(ctx.build, ctx.clock.now())
    run.record(kind="bake", state="finished", phases={"bake app layer with Packer": 90.0})
    (operation,) = cost.calculate(ctx).operations
    assert (operation.kind, operation.times, operation.minutes) == ("bake", 1, 1.5)
    assert "bake" in cost_report.report(cost.calculate(ctx)).text
