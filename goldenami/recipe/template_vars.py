"""What templates may name: the values of recipe.env, and the values of Packer's variables."""

from __future__ import annotations

from typing import Any

from goldenami.bake.model import Inputs
from goldenami.model.image import Layer
from goldenami.model.names import Names
from goldenami.recipe.recipe import Recipe
from goldenami.tools.quoting import Value, packer_text

# What only the app layer may depend on; in the base layer these are empty.
_APP_ONLY = (
    *("APP_SOURCE", "APP_REPOSITORY", "APP_COMMIT", "APP_REF", "APP_BUILD", "APP_EXEC", "APP_PORT", "APP_HEALTH"),
    *("APP_SCHEMA", "DB_NAME", "DB_USER", "DB_PASSWORD_PARAMETER", "AWS_REGION"),
    *("DB_MODE", "DB_HOST_PARAMETER", "DB_PORT", "DB_SSLMODE"),
)


def context(recipe: Recipe, layer: Layer, region: str, app_commit: str) -> dict[str, Any]:
    """The names that every template knows: each of recipe.env in capitals, and `recipe`, `layer`, `family`."""
    image, go, app, database = recipe.image, recipe.runtime.go, recipe.app, recipe.database
    values: dict[str, Any] = {
        "LAYER": layer,
        "IMAGE_NAME": image.name,
        "SERVICE": image.name,
        "GROUP": Names(image.name).group,
        "FAMILY": image.family,
        "ARCHITECTURE": image.architecture,
        "GO_VERSION": go.version,
        "GO_SOURCE": go.source,
        "GO_SHA256": go.sha256,
        "GO_URL": go_url(recipe),
        "POSTGRESQL_VERSION": str(recipe.runtime.postgresql.version),
        "EXTRA_PACKAGES": recipe.runtime.packages,
        "AWS_REGION": region,
        "APP_SOURCE": "git" if app.is_git else "directory",
        "APP_REPOSITORY": app.source if app.is_git else "",
        "APP_COMMIT": app_commit,
        "APP_REF": app.ref if app.is_git else "",
        "APP_BUILD": app.build,
        "APP_DEPENDENCIES": app.dependencies.build if app.dependencies else "",
        "APP_USER": app.user,
        "APP_DIRECTORY": app.directory,
        "APP_EXEC": app.exec,
        "APP_PORT": str(app.port),
        "APP_HEALTH": app.health,
        "APP_SCHEMA": app.schema_file,
        "APP_ENVIRONMENT": app.environment,
        "DB_NAME": database.name,
        "DB_USER": database.user,
        "DB_PASSWORD_PARAMETER": database.password_parameter,
        "DB_MODE": database.mode,
        "DB_HOST_PARAMETER": database.host_parameter,
        "DB_PORT": str(database.port),
        "DB_SSLMODE": "disable" if database.on_instance else database.tls,
        "DB_SEEDED": database.seeded,
        "PARAMETERS": tuple(parameter.name for parameter in recipe.parameters),
    }
    if layer == "base":
        values |= dict.fromkeys(_APP_ONLY, "") | {"PARAMETERS": (), "DB_SEEDED": (), "APP_ENVIRONMENT": {}}
    return values | {"recipe": recipe, "layer": layer, "family": image.os}


def go_url(recipe: Recipe) -> str:
    """Where the Go tarball is, or nothing when Go comes from the distribution."""
    go = recipe.runtime.go
    if go.source == "distribution":
        return ""
    architecture = {"x86_64": "amd64", "arm64": "arm64"}[recipe.image.architecture]
    return go.url or f"https://go.dev/dl/go{go.version}.linux-{architecture}.tar.gz"


def packer_values(inputs: Inputs) -> dict[str, Value]:
    """The values of the variables that packer/variables.pkr.hcl declares."""
    recipe, target = inputs.recipe, inputs.target
    volume = recipe.image.root_volume
    tags = {packer_text(name): packer_text(value) for name, value in inputs.tags.items()}
    built_on = f"{recipe.image.family}, Go {recipe.runtime.go.version}, PostgreSQL {recipe.runtime.postgresql.version}"
    values: dict[str, Value] = {
        "region": inputs.region or target.region,
        "endpoint_url": inputs.endpoint_url or target.endpoint_url,
        "source_ami": inputs.source_ami,
        "ami_name": inputs.ami_name,
        "ami_description": f"{recipe.image.name} {inputs.layer} layer: {built_on}",
        "instance_type": recipe.instance_type(target),
        "ssh_username": recipe.image.os.user,
        "subnet_id": target.subnet_id,
        "security_group_ids": list(target.security_group_ids),
        # Fail closed: where nobody said from where, and Packer cannot find out, nobody gets in.
        "ssh_cidrs": list(target.ssh_cidrs) or ["127.0.0.1/32"],
        "iam_instance_profile": inputs.instance_profile or target.iam_instance_profile,
        "kms_key_id": target.kms_key_id,
        "root_device": recipe.image.os.root_device,
        "volume_size": volume.size_gib,
        "volume_type": volume.type,
        "volume_iops": volume.iops,
        "volume_throughput": volume.throughput,
        "encrypted": volume.encrypted,
        "tags": tags,
        "run_tags": tags | {"Name": f"{inputs.ami_name} (builder)"},
        "manifest": {"run": inputs.run_id, "layer": inputs.layer, "fingerprint": inputs.fingerprint},
    }
    return values
