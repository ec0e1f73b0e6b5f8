"""Two major versions of PostgreSQL: data is transferred to the newer one, and never to an older one."""

from __future__ import annotations

import pytest

from tests.e2e.service import VARIANTS, Service, command
from tests.e2e.test_rows import assert_idle, guestbook as guestbook
from tests.e2e.writer import Writer

pytestmark = [pytest.mark.e2e, pytest.mark.data, pytest.mark.long]

# Replaces the server by the next Debian's, with a cluster like the one of a bake.
VARIANTS["newer server"] = """
systemctl stop guestbook.service guestbook-database.service postgresql.service
key=/usr/share/keyrings/debian-archive-keyring.gpg
echo "deb [signed-by=$key] http://deb.debian.org/debian trixie main" >/etc/apt/sources.list.d/trixie.list
export DEBIAN_FRONTEND=noninteractive LANG=C.UTF-8
apt-get -q update
apt-get -q install --yes --no-install-recommends --target-release=trixie postgresql-17
pg_dropcluster --stop 15 main
pg_dropcluster --stop 17 main || true
pg_createcluster --locale=C.UTF-8 --encoding=UTF8 --port=5432 17 main
apt-get -q purge --yes postgresql-15
"""


def major(service: Service) -> str:
    """Return the major version of the running server."""
    (member,) = service.client("autoscaling").describe_auto_scaling_groups()["AutoScalingGroups"][0]["Instances"]
    version = command(service, member["InstanceId"], "cd / && runuser -u postgres -- psql -XAtc 'SHOW server_version'")
    return version.partition(".")[0]


def test_data_moves_to_a_newer_server_and_never_to_an_older_one(guestbook: Service) -> None:
    older, newer = guestbook.good, guestbook.image("newer server")
    guestbook.client("ec2").create_tags(Resources=[newer], Tags=[{"Key": "PostgreSQL", "Value": "17"}])
    assert major(guestbook) == "15"
    with Writer(guestbook.address) as writer:
        guestbook.ctx.ok("promote", "--ami", newer)
    assert_idle(guestbook, newer)
    writer.check()
    assert major(guestbook) == "17"

    with Writer(guestbook.address) as later:
        for asked in (("promote", "--ami", older), ("rollback",)):
            done = guestbook.ctx.invoke(*asked)
            assert done.returncode == 5, done.stderr[-3000:]
            assert "has PostgreSQL 17 and the image 15, which cannot read its data" in done.stderr
            assert "Nothing was changed" in done.stderr
    assert_idle(guestbook, newer)
    writer.check()
    later.check()
    assert (later.refused, later.unsure) == ([], []), "no request failed"
    print(f"{len(writer.acknowledged)} rows transferred, longest write downtime {writer.longest:.1f} s")
