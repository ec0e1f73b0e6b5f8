"""The price table is whole: every region prices the same things, and nothing is free."""

from __future__ import annotations

from goldenami.model import prices


def test_every_region_prices_the_same_things_and_nothing_is_free() -> None:
    known = {kind for found in prices.TABLE.values() for kind in found.instances}
    for region, found in prices.TABLE.items():
        assert prices.for_region(region) is found
        assert set(found.instances) == known
        assert min(*found.instances.values(), found.gp3, found.snapshot, found.load_balancer, found.address) > 0


def test_what_the_table_does_not_know_has_no_price() -> None:
    assert prices.for_region("mars-north-1") is None
    assert prices.TABLE["ap-northeast-2"].instance("u-24tb1.metal") is None
    assert prices.TABLE["ap-northeast-2"].instance("t3.micro") == 0.013
