"""Every rule that AWS takes becomes configuration that HAProxy takes, whatever is written in it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from localcloud.elbv2.haproxy_config import Frontend, Plan, Route, Server, build_route, render

HAPROXY = shutil.which("haproxy") or shutil.which("haproxy", path="/usr/sbin")
NAMES = {"arn:a": "tg-a", "arn:b": "tg-b"}
EVIL = 'it\'s "${HOME}" %[env(HOME)] # { } \\ \n use_backend x'


def build_action(**data: Any) -> Any:
    return SimpleNamespace(data=data)


def build_forward(*weights: int) -> Any:
    groups = [{"TargetGroupArn": arn, "Weight": weight} for arn, weight in zip(NAMES, weights, strict=False)]
    return build_action(Type="forward", ForwardConfig={"TargetGroups": groups})


CONDITIONS: list[dict[str, Any]] = [
    {"Field": "path-pattern", "Values": ["/img/*", "/a?b", EVIL]},
    {"Field": "path-pattern", "PathPatternConfig": {"Values": ["/x"]}},
    {"Field": "host-header", "HostHeaderConfig": {"Values": ["*.example.com"]}},
    {"Field": "http-header", "HttpHeaderConfig": {"HttpHeaderName": "X-Canary", "Values": ["yes", EVIL]}},
    {"Field": "http-request-method", "HttpRequestMethodConfig": {"Values": ["GET", "POST"]}},
    {"Field": "source-ip", "SourceIpConfig": {"Values": ["127.0.0.0/8"]}},
    {"Field": "query-string", "QueryStringConfig": {"Values": [{"Key": "v", "Value": "2*"}, {"Value": EVIL}]}},
]
ACTIONS = [
    build_forward(80, 20),
    build_action(Type="forward", TargetGroupArn="arn:a"),
    build_action(Type="fixed-response", FixedResponseConfig={"StatusCode": "404", "MessageBody": EVIL}),
    build_action(Type="fixed-response", FixedResponseConfig={"StatusCode": "204"}),
    build_action(Type="redirect", RedirectConfig={"StatusCode": "HTTP_301", "Protocol": "HTTPS", "Port": "443"}),
    build_action(Type="redirect", RedirectConfig={"StatusCode": "HTTP_302", "Path": "/new/#{path}", "Query": "a=1"}),
    build_forward(0, 0),
]


@pytest.mark.skipif(HAPROXY is None, reason="needs HAProxy")
def test_haproxy_takes_whatever_is_asked(tmp_path: Path) -> None:
    routes = [
        build_route([condition], [ACTIONS[index % len(ACTIONS)]], NAMES) for index, condition in enumerate(CONDITIONS)
    ]
    routes.append(build_route(CONDITIONS, [build_forward(1, 1)], NAMES))
    routes.append(Route((), (("tg-a", 1),)))
    backends = {"tg-a": (Server("i-1", "127.1.2.3", 8080, True),), "tg-b": ()}
    plan = Plan((Frontend("l-1", "127.1.2.9", 8093, tuple(routes)),), backends)
    text = render(plan, {"tg-a": [None, "i-1"], "tg-b": [None]}, {("127.1.2.9", 8093): 9999})
    assert "  server s1 127.1.2.3:8080\n" in text
    assert "bind 127.1.2.9:9999" in text
    config = tmp_path / "haproxy.cfg"
    config.write_text(text)
    done = subprocess.run([str(HAPROXY), "-c", "-f", str(config)], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr


def test_weights_become_shares_and_nothing_to_choose_from_is_unavailable() -> None:
    assert build_route([], [build_forward(3, 1)], NAMES).weights == (("tg-a", 3), ("tg-b", 1))
    assert build_route([], [build_forward(0, 0)], NAMES).answer == "return status 503"
    assert (
        build_route([], [build_action(Type="forward", TargetGroupArn="arn:gone")], NAMES).answer == "return status 503"
    )
    plan = Plan(
        (Frontend("l", "127.1.2.9", 80, (build_route([], [build_forward(3, 1)], NAMES),)),), {"tg-a": (), "tg-b": ()}
    )
    text = render(plan, {"tg-a": [], "tg-b": []}, {})
    assert "use_backend tg-a if { var(txn.rule) -m int 1 } { var(txn.random) -m int lt 750000 }" in text
    assert "use_backend tg-b if { var(txn.rule) -m int 1 } { var(txn.random) -m int lt 1000000 }" in text
