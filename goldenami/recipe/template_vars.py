"""The variables of the templates: the values of recipe.env and of Packer's variables."""

from __future__ import annotations

from typing import Any

from goldenami.model.image import Layer
from goldenami.model.names import ResourceNames
from goldenami.recipe.recipe import Recipe

# Only the app layer may depend on these; they are empty in the base layer, so that its fingerprint does not change.
_APP_ONLY = (
    *("APP_SOURCE", "APP_REPOSITORY", "APP_COMMIT", "APP_REF", "APP_BUILD", "APP_EXEC", "APP_PORT", "APP_HEALTH"),
    *("APP_SCHEMA", "APP_MIGRATIONS", "RELEASE_COMMAND", "DB_NAME", "DB_USER", "DB_PASSWORD_PARAMETER", "AWS_REGION"),
    *("DB_MODE", "DB_HOST_PARAMETER", "DB_PORT", "DB_SSLMODE"),
)


def template_vars(recipe: Recipe, layer: Layer, region: str, app_commit: str) -> dict[str, Any]:
    """Return the variables of every template: those of recipe.env in capitals, and `recipe`, `layer`, `family`."""
    image, go, app, database = recipe.image, recipe.runtime.go, recipe.app, recipe.database
    values: dict[str, Any] = {
        "LAYER": layer,
        "IMAGE_NAME": image.name,
        "SERVICE": image.name,
        "GROUP": ResourceNames(image.name).group,
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
        "APP_CHECKS": tuple(
            word for c in recipe.checks for word in (c.path, str(c.status), c.contains, str(c.max_seconds))
        ),
        "APP_SCHEMA": app.schema_file,
        "APP_MIGRATIONS": recipe.release.migrations,
        "RELEASE_COMMAND": recipe.release.command,
        "APP_ENVIRONMENT": app.environment,
        "DB_NAME": database.name,
        "DB_USER": database.user,
        "DB_PASSWORD_PARAMETER": database.password_parameter,
        "DB_MODE": database.mode,
        "DB_HOST_PARAMETER": database.host_parameter,
        "DB_PORT": str(database.port),
        "DB_SSLMODE": "disable" if database.on_instance else database.sslmode,
        "PARAMETERS": tuple(parameter.name for parameter in recipe.parameters),
    }
    if layer == "base":
        values |= dict.fromkeys(_APP_ONLY, "") | {"PARAMETERS": (), "APP_CHECKS": (), "APP_ENVIRONMENT": {}}
    return values | {"recipe": recipe, "layer": layer, "family": image.os}


def go_url(recipe: Recipe) -> str:
    """Return the URL of the Go tarball; empty if Go comes from the distribution."""
    go = recipe.runtime.go
    if go.source == "distribution":
        return ""
    architecture = {"x86_64": "amd64", "arm64": "arm64"}[recipe.image.architecture]
    return go.url or f"https://go.dev/dl/go{go.version}.linux-{architecture}.tar.gz"
