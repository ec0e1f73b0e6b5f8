"""The [database] keys: which combinations are refused, and the image's units in each storage mode."""

from __future__ import annotations

from pathlib import Path

import pytest

from goldenami.bake.render import render
from tests.support.recipes import RDS, VOLUME, problems, recipe
from tests.support.rendering import inputs

BAD = [
    ({"fleet.max": 2}, '[fleet] max: expected 1 with [database] mode = "instance", got 2: each instance would have a'),
    ({"fleet.max": 2}, 'set max = 1, or mode = "rds" under [database]'),
    ({"fleet.run_command": False}, '[fleet] run_command: expected true with [database] mode = "instance", got false'),
    ({"database.mode": "volum"}, '[database] mode: expected "rds", "volume" or "instance"'),
    ({"database.mode": "volume", "fleet.max": 2}, "got 2: a volume is attached to one instance at a time; set max = 1"),
    (
        {"database.mode": "volume", "promote.traffic": [10, 100]},
        'traffic: expected none with [database] mode = "volume"',
    ),
    ({"database.volume": {"size_gib": 30}}, '[database.volume]: expected no volume with mode = "instance"'),
    (
        {"database.mode": "volume", "database.volume": {"size_gib": 0}},
        "[database.volume] size_gib: expected a number of",
    ),
    ({"database.mode": "volume", "database.port": 5433}, '[database] port: expected no port with mode = "volume"'),
    ({"database.host_parameter": "/guestbook/production/db/password"}, "[database] host_parameter: expected no host"),
    ({"database.port": 5433}, '[database] port: expected no port with mode = "instance"'),
    ({**RDS, "database.host_parameter": ""}, "[database] host_parameter: expected the parameter that holds"),
    ({**RDS, "database.host_parameter": "/other"}, "[database] host_parameter: expected the name of one of"),
    (
        {**RDS, "database.host_parameter": "/guestbook/production/db/password"},
        '[database] host_parameter: expected a parameter with type = "String", got',
    ),
    ({"database.seeded": ["countries"]}, "[database] seeded: no longer needed, remove it"),
    ({"backup": {"bucket": "Backups"}}, "[backup] bucket: expected a bucket name"),
    ({"backup": {"retention_days": 0}}, "[backup] retention_days: expected a number of days"),
]


@pytest.mark.parametrize(("changes", "message"), BAD)
def test_recipe_that_could_lose_data_is_refused(changes: dict[str, object], message: str) -> None:
    messages = problems(changes)
    assert any(message in problem for problem in messages), messages


def test_mode_defaults_to_instance() -> None:
    assert recipe().database.on_instance
    assert not recipe(RDS).database.on_instance
    assert recipe(RDS | {"fleet.run_command": False}).fleet.max == 5


def test_only_an_image_with_its_own_database_starts_postgresql(tmp_path: Path) -> None:
    texts = {}
    for mode, changes in (("instance", {}), ("volume", VOLUME), ("rds", RDS)):
        render(inputs(changes), tmp_path / mode)
        files = tmp_path / mode / "files"
        texts[mode] = [(files / name).read_text() for name in ("guestbook.service", "guestbook-database.service")]
    app, database = texts["instance"]
    assert 'Environment="DB_HOST=127.0.0.1"' in app
    assert "Requires=postgresql.service" in database
    app, database = texts["volume"]
    assert 'Environment="DB_HOST=127.0.0.1"' in app
    assert "Requires=postgresql.service" in database
    assert 'Environment="DB_MODE=volume"' in database
    unit = (tmp_path / "volume/files/goldenami-volume.service").read_text()
    assert 'Environment="GROUP=guestbook-asg"' in unit
    assert not (tmp_path / "instance/files/goldenami-volume.service").exists()
    app, database = texts["rds"]
    assert "EnvironmentFile=/run/goldenami/database.env" in app
    assert "DB_HOST=127" not in app
    assert "Requires=postgresql" not in database
    assert "Wants=network-online.target\n" in app
