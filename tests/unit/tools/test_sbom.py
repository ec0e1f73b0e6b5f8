"""The bill of materials: valid CycloneDX with a package URL for each package."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings as limits, strategies as st

from goldenami.model.inventory import Package
from goldenami.tools import sbom

word = st.text("abz019+.:~-", min_size=1, max_size=8).filter(lambda text: text[0].isalnum())


@limits(max_examples=30)
@given(st.lists(st.builds(Package, word, word, word), max_size=5))
def test_the_list_of_packages_is_read_back(packages: list[Package]) -> None:
    text = "".join(f"{p.name}\t{p.version}\t{p.architecture}\n" for p in packages)
    assert sbom.read(text) == packages


def test_lines_that_are_no_package_are_passed_over() -> None:
    assert sbom.read("\n \nonly-a-name\nbash\t5.2\tamd64\n") == [Package("bash", "5.2", "amd64")]


def test_the_source_package_is_read_where_it_is_written_down() -> None:
    (found,) = sbom.read("libssl3\t3.0\tamd64\topenssl\t3.0\tmore\n")
    assert found == Package("libssl3", "3.0", "amd64", "openssl", "3.0")


@pytest.mark.parametrize(
    ("family", "purl"),
    [
        ("debian-12", "pkg:deb/debian/bash@5.2.15-2%2Bb7?arch=amd64"),
        ("ubuntu-24.04", "pkg:deb/ubuntu/bash@5.2.15-2%2Bb7?arch=amd64"),
        ("amazon-linux-2023", "pkg:rpm/amzn/bash@5.2.15-2%2Bb7?arch=amd64"),
    ],
)
def test_package_urls_fit_the_family(family: str, purl: str) -> None:
    bill = json.loads(sbom.render("web-golden-v1.0", "1.0.0", family, [Package("bash", "5.2.15-2+b7", "amd64")]))
    assert bill["components"][0]["purl"] == purl
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.6")
    assert bill["metadata"]["component"] == {
        "bom-ref": "web-golden-v1.0",
        "name": "web-golden-v1.0",
        "type": "operating-system",
        "version": "1.0.0",
    }


@limits(max_examples=20)
@given(st.lists(st.builds(Package, word, word, word), unique=True, max_size=6))
def test_every_package_is_in_the_bill_once_and_the_image_depends_on_it(packages: list[Package]) -> None:
    bill = json.loads(sbom.render("web", "1.0.0", "debian-12", packages))
    found = [(c["name"], c["version"]) for c in bill.get("components", [])]
    assert sorted(found) == sorted((p.name, p.version) for p in packages)
    of_image = next(d for d in bill["dependencies"] if d["ref"] == "web")
    assert set(of_image.get("dependsOn", [])) == {c["bom-ref"] for c in bill.get("components", [])}
