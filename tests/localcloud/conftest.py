"""The local cloud in memory, as fixtures."""

from __future__ import annotations

from tests.support.cloud_fixtures import cloud, fleet_cloud  # noqa: F401 - fixtures
