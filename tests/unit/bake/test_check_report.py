"""Report of the gates: checks are found in the output of instances, and reported as Markdown and JSON."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, strategies as st

from goldenami.bake.check_report import CHECKLIST, Check, checklist, failed_checks, gate_report, parse

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
def test_checklist_has_every_check_once_and_every_failure(made: list[Check]) -> None:
    items = checklist(made)
    evidence = [line for item in items for line in item.evidence]
    assert sorted(line.split()[1] for line in evidence) == sorted(f"`{check.name}`" for check in made)
    assert any(item.ok is False for item in items) == bool(failed_checks(made))
    for item in items:
        assert item.ok == (all(line.startswith("ok ") for line in item.evidence) if item.evidence else None)


def test_checklist_without_checks_lists_every_item_as_not_checked() -> None:
    assert [item.title for item in checklist([])] == [title for title, _ in CHECKLIST]
    assert all(item.ok is None for item in checklist([]))
    names = [name for _, names in CHECKLIST for name in names]
    assert len(names) == len(set(names))


@pytest.mark.parametrize(
    ("check", "title"),
    [
        ("health", "Health check passed"),
        ("hygiene-host-keys", "Nothing left behind"),
        ("something-new", "Other checks"),
    ],
)
def test_check_is_evidence_of_its_item(check: str, title: str) -> None:
    item = next(item for item in checklist([Check(check, True)]) if item.evidence)
    assert item.title.startswith(title)


def test_report_as_markdown_lists_each_check_below_its_item() -> None:
    made = [Check("health", False, "HTTP 503", "boot"), Check("something-new", True)]
    text = gate_report("web v1.0", [("Image", "ami-1")], made).text
    assert text.startswith("# web v1.0\n\n- Image: ami-1\n\n## Golden AMI checklist\n\n")
    assert "- [ ] **FAILED**: Health check passed\n  - FAIL `health` (boot) HTTP 503\n" in text
    assert "- [x] Other checks\n  - ok `something-new` (image)\n" in text
    assert "- [ ] (not checked) Application build succeeded\n" in text


def test_report_as_json_has_the_result_and_every_check() -> None:
    report = gate_report("web v1.0", [("Image", "ami-1")], [Check("health", False, "HTTP 503", "boot")])
    facts = json.loads(json.dumps(report.facts))
    assert facts["passed"] is False
    assert facts["facts"] == {"Image": "ami-1"}
    assert facts["checks"] == [{"name": "health", "ok": False, "detail": "HTTP 503", "gate": "boot"}]
    evidence = ["FAIL `health` (boot) HTTP 503"]
    item = {"title": "Health check passed", "ok": False, "evidence": evidence, "applicable": True}
    assert item in facts["checklist"]
