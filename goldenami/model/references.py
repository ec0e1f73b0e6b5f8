"""References to AMIs and snapshots in an account: what keeps an image in use."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from goldenami.model.image import SOURCE_AMI, Image

ReferenceKind = Literal[
    "instance",
    "group",
    "refresh",
    "pointer",
    "rollback",
    "template",
    "configuration",
    "parameter",
    "share",
    "child",
    "protection",
    "hint",
]

# The id of an AMI or snapshot anywhere in a text.
_RESOURCE_ID = re.compile(r"(?:ami|snap)-(?:[0-9a-f]{17}|[0-9a-f]{8})(?![0-9a-f])")


@dataclass(frozen=True)
class Reference:
    """Reference to an AMI or snapshot.

    Attributes:
        resource_id: An AMI's or snapshot's id; `resolve:ssm:…` for the value of a parameter; `lt-…:3` for what a launch
            template version references.
        by: Description of what references it.
    """

    resource_id: str
    kind: ReferenceKind
    by: str


@dataclass(frozen=True)
class TemplateReferences:
    """References of each version of a launch template. A version never changes, so it is read once."""

    name: str
    default: int
    latest: int
    resource_ids: Mapping[int, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class ParameterVersion:
    """Version of a parameter that references AMIs or snapshots."""

    version: int
    resource_ids: tuple[str, ...]
    labels: tuple[str, ...] = ()


@dataclass(frozen=True)
class ParameterHistory:
    """References of a parameter's versions, oldest first.

    Attributes:
        version: The current version.
        modified: When it was written; with the version, it shows whether the parameter has changed.
    """

    version: int
    modified: str
    versions: tuple[ParameterVersion, ...] = ()


@dataclass(frozen=True)
class ReferenceIndex:
    """Result of a scan of an account.

    Attributes:
        references: Of instances, groups, refreshes and launch configurations.
        templates: By id.
        parameters: By name.
    """

    references: tuple[Reference, ...] = ()
    templates: Mapping[str, TemplateReferences] = field(default_factory=dict)
    parameters: Mapping[str, ParameterHistory] = field(default_factory=dict)


@dataclass(frozen=True)
class Pointers:
    """The image's own parameters: production, candidate, and the path of all of them."""

    production: str
    candidate: str
    path: str


def resource_ids(text: str) -> tuple[str, ...]:
    """Return the ids of AMIs and snapshots in a text, each once."""
    return tuple(dict.fromkeys(_RESOURCE_ID.findall(text)))


def find_references(index: ReferenceIndex, pointers: Pointers) -> dict[str, list[Reference]]:
    """Return the references to each AMI and snapshot, by its id.

    Every version of a foreign parameter counts, since a launch may name a version. Of the image's own parameters, only the
    current version, labelled versions, and versions that something names count.
    """
    references: dict[str, dict[Reference, None]] = {}
    for reference in [*index.references, *_template_references(index), *_parameter_references(index, pointers)]:
        for resource_id in _resolve(index, reference.resource_id):
            resolved = Reference(resource_id, reference.kind, reference.by)
            references.setdefault(resource_id, {})[resolved] = None
    return {resource_id: list(by) for resource_id, by in references.items()}


def rollback_targets(index: ReferenceIndex, production: str, good: Mapping[str, Image], limit: int) -> tuple[str, ...]:
    """Return the ids of earlier production images that a rollback could use, newest first.

    Images that were deleted or have failed are skipped, as a rollback does.
    """
    parameter = index.parameters.get(production)
    if parameter is None:
        return ()
    released = [(version.version, ami) for version in parameter.versions for ami in version.resource_ids]
    current = {ami for version, ami in released if version == parameter.version}
    earlier = [ami for ami in dict.fromkeys(ami for _, ami in reversed(released)) if ami not in current and ami in good]
    return tuple(earlier[:limit])


def parent_references(owned: Iterable[Image]) -> Iterator[Reference]:
    """Yield the reference of each image to its parent: its base layer, or the image that it is a copy of."""
    for image in owned:
        for parent in {image.tags.get(SOURCE_AMI, ""), image.source} - {"", image.id}:
            yield Reference(parent, "child", f"{image.name or 'an image'} ({image.id}) was created from it")


def protection_references(image: Image, shares: Sequence[str]) -> Iterator[Reference]:
    """Yield what keeps an image itself in use: whom it is shared with, and EC2's deregistration protection."""
    if image.public:
        yield Reference(image.id, "share", "it is public")
    for account in shares:
        yield Reference(image.id, "share", f"it is shared with {account}")
    if image.protection not in ("", "disabled"):
        yield Reference(image.id, "protection", f"deregistration protection is {image.protection}")


def _template_references(index: ReferenceIndex) -> Iterator[Reference]:
    for identity, template in index.templates.items():
        for number in template.resource_ids:
            yield Reference(f"{identity}:{number}", "template", f"launch template {template.name} version {number}")


def _parameter_references(index: ReferenceIndex, pointers: Pointers) -> Iterator[Reference]:
    for name, parameter in index.parameters.items():
        pointer = {pointers.production: "production", pointers.candidate: "candidate"}.get(name)
        for version in parameter.versions:
            current = version.version == parameter.version
            if name.startswith(f"{pointers.path}/") and not current and not version.labels:
                continue
            number = "" if current else f" version {version.version}"
            labels = f" ({', '.join(version.labels)})" if version.labels else ""
            by = f"it is the {pointer} ({name})" if pointer and current else f"parameter {name}{number}{labels}"
            for resource_id in version.resource_ids:
                yield Reference(resource_id, "pointer" if pointer else "parameter", by)


def _resolve(index: ReferenceIndex, resource_id: str) -> tuple[str, ...]:
    """Return the AMIs and snapshots behind a parameter or launch template version."""
    if resource_id.startswith("resolve:ssm:"):
        return _resolve_parameter(index, resource_id.removeprefix("resolve:ssm:"))
    if resource_id.startswith("lt-"):
        identity, _, number = resource_id.partition(":")
        template = index.templates.get(identity)
        if template is None:
            return ()
        alias = {"$Default": template.default, "": template.default, "$Latest": template.latest}.get(number)
        referenced = template.resource_ids.get(int(number) if alias is None else alias, ())
        return tuple(dict.fromkeys(final for each in referenced for final in _resolve(index, each)))
    return (resource_id,)


def _resolve_parameter(index: ReferenceIndex, reference: str) -> tuple[str, ...]:
    # NAME, NAME:VERSION or NAME:LABEL; the name may be an ARN.
    # https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/using-systems-manager-parameter-to-find-AMI.html
    reference = re.sub(r"^arn:[^:]*:ssm:[^:]*:[^:]*:parameter", "", reference)
    name, _, selector = reference.partition(":")
    parameter = index.parameters.get(name) or index.parameters.get(name.lstrip("/"))
    if parameter is None:
        return ()
    selector = selector or str(parameter.version)
    versions = [v for v in parameter.versions if selector in (str(v.version), *v.labels)]
    return tuple(resource_id for version in versions for resource_id in version.resource_ids)
