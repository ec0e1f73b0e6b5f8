"""Versions: read, written, ordered, and what follows them."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given, strategies as st

from goldenami.errors import UsageError
from goldenami.model.version import Version, ami_name, next_after, parse, parse_name

numbers = st.integers(0, 99_999_999)
versions = st.builds(Version, numbers, numbers, numbers)
policies = st.sampled_from(["major", "minor", "patch", "month"])
days = st.datetimes(datetime(2020, 1, 1), datetime(2099, 12, 31), timezones=st.just(UTC))
names = st.lists(st.sampled_from(["web", "golden", "v1", "b2"]), min_size=1, max_size=3).map("-".join)
NOW = datetime(2026, 3, 14, tzinfo=UTC)


@given(versions)
def test_what_is_written_is_read_back(version: Version) -> None:
    assert parse(str(version)) == version
    assert parse(version.tag) == version
    assert parse(f" {version}\n") == version


@given(versions, versions)
def test_order_is_that_of_the_numbers(one: Version, other: Version) -> None:
    numbers = [(v.major, v.minor, v.patch) for v in (one, other)]
    assert (one < other) == (numbers[0] < numbers[1])
    assert (str(one) == str(other)) == (one == other)


@given(names, versions)
def test_an_ami_name_tells_its_version_to_its_own_image_alone(image: str, version: Version) -> None:
    name = ami_name(image, version)
    assert parse_name(name, image) == version
    assert parse_name(name, image + "x") is None
    assert parse_name("x" + name, image) is None


@pytest.mark.parametrize(
    "text", ["", "v", "1", "v1", "1.2.3.4", "v01.2", "1.02", "1.-1", "1.2 .3", "vv1.2", "1,2", "1.2-rc1", "$(id).1"]
)
def test_what_is_no_version_is_refused_with_the_form_that_is_expected(text: str) -> None:
    with pytest.raises(UsageError, match=r"is not a version; expected a form like v1\.2"):
        parse(text)
    assert parse_name(f"web-golden-{text}", "web") is None


@given(st.sets(versions), policies, days)
def test_the_next_version_is_above_all_that_were_taken(taken: set[Version], policy: str, now: datetime) -> None:
    following_one = next_after(taken, policy, now)
    assert following_one not in taken
    assert all(following_one > version for version in taken)
    assert parse(str(following_one)) == following_one


@given(st.sets(versions, max_size=3), policies, days, st.integers(2, 6))
def test_versions_that_are_taken_one_after_the_other_never_repeat(
    taken: set[Version], policy: str, now: datetime, bakes: int
) -> None:
    made: list[Version] = []
    for _ in range(bakes):
        made.append(next_after([*taken, *made], policy, now))
    assert made == sorted(set(made))


@pytest.mark.parametrize(
    ("taken", "policy", "expected"),
    [
        ([], "minor", "v1.0"),
        ([], "major", "v1.0"),
        ([], "patch", "v1.0"),
        (["v1.0"], "minor", "v1.1"),
        (["v1.0", "v1.9", "v1.10"], "minor", "v1.11"),
        (["v1.2"], "major", "v2.0"),
        (["v1.2.3"], "major", "v2.0"),
        (["v1.2"], "patch", "v1.2.1"),
        (["v1.2.1"], "minor", "v1.3"),
        ([], "month", "v1.202603"),
        (["v1.2"], "month", "v1.202603"),
        (["v1.202602.4"], "month", "v1.202603"),
        (["v1.202603"], "month", "v1.202603.1"),
        (["v1.202603.1"], "month", "v1.202603.2"),
        (["v2.5"], "month", "v2.202603"),
        (["v1.202604"], "month", "v1.202604.1"),  # a clock that went backwards still never repeats
    ],
)
def test_policies(taken: list[str], policy: str, expected: str) -> None:
    assert str(next_after([parse(t) for t in taken], policy, NOW)) == expected


def test_the_tag_is_always_written_in_full() -> None:
    assert [parse(t).tag for t in ("v1.2", "1.2.0", "v1.2.3")] == ["1.2.0", "1.2.0", "1.2.3"]


def test_digits_of_other_scripts_are_no_version() -> None:
    with pytest.raises(UsageError):
        parse("v1.1٣")
