"""Everything in an account that names AMIs and snapshots: who would miss one if it were gone."""

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

# An AMI or a snapshot, wherever it stands in a text.
_RESOURCE_ID = re.compile(r"(?:ami|snap)-(?:[0-9a-f]{17}|[0-9a-f]{8})(?![0-9a-f])")


@dataclass(frozen=True)
class Reference:
    """Something that names a thing.

    Attributes:
        thing: An AMI's or snapshot's id; `resolve:ssm:…` for what a parameter says; `lt-…:3` for what a version of a
            launch template says.
        by: Who names it, in words.
    """

    resource_id: str
    kind: ReferenceKind
    by: str


@dataclass(frozen=True)
class TemplateReferences:
    """A launch template: what each of its versions names. A version never changes, so it is read once."""

    name: str
    default: int
    latest: int
    resource_ids: Mapping[int, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class ParameterVersion:
    """A version of a parameter that names AMIs or snapshots."""

    version: int
    resource_ids: tuple[str, ...]
    labels: tuple[str, ...] = ()


@dataclass(frozen=True)
class ParameterHistory:
    """A parameter: what its versions name, oldest first.

    Attributes:
        version: The current version.
        modified: When it was written, as Parameter Store says it; with the version, it tells whether it has changed.
    """

    version: int
    modified: str
    versions: tuple[ParameterVersion, ...] = ()


@dataclass(frozen=True)
class ReferenceIndex:
    """What was found in an account, at one time.

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
    """Our own parameters: what is in production, what is next, and the path under which all of ours are.

    Of their histories only what a rollback needs counts.
    """

    production: str
    candidate: str
    path: str


def resource_ids(text: str) -> tuple[str, ...]:
    """The ids of AMIs and snapshots in a text, each once."""
    return tuple(dict.fromkeys(_RESOURCE_ID.findall(text)))


def find_references(index: ReferenceIndex, pointers: Pointers) -> dict[str, list[Reference]]:
    """Who names each AMI and snapshot.

    Of parameters of others every version counts that Parameter Store still has, for a launch may ask for one by its number.
    Of our own the current version counts, and those with a label; and any that somebody asks for by number.
    """
    found: dict[str, dict[Reference, None]] = {}
    for reference in [*index.references, *_template_references(index), *_parameter_references(index, pointers)]:
        for thing in _resolve(index, reference.resource_id):
            found.setdefault(thing, {})[Reference(thing, reference.kind, reference.by)] = None
    return {thing: list(by) for thing, by in found.items()}


def rollback_targets(index: ReferenceIndex, production: str, good: Mapping[str, Image], limit: int) -> tuple[str, ...]:
    """The images that were in production before the current one and could be again, newest first.

    Those that no longer exist or have turned out bad are passed over, as a rollback does.
    """
    setting = index.parameters.get(production)
    if setting is None:
        return ()
    named = [(said.version, ami) for said in setting.versions for ami in said.resource_ids]
    current = {ami for version, ami in named if version == setting.version}
    earlier = [ami for ami in dict.fromkeys(ami for _, ami in reversed(named)) if ami not in current and ami in good]
    return tuple(earlier[:limit])


def parent_references(owned: Iterable[Image]) -> Iterator[Reference]:
    """Each image names what it was made from: its base layer, or the image that it is a copy of."""
    for image in owned:
        for parent in {image.tags.get(SOURCE_AMI, ""), image.source} - {"", image.id}:
            yield Reference(parent, "child", f"{image.name or 'an image'} ({image.id}) was made from it")


def protection_references(image: Image, shares: Sequence[str]) -> Iterator[Reference]:
    """What holds an image by itself: whom it is shared with, and EC2's own protection."""
    if image.public:
        yield Reference(image.id, "share", "it is public")
    for account in shares:
        yield Reference(image.id, "share", f"it is shared with {account}")
    if image.protection not in ("", "disabled"):
        yield Reference(image.id, "protection", f"deregistration protection is {image.protection}")


def _template_references(census: ReferenceIndex) -> Iterator[Reference]:
    for identity, template in census.templates.items():
        for number in template.resource_ids:
            yield Reference(f"{identity}:{number}", "template", f"launch template {template.name} version {number}")


def _parameter_references(census: ReferenceIndex, ours: Pointers) -> Iterator[Reference]:
    for name, setting in census.parameters.items():
        pointer = {ours.production: "production", ours.candidate: "candidate"}.get(name)
        for said in setting.versions:
            current = said.version == setting.version
            if name.startswith(f"{ours.path}/") and not current and not said.labels:
                continue
            which = "" if current else f" version {said.version}"
            told = f"it is the {pointer} ({name})" if pointer and current else f"parameter {name}{which}{_labels(said)}"
            for thing in said.resource_ids:
                yield Reference(thing, "pointer" if pointer else "parameter", told)


def _labels(said: ParameterVersion) -> str:
    return f" ({', '.join(said.labels)})" if said.labels else ""


def _resolve(census: ReferenceIndex, thing: str) -> tuple[str, ...]:
    """The AMIs and snapshots behind a thing."""
    if thing.startswith("resolve:ssm:"):
        return _resolve_parameter(census, thing.removeprefix("resolve:ssm:"))
    if thing.startswith("lt-"):
        identity, _, number = thing.partition(":")
        template = census.templates.get(identity)
        if template is None:
            return ()
        which = {"$Default": template.default, "": template.default, "$Latest": template.latest}.get(number)
        found = template.resource_ids.get(int(number) if which is None else which, ())
        return tuple(dict.fromkeys(meant for one in found for meant in _resolve(census, one)))
    return (thing,)


def _resolve_parameter(census: ReferenceIndex, asked: str) -> tuple[str, ...]:
    # NAME, NAME:VERSION or NAME:LABEL; the name may be an ARN.
    # https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/using-systems-manager-parameter-to-find-AMI.html
    asked = re.sub(r"^arn:[^:]*:ssm:[^:]*:[^:]*:parameter", "", asked)
    name, _, which = asked.partition(":")
    setting = census.parameters.get(name) or census.parameters.get(name.lstrip("/"))
    if setting is None:
        return ()
    wanted = which or str(setting.version)
    return tuple(
        t for said in setting.versions if wanted in (str(said.version), *said.labels) for t in said.resource_ids
    )
