"""A dump of several parts, on its way to the bucket and back: whoever is killed in its middle, it is whole or none."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.e2e.service import Service, command
from tests.e2e.test_rows import (
    BUCKET,
    kept,  # noqa: F401 - a fixture
    settled,
)
from tests.e2e.writer import Writer, entries

pytestmark = [pytest.mark.e2e, pytest.mark.data, pytest.mark.long]


# About 90 MB of a dump, which is three parts.
BALLAST = """
CREATE TABLE ballast (n int PRIMARY KEY, t text);
ALTER TABLE ballast OWNER TO guestbook;
INSERT INTO ballast SELECT n, (SELECT string_agg(md5(random()::text || n || k), '') FROM generate_series(1, 32) AS k)
  FROM generate_series(1, 150000) AS n;
"""
COUNTED = "SELECT count(*), sum(hashtext(t)::bigint) FROM ballast"
# Everything of the script for rows has its lock open.
KILL = """#!/bin/bash
for each in /proc/[0-9]*/fd/9; do
  [[ $(readlink "$each") == */goldenami-data.lock ]] && each=${each#/proc/} && kill -9 "${each%%/*}"
done; true
"""


def sql(service: Service, statement: str) -> str:
    (member,) = service.status()["instances"]
    return command(
        service, member["id"], f"cd / && runuser -u postgres -- psql -XAtq guestbook <<'SQL'\n{statement}\nSQL"
    )


def uploads(service: Service) -> list[dict[str, Any]]:
    """What is on its way to the bucket, with how many parts of it are there."""
    s3, found = service.client("s3"), []
    for one in s3.list_multipart_uploads(Bucket=BUCKET).get("Uploads", []):
        parts = s3.list_parts(Bucket=BUCKET, Key=one["Key"], UploadId=one["UploadId"]).get("Parts", [])
        found.append({**one, "Parts": len(parts)})
    return found


def until(what: Callable[[], Any], timeout: float = 120) -> Any:
    deadline = time.monotonic() + timeout
    while not (found := what()):
        assert time.monotonic() < deadline
        time.sleep(0.2)
    return found


def test_a_large_dump_is_whole_or_none_whoever_is_killed_in_its_middle(kept: Service) -> None:
    s3 = kept.client("s3")
    sql(kept, BALLAST)
    counted, before = sql(kept, COUNTED), json.loads(kept.ctx.ok("db.list", "--json"))
    (member,) = kept.status()["instances"]
    with Writer(kept.address, pause=0.2) as writer:
        # The machine's own work is killed with one part sent: nothing of it stays.
        with kept.ctx.running("db.backup") as going:
            (begun,) = until(lambda: [one for one in uploads(kept) if one["Parts"]])
            command(kept, member["id"], KILL)
            assert going.process.wait(120) == 5, going.log.read_text()[-3000:]
        assert uploads(kept) == []
        with pytest.raises(ClientError, match="404"):
            s3.head_object(Bucket=BUCKET, Key=begun["Key"])
        # Both are killed: its parts wait for the bucket's lifecycle, and are no object.
        with kept.ctx.running("db.backup") as going:
            (begun,) = until(lambda: [one for one in uploads(kept) if one["Parts"]])
            going.stop(signal.SIGKILL)
            command(kept, member["id"], KILL)
        assert [one["Key"] for one in uploads(kept)] == [begun["Key"]]
        with pytest.raises(ClientError, match="404"):
            s3.head_object(Bucket=BUCKET, Key=begun["Key"])
        # We are killed: the machine finishes its part, which is no backup; the same command makes one.
        with kept.ctx.running("db.backup") as going:
            until(lambda: [one for one in uploads(kept) if one["Parts"] and one["Key"] != begun["Key"]])
            going.stop(signal.SIGKILL)
        assert json.loads(kept.ctx.ok("db.list", "--json")) == before
        made = kept.ctx.ok("db.backup").strip()
    kept.ctx.ok("db.verify", "--backup", made)
    assert s3.head_object(Bucket=BUCKET, Key=f"guestbook/backups/{made}/dump")["ContentLength"] > 2 * (32 << 20)
    life = s3.get_bucket_lifecycle_configuration(Bucket=BUCKET)["Rules"]
    assert [rule["AbortIncompleteMultipartUpload"]["DaysAfterInitiation"] for rule in life] == [1]

    # The same with the way back.
    restore = ("db.restore", "--backup", made, "--replace")
    sql(kept, "DELETE FROM ballast WHERE n > 10")
    incoming = "SELECT 1 FROM pg_stat_activity WHERE datname = 'goldenami_incoming' AND query ~ '^COPY'"
    with kept.ctx.running(*restore) as going:
        until(lambda: sql(kept, incoming))
        command(kept, member["id"], KILL)
        assert going.process.wait(180) == 5, going.log.read_text()[-3000:]
        assert "What was there serves on" in going.log.read_text()
    assert sql(kept, "SELECT count(*) FROM ballast") == "10"
    assert set(entries(kept.address)) >= set(writer.acknowledged)
    for both in (False, True):
        with kept.ctx.running(*restore) as going:
            until(lambda: sql(kept, incoming))
            going.stop(signal.SIGKILL)
            if both:
                command(kept, member["id"], KILL)
        kept.ctx.ok(*restore)
        assert sql(kept, COUNTED) == counted
        sql(kept, "DELETE FROM ballast WHERE n > 10")
    kept.ctx.ok(*restore)
    assert sql(kept, COUNTED) == counted
    sql(kept, "DROP TABLE ballast")
    settled(kept, kept.pointer())
    for one in uploads(kept):
        s3.abort_multipart_upload(Bucket=BUCKET, Key=one["Key"], UploadId=one["UploadId"])
