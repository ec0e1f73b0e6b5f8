"""The report of the gates: found in what machines print, and told to people and scripts."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from goldenami.bake.check_report import CHECKLIST, Check, as_json, checklist, failed_checks, markdown, parse

names = st.text("abz09_-", min_size=1, max_size=12).filter(lambda text: text[0].isalnum())
details = st.text(st.characters(exclude_categories=["C", "Z"], include_characters=" "), max_size=40).map(
    lambda text: " ".join(text.split())
)
checks = st.lists(
    st.builds(Check, names, st.booleans(), details, st.just("boot")), unique_by=lambda c: c.name, max_size=8
)
# Around the lines: Packer's prefix, a console's carriage return, noise.
before = st.sampled_from(["", "    amazon-ebs.golden: ", "==> x: ", "[   12.3] "])
noise = st.sampled_from(["", "CHECK", "CHECK  two ok", "CHECK UPPER ok", "CHECK x maybe", "check x ok", "CHECK x okay"])


def line(check: Check) -> str:
    return f"CHECK {check.name} {'ok' if check.ok else 'FAIL'} {check.detail}".rstrip()


@given(checks, st.data())
def test_every_check_is_found_whatever_stands_around_it(made: list[Check], data: st.DataObject) -> None:
    lines = []
    for check in made:
        lines += [data.draw(noise), data.draw(before) + line(check) + data.draw(st.sampled_from(["", "\r", "\n", " "]))]
    assert parse(lines, "boot") == made


def test_a_check_that_ran_twice_counts_as_it_came_out_last() -> None:
    found = parse(["CHECK health FAIL HTTP 503", "CHECK health ok HTTP 200"], "image")
    assert found == [Check("health", True, "HTTP 200", "image")]
    assert parse(["CHECK health ok", "CHECK health FAIL late"], "image")[0].ok is False


def test_failures_are_those_that_did_not_pass() -> None:
    good, bad = Check("a", True), Check("b", False)
    assert failed_checks([good, bad]) == [bad]
    assert failed_checks([]) == []


@given(checks)
def test_the_checklist_loses_no_check_and_no_failure(made: list[Check]) -> None:
    lines = checklist(made)
    assert {id(check) for _, _, mine in lines for check in mine} == {id(check) for check in made}
    assert any(ok is False for _, ok, _ in lines) == bool(failed_checks(made))
    for _, ok, mine in lines:
        assert ok == (all(check.ok for check in mine) if mine else None)


def test_the_checklist_is_the_team_s_in_its_order() -> None:
    assert [title for title, _, _ in checklist([])] == [title for title, _ in CHECKLIST]
    assert all(ok is None for _, ok, _ in checklist([]))
    named = [name for _, names in CHECKLIST for name in names]
    assert len(named) == len(set(named))


@pytest.mark.parametrize(
    ("check", "item"),
    [
        ("health", "Health check passed"),
        ("hygiene-host-keys", "Nothing left behind"),
        ("something-new", "Other checks"),
    ],
)
def test_checks_stand_under_their_line(check: str, item: str) -> None:
    title = next(title for title, _, mine in checklist([Check(check, True)]) if mine)
    assert title.startswith(item)


def test_the_report_for_people() -> None:
    text = markdown(
        "web v1.0", [("Image", "ami-1")], [Check("health", False, "HTTP 503", "boot"), Check("something-new", True)]
    )
    assert text.startswith("# web v1.0\n\n- Image: ami-1\n\n## Golden AMI checklist\n\n")
    assert "- [ ] **FAILED**: Health check passed\n  - FAIL `health` (boot) HTTP 503\n" in text
    assert "- [x] Other checks\n  - ok `something-new` (image)\n" in text
    assert "- [ ] (not checked in this run) Application build succeeded\n" in text


def test_the_report_for_scripts_is_json_and_says_whether_it_passed() -> None:
    told = json.loads(json.dumps(as_json([("Image", "ami-1")], [Check("health", False, "HTTP 503", "boot")])))
    assert told["passed"] is False
    assert told["facts"] == {"Image": "ami-1"}
    assert told["checks"] == [{"name": "health", "ok": False, "detail": "HTTP 503", "gate": "boot"}]
    assert {"item": "Health check passed", "ok": False, "checks": ["health"]} in told["checklist"]
