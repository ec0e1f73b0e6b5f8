"""CodeBuild's projects: all that a project is given is kept, and a project can be changed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from moto.codebuild import responses
from moto.codebuild.exceptions import ResourceNotFoundException
from moto.core.responses import ActionResult

# What moto's CreateProject does not keep.
# https://docs.aws.amazon.com/codebuild/latest/APIReference/API_Project.html
_DROPPED = ("concurrentBuildLimit", "autoRetryLimit", "secondarySources", "fileSystemLocations")
_CHANGED = (
    *("description", "source", "sourceVersion", "artifacts", "environment", "serviceRole", "tags", "cache"),
    *("timeoutInMinutes", "queuedTimeoutInMinutes", "logsConfig", "vpcConfig", *_DROPPED),
)


def install() -> None:
    """CreateProject: moto drops some of what it is given. UpdateProject: moto has none."""
    create = responses.CodeBuildResponse.create_project
    if getattr(create, "whole", False):
        return

    def create_project(self: Any) -> Any:
        answer = create(self)
        _store(self, _DROPPED)
        return answer

    def update_project(self: Any) -> Any:
        name = self._get_param("name")
        if name not in self.codebuild_backend.codebuild_projects:
            raise ResourceNotFoundException(f"Project cannot be found: {name}")
        return ActionResult({"project": _store(self, _CHANGED)})

    create_project.whole = True  # type: ignore[attr-defined]
    responses.CodeBuildResponse.create_project = create_project
    responses.CodeBuildResponse.update_project = update_project


def _store(response: Any, names: Iterable[str]) -> dict[str, Any]:
    kept = response.codebuild_backend.codebuild_projects[response._get_param("name")]
    project: dict[str, Any] = kept.project_metadata
    project.update({name: value for name in names if (value := response._get_param(name)) is not None})
    return project
