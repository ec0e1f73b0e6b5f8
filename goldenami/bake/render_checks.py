"""Checks of rendered HCL: IMDSv2, encryption, no sharing, tags, a manifest, and no secrets."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from goldenami.model import image
from goldenami.tools import packer_schema
from goldenami.tools.hcl import Block, Expression, read

# Comments in the template that allow an exception.
AFTER_BUILD = "# IMDSv2: enforced after the build with ModifyImageAttribute"
UNENCRYPTED = "# The recipe disables encryption."

# Attributes that share an AMI, or that delete an existing one.
_SHARING = ["ami_users", "ami_groups", "ami_org_arns", "ami_ou_arns", "snapshot_users", "snapshot_groups"]
_DESTRUCTIVE = ["force_deregister", "force_delete_snapshot"]
_CREDENTIALS = ["access_key", "secret_key", "token", "mfa_code"]
_CREDENTIALS += ["ssh_password", "ssh_bastion_password", "ssh_proxy_password"]

# Tags that every AMI must have, besides those of goldenami.
REQUIRED_TAGS = ("Name", "Environment", "Created", "Go", "PostgreSQL")

_SECRETS = {
    "an AWS access key": r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b",
    "a private key": r"-----BEGIN [A-Z ]*PRIVATE KEY-----",
    "an AWS secret": r"(?i)(?:secret_access_key|session_token)[\"']?\s*[:=]\s*[\"']?[A-Za-z0-9/+=]{20,}",
    "a GitHub token": r"\b(?:gh[pousr]_[A-Za-z0-9]{36}|github_pat_[A-Za-z0-9_]{50,})\b",
    "a password in a URL": r"://[^/\s:@\"'$]+:[^/\s@\"'$]+@",
}


def check(blocks: list[Block], values: Mapping[str, Any], text: str, generation: str) -> Iterator[str]:
    """Yield each violation of a rule by the HCL."""
    sources = [b for b in blocks if b.kind == "source"]
    if [s.labels[0] for s in sources] != ["amazon-ebs"]:
        yield "there must be exactly one source, an amazon-ebs"
        return
    source = sources[0]
    yield from _imds(source, text, generation)
    yield from _volume(source, values, text)
    for names, reason in (
        (_SHARING, "would share the image; images are private"),
        (_DESTRUCTIVE, "would delete images that may be in use"),
        (_CREDENTIALS, "must come from the environment, never from HCL"),
    ):
        yield from (f"{name} {reason}" for name in names if name in source.attributes)
    ami = source.value("source_ami", values)
    if not isinstance(ami, str) or not re.fullmatch(r"ami-[0-9a-f]{8,17}", ami):
        yield f"source_ami must be an AMI id, not {ami!r}"
    for name in ("tags", "snapshot_tags", "run_tags", "run_volume_tags"):
        yield from _tags(name, source.value(name, values))
    yield from _build(blocks)


def _imds(source: Block, text: str, generation: str) -> Iterator[str]:
    if generation == "1.6":
        if AFTER_BUILD not in text:
            yield "IMDSv2 is neither required nor marked to be enforced after the build"
        return
    options = source.inner("metadata_options")
    if source.attributes.get("imds_support") != "v2.0":
        yield 'imds_support must be "v2.0", so that instances of the AMI require IMDSv2'
    if not options or options[0].attributes.get("http_tokens") != "required":
        yield 'metadata_options must hold http_tokens = "required", so that the builder requires IMDSv2'


def _volume(source: Block, values: Mapping[str, Any], text: str) -> Iterator[str]:
    volumes = source.inner("launch_block_device_mappings")
    if not volumes:
        yield "the root volume must be declared, with its encryption"
    for volume in volumes:
        encrypted = volume.value("encrypted", values)
        if encrypted is not True and not (encrypted is False and UNENCRYPTED in text):
            yield "the root volume must be encrypted"
        if volume.attributes.get("delete_on_termination") is not True:
            yield "the root volume must be deleted on termination"


def _tags(name: str, tags: Any) -> Iterator[str]:
    if not isinstance(tags, Mapping):
        yield f"{name} must be set"
        return
    required = [*REQUIRED_TAGS, image.RUN, image.LAYER, image.FINGERPRINT, image.SOURCE_AMI]
    if tags.get(image.LAYER) == "app":
        required += ["Version", image.COMMIT]
    missing = [tag for tag in required if not tags.get(tag)]
    if missing:
        yield f"{name} lacks {', '.join(missing)}"
    if len(tags) > 50:
        yield f"{name} has {len(tags)} tags; EC2 allows 50"
    for tag, value in tags.items():
        if len(tag) > 127 or len(value) > 256 or tag.lower().startswith("aws:"):
            yield f"{name} has a tag that EC2 rejects: {tag[:60]}"


def _build(blocks: list[Block]) -> Iterator[str]:
    builds = [b for b in blocks if b.kind == "build"]
    if len(builds) != 1:
        yield "there must be exactly one build"
        return
    manifests = [b for b in builds[0].inner("post-processor") if b.labels == ("manifest",)]
    if not manifests or manifests[0].attributes.get("output") != "packer-manifest.json":
        yield "a manifest post-processor must write packer-manifest.json"
    steps = builds[0].inner("provisioner")
    downloads = [n for n, step in enumerate(steps) if step.attributes.get("direction") == "download"]
    cleanups = [n for n, step in enumerate(steps) if "clean" in str(step.attributes.get("script", ""))]
    if not downloads or (cleanups and min(cleanups) < downloads[0]):
        yield "the report must be downloaded before the clean-up"


def missing_files(blocks: list[Block], folder: Path) -> Iterator[str]:
    """Yield each file of a provisioner that is not in the folder."""
    for step in (step for build in blocks if build.kind == "build" for step in build.inner("provisioner")):
        name = step.attributes.get("script") or step.attributes.get("source")
        if isinstance(name, Expression) or name is None or step.attributes.get("direction") == "download":
            continue
        if not (folder / name).exists():
            yield f"{name} is used in the HCL but is not in the folder"


def secrets(folder: Path) -> Iterator[str]:
    """Yield each rendered file that seems to contain a secret, without the secret."""
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.name != "ssh_key" and not path.name.endswith((".gz", ".log")):
            text = path.read_text(encoding="utf-8", errors="replace")
            for kind, pattern in _SECRETS.items():
                if re.search(pattern, text):
                    yield f"{path.relative_to(folder)} seems to contain {kind}"


def check_attributes(folder: Path) -> list[str]:
    """Return every reason not to build a rendered folder; empty if it passes all checks."""
    blocks, values = read(folder)
    generation: packer_schema.Generation = "1.7" if any(block.kind == "packer" for block in blocks) else "1.6"
    text = (folder / "golden.pkr.hcl").read_text(encoding="utf-8")
    return [
        *packer_schema.check(blocks, values, generation),
        *check(blocks, values, text, generation),
        *missing_files(blocks, folder),
        *secrets(folder),
    ]
