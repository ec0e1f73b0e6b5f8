"""The price table is complete and dated: every region has the same prices, and each is above zero."""

from __future__ import annotations

from datetime import date

from goldenami.model import prices


def test_table_is_dated() -> None:
    assert date(2025, 1, 1) <= prices.as_of() <= date.today()


def test_every_region_has_the_same_prices_and_none_is_zero() -> None:
    tables = [table for region in prices.regions() if (table := prices.for_region(region))]
    kinds = {kind for table in tables for kind in table.instances}
    assert {table.region for table in tables} == prices.regions() >= {"ap-northeast-2", "us-east-1"}
    for table in tables:
        assert set(table.instances) == kinds
        assert min(*table.instances.values(), *table.databases.values()) > 0
        assert min(table.gp3, table.snapshot, table.load_balancer, table.address, table.database_gp3) > 0


def test_what_the_table_does_not_know_has_no_price() -> None:
    assert prices.for_region("mars-north-1") is None
    seoul = prices.for_region("ap-northeast-2")
    assert seoul is not None
    assert seoul.instance("u-24tb1.metal") is None
    assert seoul.instance("t3.micro") == 0.013
