"""Multipart backups that are killed halfway: the backup is complete or does not exist."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.e2e.service import Service, command
from tests.e2e.test_rows import BUCKET, assert_idle, guestbook as guestbook
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
# All processes of the data script have its lock open.
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
    """Return the unfinished multipart uploads with their number of parts."""
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


def test_killed_multipart_backup_is_complete_or_does_not_exist(guestbook: Service) -> None:
    s3 = guestbook.client("s3")
    sql(guestbook, BALLAST)
    counted, before = sql(guestbook, COUNTED), json.loads(guestbook.ctx.ok("db.list", "--json"))
    (member,) = guestbook.status()["instances"]
    with Writer(guestbook.address, pause=0.2) as writer:
        # Kill the script on the instance after one part: nothing remains.
        with guestbook.ctx.running("db.backup") as going:
            (begun,) = until(lambda: [one for one in uploads(guestbook) if one["Parts"]])
            command(guestbook, member["id"], KILL)
            assert going.process.wait(120) == 5, going.log.read_text()[-3000:]
        assert uploads(guestbook) == []
        with pytest.raises(ClientError, match="404"):
            s3.head_object(Bucket=BUCKET, Key=begun["Key"])
        # Kill both: the parts remain until the bucket's lifecycle aborts the upload, but no object exists.
        with guestbook.ctx.running("db.backup") as going:
            (begun,) = until(lambda: [one for one in uploads(guestbook) if one["Parts"]])
            going.stop(signal.SIGKILL)
            command(guestbook, member["id"], KILL)
        assert [one["Key"] for one in uploads(guestbook)] == [begun["Key"]]
        with pytest.raises(ClientError, match="404"):
            s3.head_object(Bucket=BUCKET, Key=begun["Key"])
        # Kill the command: the instance completes the upload, but without a manifest it is no backup.
        with guestbook.ctx.running("db.backup") as going:
            until(lambda: [one for one in uploads(guestbook) if one["Parts"] and one["Key"] != begun["Key"]])
            going.stop(signal.SIGKILL)
        assert json.loads(guestbook.ctx.ok("db.list", "--json")) == before
        made = guestbook.ctx.ok("db.backup").strip()
    guestbook.ctx.ok("db.verify", "--backup", made)
    assert s3.head_object(Bucket=BUCKET, Key=f"guestbook/backups/{made}/dump")["ContentLength"] > 2 * (32 << 20)
    life = s3.get_bucket_lifecycle_configuration(Bucket=BUCKET)["Rules"]
    assert [rule["AbortIncompleteMultipartUpload"]["DaysAfterInitiation"] for rule in life] == [1]

    # The same for a restore.
    restore = ("db.restore", "--backup", made, "--replace")
    sql(guestbook, "DELETE FROM ballast WHERE n > 10")
    incoming = "SELECT 1 FROM pg_stat_activity WHERE datname = 'goldenami_incoming' AND query ~ '^COPY'"
    with guestbook.ctx.running(*restore) as going:
        until(lambda: sql(guestbook, incoming))
        command(guestbook, member["id"], KILL)
        assert going.process.wait(180) == 5, going.log.read_text()[-3000:]
        assert "The service is up again, with the data as it was" in going.log.read_text()
    assert sql(guestbook, "SELECT count(*) FROM ballast") == "10"
    assert set(entries(guestbook.address)) >= set(writer.acknowledged)
    for both in (False, True):
        with guestbook.ctx.running(*restore) as going:
            until(lambda: sql(guestbook, incoming))
            going.stop(signal.SIGKILL)
            if both:
                command(guestbook, member["id"], KILL)
        guestbook.ctx.ok(*restore)
        assert sql(guestbook, COUNTED) == counted
        sql(guestbook, "DELETE FROM ballast WHERE n > 10")
    guestbook.ctx.ok(*restore)
    assert sql(guestbook, COUNTED) == counted
    sql(guestbook, "DROP TABLE ballast")
    assert_idle(guestbook, guestbook.production_ami())
    for one in uploads(guestbook):
        s3.abort_multipart_upload(Bucket=BUCKET, Key=one["Key"], UploadId=one["UploadId"])
