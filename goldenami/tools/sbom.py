"""Software bill of materials in CycloneDX format, from an image's package list.

Source: https://cyclonedx.org/docs/1.6/json/
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from goldenami.model.inventory import Package


def read(text: str) -> list[Package]:
    """Parse packages.tsv: name, version, architecture, source and its version, tab-separated, one package a line."""
    rows = [line.split("\t") for line in text.splitlines() if line.strip()]
    return [Package(*row[:5]) for row in rows if len(row) >= 3]


def render(image: str, version: str, family: str, packages: Sequence[Package]) -> str:
    """Return the bill of materials of an AMI as CycloneDX 1.6 JSON; the family determines the package URLs."""
    from cyclonedx.model.bom import Bom
    from cyclonedx.model.component import Component, ComponentType
    from cyclonedx.output import make_outputter
    from cyclonedx.schema import OutputFormat, SchemaVersion
    from packageurl import PackageURL

    distribution = family.split("-")[0]
    kind, namespace = ("rpm", "amzn") if distribution == "amazon" else ("deb", distribution)
    bom = Bom()
    system = Component(name=image, version=version, type=ComponentType.OPERATING_SYSTEM, bom_ref=image)
    bom.metadata.component = system
    for package in packages:
        purl = PackageURL(kind, namespace, package.name, package.version, {"arch": package.architecture})
        identity: dict[str, Any] = {"purl": purl, "bom_ref": purl.to_string(), "type": ComponentType.LIBRARY}
        bom.components.add(Component(name=package.name, version=package.version, **identity))
    bom.register_dependency(system, bom.components)
    return make_outputter(bom, OutputFormat.JSON, SchemaVersion.V1_6).output_as_string(indent=2)
