"""The schedule's systemd units on a booted instance: the timer elapses, the sandboxed job runs, and a failure is reported."""

from __future__ import annotations

import base64
import io
import re
import tarfile
import time
from pathlib import Path, PurePosixPath

import pytest

from goldenami.aws.session import AwsSession
from goldenami.context import Context
from goldenami.rebuild import schedule_systemd
from goldenami.rebuild.schedule_model import ScheduleLocation
from goldenami.recipe.load import load
from goldenami.tools.clock import SystemClock
from goldenami.tools.progress import Progress
from tests.e2e.workspace import Workspace

pytestmark = pytest.mark.e2e

# Fake wrapper that records its environment and permissions and exits as configured.
INVOKE = """\
#!/bin/sh
cd build || exit 99
{
  echo "ran $* as $(id -un) in $(dirname "$(pwd)")"
  echo "no-install=$GOLDENAMI_NO_INSTALL plugins=$PACKER_PLUGIN_PATH"
  touch /etc/forbidden 2>/dev/null && echo "may write to /etc" || echo "may not write to /etc"
  touch "$PACKER_CONFIG_DIR/mine" 2>/dev/null && echo "may write to its cache"
  echo "capabilities $(sed -n 's/^CapEff:\\t//p' /proc/self/status)"
} >>ran
case $* in rebuild*) exit "$(cat code)" ;; esac
"""

SCRIPT = """\
#!/bin/bash
set -eu
useradd --system baker
mkdir -p /opt/goldenami/build
base64 -d <<'END' | tar -xz -C /
{archive}
END
chmod 755 /opt/goldenami/invoke
chown -R baker: /opt/goldenami
timer=goldenami-rebuild@guestbook.timer
service=goldenami-rebuild@guestbook.service
tell() {{ cat >>/run/told; }}
settle() {{ for _ in $(seq 100); do grep -qs "^ran $1" /opt/goldenami/build/ran && break; sleep 0.2; done; sleep 0.5; }}
# The unchanged timer, but it elapses in a few seconds.
mkdir -p /etc/systemd/system/$timer.d
printf '[Timer]\\nOnCalendar=%s\\nRandomizedDelaySec=0\\nAccuracySec=100ms\\n' "$(date -u -d '+4 seconds' '+%F %T UTC')" \\
  >/etc/systemd/system/$timer.d/soon.conf
echo 0 >/opt/goldenami/build/code
systemctl daemon-reload
systemctl enable --now $timer
settle rebuild
cat /opt/goldenami/build/ran | tell
systemctl show $service -p Result -p ExecMainStatus | tell
ls /var/lib/systemd/timers | tell
echo 5 >/opt/goldenami/build/code
rm /opt/goldenami/build/ran
systemctl start $service || echo "failed as it should" | tell
settle notify
cat /opt/goldenami/build/ran | tell
systemctl show $service -p Result -p ExecMainStatus | tell
# Repeated, because a login prompt interrupts writers on the console.
for _ in 1 2 3 4 5; do
  awk '{{ print "SCHEDULE " NR " " $0 }} END {{ print "SCHEDULE END " NR }}' /run/told >/dev/console
  sleep 2
done
"""


def archive(ctx: Workspace) -> str:
    """Return an archive of the checkout with the fake wrapper, and the units as schedule.install installs them."""
    recipe = load(ctx.root / "golden.toml").model_copy()
    recipe.read_from(Path("/opt/goldenami/golden.toml"))
    clock = SystemClock()
    there = Context(
        Path("/opt/goldenami"), recipe, recipe.target("aws"), AwsSession("ap-northeast-2"), clock, Progress(clock)
    )
    files = {
        str(path): text
        for path, text in schedule_systemd.files(there, ScheduleLocation(schedule_systemd.SYSTEM, "baker")).items()
    }
    files["/opt/goldenami/invoke"] = INVOKE
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for path, text in files.items():
            entry = tarfile.TarInfo(str(PurePosixPath(path).relative_to("/")))
            entry.size = len(text.encode())
            tar.addfile(entry, io.BytesIO(text.encode()))
    return base64.encodebytes(packed.getvalue()).decode()


def test_timer_starts_the_job(ctx: Workspace, baked: str) -> None:
    ec2 = ctx.client("ec2")
    script = SCRIPT.format(archive=archive(ctx).strip())
    assert len(script) < 16384, "EC2 takes no more user data"
    launched = ec2.run_instances(ImageId=baked, InstanceType="t3.micro", MinCount=1, MaxCount=1, UserData=script)
    machine = launched["Instances"][0]["InstanceId"]
    try:
        output = console(ctx, machine)
    finally:
        ec2.terminate_instances(InstanceIds=[machine])
    first, second = output.split("failed as it should\n")
    assert "ran rebuild --if-needed --recipe=/opt/goldenami/golden.toml as baker in /opt/goldenami\n" in first
    assert "no-install=1 plugins=/var/cache/goldenami/guestbook/plugins\n" in first
    assert "may not write to /etc\n" in first
    assert "may write to its cache\n" in first
    assert "capabilities 0000000000000000\n" in first
    assert "Result=success\nExecMainStatus=0\n" in first
    assert "stamp-goldenami-rebuild@guestbook.timer\n" in first  # Persistent=true stores the last run
    assert "Result=exit-code\nExecMainStatus=5\n" in second
    found = re.search(r"ran notify --failure --unless-notified=([0-9a-f]{32}) --text=(.*) --recipe=", second)
    assert found, second
    assert "(exit-code, exited 5)" in found[2]


def console(ctx: Workspace, machine: str) -> str:
    """Return the console's numbered lines, which are printed several times, once all have arrived."""
    deadline = time.monotonic() + 180
    while time.monotonic() < deadline:
        text = ctx.client("ec2").get_console_output(InstanceId=machine, Latest=True).get("Output", "")
        lines = {int(number): line.rstrip("\r") for number, line in re.findall(r"SCHEDULE (\d+) ([^\n]*)", text)}
        if (end := re.search(r"SCHEDULE END (\d+)", text)) and len(lines) == int(end[1]):
            return "".join(f"{lines[number]}\n" for number in sorted(lines))
        time.sleep(1)
    raise AssertionError(text[-3000:])
