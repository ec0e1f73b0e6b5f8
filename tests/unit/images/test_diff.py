"""What two images have differently: from what the bakes wrote down, packed and unpacked, with advisories weighed rightly."""

from __future__ import annotations

import base64
import gzip
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, strategies as st

from goldenami.aws import images
from goldenami.bake import inventory
from goldenami.errors import UsageError
from goldenami.images import diff, diff_report, prune
from goldenami.images.diff_plan import compare, match_vulnerabilities
from goldenami.images.vulnerability_plan import Advisory, ecosystem_of, read, vulnerable
from goldenami.model.inventory import PARAMETER_PART, ImageInventory, Package, pack, parse, parse_console, unpack
from tests.support.image_references import CANDIDATE, PRODUCTION
from tests.support.large_account import NAME, LargeAccount, ami
from tests.unit.images.test_prune import context_for, live

MACHINE: dict[str, Any] = {
    "os": "Debian GNU/Linux 12 (bookworm)",
    "go": "1.19.8",
    "postgresql": "15.10",
    "commit": "dir-24d9ceba063107",
    "disk": {"size_bytes": 8412164096, "used_bytes": 1531760640},
    "units": {"enabled": ["ssh.service", "guestbook.service"]},
    "listening": [{"address": "0.0.0.0:22", "process": "sshd"}, {"address": "127.0.0.1:49152", "process": "x"}],
    "users": ["root (0, /bin/bash)", "app (999, /usr/sbin/nologin)"],
    "setuid": ["/usr/bin/su (4755, root:root)"],
    "seeds": [{"schema": "public", "table": "countries", "rows": 249, "checksum": "1", "volatile": [], "fixed": []}],
}
ROWS = [
    ["openssl", "3.0.15-1", "amd64", "openssl", "3.0.15-1"],
    ["libssl3", "3.0.15-1", "amd64", "openssl", "3.0.15-1"],
]

text = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=30)
rows = st.lists(st.tuples(st.sampled_from("abcdefgh"), st.sampled_from(["1", "2", "3"])), unique_by=lambda row: row[0])
groups = st.lists(st.sampled_from(["a.service", "b.service", "c.service"]), unique=True)


def facts(packages: list[Any], **machine: Any) -> ImageInventory:
    return parse({**MACHINE, **machine}, packages)


# --- values


@given(st.dictionaries(text, text), st.lists(st.lists(text, min_size=5, max_size=5), max_size=40))
def test_what_is_packed_comes_out_the_same_in_parts_that_a_parameter_holds(
    machine: dict[str, str], packages: list[list[str]]
) -> None:
    parts = pack({"os": json.dumps(machine)}, packages)
    assert all(0 < len(part) <= PARAMETER_PART for part in parts)
    assert unpack(parts) == parse({"os": json.dumps(machine)}, packages)
    assert unpack(parts[:-1]) is None


def test_the_facts_of_a_large_image_fit_three_parameters() -> None:
    many = [
        [f"lib{n * 7919 % 1000}-dev", f"{n % 9}.{n * 31 % 97}-{n % 5}+deb12u{n % 4}", "amd64", f"src{n}", "1"]
        for n in range(450)
    ]
    assert len(pack(MACHINE, many)) <= 3


@given(rows, rows, groups, groups)
def test_each_difference_is_told_once_and_turned_round_it_is_the_opposite(
    before: list[tuple[str, str]], after: list[tuple[str, str]], was: list[str], now: list[str]
) -> None:
    first, second = facts(before, units={"enabled": was}), facts(after, units={"enabled": now})
    found = compare(first, second)
    names = [(d.kind, d.name) for d in found.differences]
    assert len(names) == len(set(names))
    old, new = dict(before), dict(after)
    assert {d.name for d in found.differences if d.kind == "package"} == {
        name for name in old | new if old.get(name) != new.get(name)
    }
    assert {d.name for d in found.differences if d.kind == "unit"} == set(was) ^ set(now)
    opposite = {"added": "removed", "removed": "added", "changed": "changed"}
    turned = {(d.kind, d.name, opposite[d.what], d.after, d.before) for d in compare(second, first).differences}
    assert {(d.kind, d.name, d.what, d.before, d.after) for d in found.differences} == turned
    assert compare(first, first).differences == ()


def test_what_was_not_written_down_is_said_not_taken_for_none() -> None:
    older = {name: value for name, value in MACHINE.items() if name not in ("users", "setuid")}
    found = compare(parse(older, ROWS), parse(MACHINE, ROWS))
    assert found.differences == ()
    assert found.missing == (
        "the inventory of the first image has no users",
        "the inventory of the first image has no setuid files",
    )


def test_difference_of_the_rows_that_the_schema_creates_is_reported() -> None:
    (removed,) = compare(facts(ROWS), facts(ROWS, seeds=[])).differences
    assert (removed.kind, removed.what, removed.name) == ("seeded table", "removed", "public.countries, 249 row(s)")
    assert "has no seeded tables" in compare(facts(ROWS, seeds=None), facts(ROWS)).missing[0]


def test_ports_that_differ_from_boot_to_boot_are_no_difference() -> None:
    other = [{"address": "0.0.0.0:22", "process": "sshd"}, {"address": "127.0.0.1:51000", "process": "x"}]
    assert compare(facts(ROWS), facts(ROWS, listening=other)).differences == ()


@given(st.integers(0, 12), st.lists(st.integers(1, 12), unique=True, max_size=6))
def test_a_version_is_affected_from_each_introduction_to_the_fix_after_it(version: int, points: list[int]) -> None:
    """Against the plain reading: walk from the lowest point up to the version."""
    points.sort()
    events = [("introduced" if n % 2 == 0 else "fixed", str(point)) for n, point in enumerate(points)]
    expected = sum(point <= version for point in points) % 2 == 1
    for order in (events, events[::-1]):
        assert Advisory("X", "p", ranges=(tuple(order),)).affects(str(version)) is expected


def test_events_are_read_as_osv_means_them() -> None:
    advisory = Advisory("X", "p", ranges=((("introduced", "0"), ("last_affected", "5")),), versions=("9",))
    assert [advisory.affects(v) for v in ("0", "5", "6", "9")] == [True, True, False, True]


OSV = {
    "id": "DSA-1",
    "summary": "openssl - security update",
    "affected": [
        {
            "package": {"ecosystem": "Debian:12", "name": "openssl"},
            "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "3.0.16-1~deb12u1"}]}],
        },
        {"package": {"ecosystem": "Debian:11", "name": "openssl"}, "versions": ["3.0.15-1"]},
    ],
}


def test_advisories_of_other_systems_and_withdrawn_ones_do_not_count() -> None:
    assert [a.package for a in read(OSV, "Debian:12")] == ["openssl"]
    assert list(read(OSV, "Ubuntu:24.04")) == []
    assert list(read({**OSV, "withdrawn": "2026-01-01T00:00:00Z"}, "Debian:12")) == []
    ubuntu = {"id": "USN-1", "affected": [{"package": {"ecosystem": "Ubuntu:24.04:LTS", "name": "x"}}]}
    assert [a.id for a in read(ubuntu, "Ubuntu:24.04")] == ["USN-1"]


def test_a_package_is_found_by_its_source() -> None:
    known = list(read(OSV, "Debian:12"))
    packages = [Package(*row) for row in ROWS]
    assert vulnerable(packages, known) == {"DSA-1": ("openssl 3.0.15-1", "libssl3 3.0.15-1")}
    fixed = [Package("openssl", "3.0.16-1~deb12u1", "amd64", "openssl", "3.0.16-1~deb12u1")]
    assert vulnerable(fixed, known) == {}


def test_what_is_fixed_and_what_is_new() -> None:
    found, both = match_vulnerabilities({"A": ("p 1",), "B": ("q 1",)}, {"B": ("q 1",), "C": ("r 2",)}, {"C": "bad"})
    assert [(v.id, v.what, v.summary) for v in found] == [("C", "new", "bad"), ("A", "fixed", "")]
    assert both == 1


def test_debian_versions_are_ordered_as_dpkg_does() -> None:
    versions = ["1.0~rc1", "1.0", "1.0-1", "1.0-1+deb12u1", "1.0-10", "1:0.1"]
    for number, version in enumerate(versions):
        affected = Advisory("X", "p", ranges=((("introduced", version), ("last_affected", version)),)).affects
        assert [affected(other) for other in versions] == [number == other for other in range(len(versions))]


def test_family_without_advisories_is_refused() -> None:
    with pytest.raises(UsageError, match="amazon-linux-2023 cannot be compared: OSV has no advisories for it"):
        ecosystem_of("amazon-linux-2023")


def test_invalid_package_version_is_refused() -> None:
    with pytest.raises(UsageError, match="not a Debian package version"):
        Advisory("X", "p", ranges=((("introduced", "one"),),)).affects("1.0")


def said(nonce: str = "abc", cut: int = 0) -> str:
    """A report as an instance writes it on its console."""
    whole = "\n".join([json.dumps(MACHINE), *("\t".join(row) for row in ROWS)])
    packed = base64.encodebytes(gzip.compress(whole.encode())).decode()
    return f"\r\nGOLDEN-INVENTORY {nonce} BEGIN\r\n{packed[cut:]}GOLDEN-INVENTORY {nonce} END\r\n"


def test_what_an_instance_says_is_heard_once_it_is_whole() -> None:
    assert parse_console(said(), "abc") == (MACHINE, ROWS)
    assert parse_console("login: \x1b[m" + said(cut=40) + "noise" + said(), "abc") == (MACHINE, ROWS)
    assert parse_console(said(), "of-another-boot") is None
    assert parse_console(said().partition("END")[0][:-20], "abc") is None


@given(st.integers(0, 400), st.integers(0, 400))
def test_a_garbled_report_is_never_heard_wrongly(at: int, length: int) -> None:
    text = said()
    assert parse_console(text[:at] + text[at + length :], "abc") in (None, (MACHINE, ROWS))


# --- the flow


@pytest.fixture
def account() -> LargeAccount:
    made = LargeAccount()
    for number in (1, 2, 3):
        made.image(number, days=10 - number, extra={"Version": f"1.{number}.0"})
    made.parameter(PRODUCTION, ami(1))
    made.parameter(CANDIDATE, ami(2))
    return made


def write_down(ctx: Any, number: int, rows: list[list[str]], **machine: Any) -> None:
    image = images.get(ctx.aws, ami(number))
    assert image is not None
    inventory.save(ctx, image, {**MACHINE, **machine}, [Package(*row) for row in rows])


def test_two_images_of_other_checkouts_are_compared(account: LargeAccount, tmp_path: Path) -> None:
    ctx = context_for(account, tmp_path)
    newer = [["openssl", "3.0.16-1~deb12u1", "amd64", "openssl", "3.0.16-1~deb12u1"], ROWS[1], ["jq", "1.6-2", "amd64"]]
    write_down(ctx, 1, ROWS)
    write_down(ctx, 2, newer, go="1.23.0", users=["root (0, /bin/bash)"])
    folder = tmp_path / "osv"
    folder.mkdir()
    (folder / "DSA-1.json").write_text(json.dumps(OSV))
    found = diff.diff(ctx, "running", "candidate", advisories=folder)
    told = diff_report.report(ctx, found).text
    assert told.startswith(f"v1.1 ({ami(1)}) → v1.2 ({ami(2)})\nversion: 1.1.0 → 1.2.0\n")
    for line in (
        "~  image          Go                            1.19.8    1.23.0",
        "+  package        jq                                      1.6-2",
        "-  user           app (999, /usr/sbin/nologin)",
    ):
        assert line.split() in [row.split() for row in told.splitlines()] or line in told
    assert "0 fixed, 0 new, 1 in both" in told  # libssl3 still has it
    page = diff_report.markdown_page(ctx, found)
    assert "| ~ | package | openssl | 3.0.15-1 | 3.0.16-1~deb12u1 |" in page
    facts = diff_report.report(ctx, found).facts
    assert (facts["before"]["version"], facts["after"]["version"], facts["remaining"]) == ("v1.1", "v1.2", 1)


def test_an_image_of_which_nothing_is_known_is_said(account: LargeAccount, tmp_path: Path) -> None:
    ctx = context_for(account, tmp_path)
    write_down(ctx, 1, ROWS)
    told = diff_report.report(ctx, diff.diff(ctx, "v1.1", "v1.3")).text
    assert f"{NAME}-golden-v1.3 ({ami(3)}) has no inventory" in told
    assert "no differences" not in told


def test_parts_that_are_not_all_there_count_as_unknown(account: LargeAccount, tmp_path: Path) -> None:
    ctx = context_for(account, tmp_path)
    account.parameter(f"/goldenami/{NAME}/inventory/{ami(1)}/1-of-2", pack(MACHINE, ROWS)[0])
    image = images.get(ctx.aws, ami(1))
    assert image is not None
    assert inventory.load(ctx, image) is None


def test_what_cannot_be_compared_is_refused(account: LargeAccount, tmp_path: Path) -> None:
    ctx = context_for(account, tmp_path)
    del account.parameters[PRODUCTION]
    for first, second in (("running", "v1.1"), ("v9.9", "v1.1"), (ami(99), "v1.1")):
        with pytest.raises(UsageError):
            diff.diff(ctx, first, second)
    with pytest.raises(UsageError, match="no folder"):
        diff.diff(ctx, "v1.1", "v1.2", advisories=tmp_path / "nothing")
    recipe = ctx.recipe.model_copy(
        update={"image": ctx.recipe.image.model_copy(update={"family": "amazon-linux-2023"})}
    )
    with pytest.raises(UsageError, match="amazon-linux-2023 cannot be compared"):
        diff.diff(replace(ctx, recipe=recipe), "v1.1", "v1.2", advisories=tmp_path)


def test_facts_go_with_their_image_and_are_no_reference_to_it(tmp_path: Path) -> None:
    account = LargeAccount()
    for number in (1, 2):
        account.image(number, days=100 - number)
    ctx = context_for(account, tmp_path)
    for number in (1, 2):
        write_down(ctx, number, ROWS)
    account.calls.clear()
    prune.prune(ctx, plan_only=True)
    assert account.calls["GetParameters"] == account.calls["GetParameterHistory"] == 0
    live(ctx)
    assert list(account.images) == [ami(2)]
    assert [name.split("/")[4] for name in account.parameters] == [ami(2)]
