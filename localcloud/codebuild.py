"""CodeBuild projects: all settings are stored, and projects can be updated."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from moto.codebuild.exceptions import ResourceNotFoundException
from moto.codebuild.responses import CodeBuildResponse
from moto.core.responses import ActionResult

from localcloud.core.overrides import replace_methods

_create = CodeBuildResponse.create_project

# Settings that moto's CreateProject ignores.
# https://docs.aws.amazon.com/codebuild/latest/APIReference/API_Project.html
_IGNORED = ("concurrentBuildLimit", "autoRetryLimit", "secondarySources", "fileSystemLocations")
_UPDATABLE = (
    *("description", "source", "sourceVersion", "artifacts", "environment", "serviceRole", "tags", "cache"),
    *("timeoutInMinutes", "queuedTimeoutInMinutes", "logsConfig", "vpcConfig", *_IGNORED),
)


def install() -> None:
    """Replace CreateProject, and add UpdateProject."""

    def create_project(self: Any) -> Any:
        """moto ignores some settings. https://docs.aws.amazon.com/codebuild/latest/APIReference/API_CreateProject.html"""
        response = _create(self)
        _store(self, _IGNORED)
        return response

    def update_project(self: Any) -> Any:
        """moto lacks the action. https://docs.aws.amazon.com/codebuild/latest/APIReference/API_UpdateProject.html"""
        name = self._get_param("name")
        if name not in self.codebuild_backend.codebuild_projects:
            raise ResourceNotFoundException(f"Project cannot be found: {name}")
        return ActionResult({"project": _store(self, _UPDATABLE)})

    replace_methods(CodeBuildResponse, create_project, update_project)


def _store(response: Any, names: Iterable[str]) -> dict[str, Any]:
    name = response._get_param("name")
    project: dict[str, Any] = response.codebuild_backend.codebuild_projects[name].project_metadata
    project.update({name: value for name in names if (value := response._get_param(name)) is not None})
    return project
