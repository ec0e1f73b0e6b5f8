"""Downtime of a switchover: what is printed is what was measured."""

from __future__ import annotations

from goldenami.database.downtime_model import Downtime


def test_downtime_with_reads_is_read_only_but_for_the_restart() -> None:
    assert Downtime(100.0, unavailable=0.6).text(107.9) == "read-only 7.3 s, unavailable 0.6 s"


def test_downtime_without_reads_is_unavailable() -> None:
    assert Downtime(100.0).stop_reads(100.0).text(117.0) == "unavailable 17.0 s"


def test_downtime_whose_reads_stop_later_is_both() -> None:
    downtime = Downtime(100.0, unavailable=0.5).stop_reads(110.0)
    assert downtime.stop_reads(112.0) == downtime, "they had stopped before"
    assert downtime.text(113.0) == "read-only 9.5 s, unavailable 3.5 s"
