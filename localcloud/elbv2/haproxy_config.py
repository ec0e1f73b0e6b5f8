"""The load balancers' configuration for HAProxy: listeners, rules, weights. Pure: the same plan, the same text.

https://docs.aws.amazon.com/elasticloadbalancing/latest/application/listener-rules.html
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

WEIGHT_RANGE = 1_000_000  # of the die that weighted target groups are chosen by


@dataclass(frozen=True)
class Server:
    """One target: its id, its address, and whether it gets new requests."""

    target: str
    host: str
    port: int
    up: bool


@dataclass(frozen=True)
class Route:
    """One rule: HAProxy conditions (each a list of alternatives), and what is done then."""

    conditions: tuple[tuple[str, ...], ...] = ()
    weights: tuple[tuple[str, int], ...] = ()  # (backend, weight)
    answer: str = ""  # an `http-request` action instead of a backend


@dataclass(frozen=True)
class Frontend:
    """One listener."""

    name: str
    host: str
    port: int
    routes: tuple[Route, ...]


@dataclass(frozen=True)
class Plan:
    """Everything that the data plane is to do."""

    frontends: tuple[Frontend, ...] = ()
    backends: dict[str, tuple[Server, ...]] = field(default_factory=dict)
    idle_seconds: int = 60


HEAD = """\
global
  nbthread 1
  maxconn 1000
  hard-stop-after 1h
  stats socket unix@haproxy.sock mode 600 level admin expose-fd listeners
defaults
  mode http
  # no connection to a target is used twice: a target that goes away cannot cut a request that was just sent on one
  option http-server-close
  # a process that is replaced lets each kept connection have its next request, and closes it with the answer
  option idle-close-on-response
  option forwardfor
  retries 0
  timeout connect 10s
  timeout http-request 60s
  timeout client {idle}s
  timeout server {idle}s
  timeout http-keep-alive {idle}s
"""


def render(plan: Plan, slots: dict[str, list[str | None]], detours: Mapping[tuple[str, int], int]) -> str:
    """The configuration, with each backend's targets in the slots that they have in the running process.

    `detours`: where to listen instead, for addresses and ports that something else of the host holds.
    """
    lines = [HEAD.format(idle=plan.idle_seconds)]
    for frontend in plan.frontends:
        listening = detours.get((frontend.host, frontend.port), frontend.port)
        lines += [f"frontend {frontend.name}", f"  bind {frontend.host}:{listening}"]
        lines += ["  http-request set-header X-Forwarded-Proto http"]
        lines += [f"  http-request set-header X-Forwarded-Port {frontend.port}"]
        lines += [f"  http-request set-var(txn.die) rand({WEIGHT_RANGE})", "  http-request set-var(txn.rule) int(0)"]
        for number, route in enumerate(frontend.routes, 1):
            names = []
            for index, alternatives in enumerate(route.conditions):
                names.append(name := f"c{number}_{index}")
                lines += [f"  acl {name} {text}" for text in alternatives]
            first = "{ var(txn.rule) -m int 0 }"
            lines.append(f"  http-request set-var(txn.rule) int({number}) if {' '.join([first, *names])}")
            if route.answer:
                lines.append(f"  http-request {route.answer} if {{ var(txn.rule) -m int {number} }}")
        for number, route in enumerate(frontend.routes, 1):
            total, below = sum(weight for _, weight in route.weights), 0
            for backend, weight in route.weights:
                below += weight
                if weight:
                    share = f"{{ var(txn.die) -m int lt {below * WEIGHT_RANGE // total} }}"
                    lines.append(f"  use_backend {backend} if {{ var(txn.rule) -m int {number} }} {share}")
    for name, servers in plan.backends.items():
        known = {server.target: server for server in servers}
        lines += [f"backend {name}", "  balance roundrobin"]
        for index, target in enumerate(slots[name]):
            server = known.get(target or "")
            place = f"{server.host}:{server.port}" if server else "127.0.0.1:1"
            lines.append(f"  server s{index} {place}{'' if server and server.up else ' disabled'}")
    return "\n".join(lines) + "\n"


def build_route(conditions: list[dict[str, Any]], actions: list[Any], names: dict[str, str]) -> Route:
    """A listener's rule as a route; `names`: target group ARN -> backend."""
    matchers = tuple(build_matcher(one) for one in conditions)
    action = actions[-1].data if actions else {}
    kind = action.get("Type")
    if kind == "fixed-response":
        given = action.get("FixedResponseConfig", {})
        text = f"return status {int(given.get('StatusCode', 200))}"
        if given.get("MessageBody"):
            text += (
                f" content-type {quote(given.get('ContentType') or 'text/plain')} string {quote(given['MessageBody'])}"
            )
        return Route(matchers, answer=text)
    if kind == "redirect":
        return Route(matchers, answer=build_redirect(action.get("RedirectConfig", {})))
    if kind != "forward":
        return Route(matchers, answer="return status 503")
    config = action.get("ForwardConfig") or {}
    groups = config.get("TargetGroups") or [{"TargetGroupArn": action.get("TargetGroupArn"), "Weight": 1}]
    weights = [
        (names[one["TargetGroupArn"]], int(one.get("Weight", 1))) for one in groups if one["TargetGroupArn"] in names
    ]
    if not any(weight for _, weight in weights):
        return Route(matchers, answer="return status 503")
    return Route(matchers, tuple(weights))


def build_matcher(condition: dict[str, Any]) -> tuple[str, ...]:
    """One condition's alternatives as HAProxy samples."""
    kind = condition.get("Field")

    def values(config: str) -> list[Any]:
        return list((condition.get(config) or {}).get("Values") or condition.get("Values") or [])

    if kind == "path-pattern":
        return tuple(f"path -m reg {quoted_regex(one)}" for one in values("PathPatternConfig"))
    if kind == "host-header":
        return tuple(f"req.hdr(host),field(1,:) -i -m reg {quoted_regex(one)}" for one in values("HostHeaderConfig"))
    if kind == "http-header":
        name = re.sub(r"[^A-Za-z0-9_-]", "", condition["HttpHeaderConfig"]["HttpHeaderName"])
        return tuple(f"req.hdr({name}) -i -m reg {quoted_regex(one)}" for one in values("HttpHeaderConfig"))
    if kind == "http-request-method":
        return tuple(f"method {quote(one)}" for one in values("HttpRequestMethodConfig"))
    if kind == "source-ip":
        return tuple(f"src {quote(one)}" for one in values("SourceIpConfig"))
    if kind == "query-string":
        found = []
        for one in values("QueryStringConfig"):
            key = re.sub(r"[^A-Za-z0-9_.-]", "", one.get("Key") or "")
            sample = f"url_param({key})" if key else "query"
            text = quoted_regex(one["Value"]) if key else quote(f"(^|&)[^=]*={wildcard_regex(one['Value'])}(&|$)")
            found.append(f"{sample} -i -m reg {text}")
        return tuple(found)
    return ("always_false",)


def build_redirect(config: dict[str, Any]) -> str:
    parts = {
        "protocol": "http",
        "host": "%[req.hdr(host),field(1,:)]",
        "port": "%[dst_port]",
        "path": "%[path]",
        "query": "%[query]",
    }
    text = f"{config.get('Protocol', '#{protocol}')}://{config.get('Host', '#{host}')}:{config.get('Port', '#{port}')}"
    text += config.get("Path", "/#{path}").replace("/#{path}", "#{path}")
    if query := config.get("Query", "#{query}"):
        text += f"?{query}"
    for name, sample in parts.items():
        text = text.replace("#{" + name + "}", sample)
    code = 301 if config.get("StatusCode") == "HTTP_301" else 302
    return f"redirect location {quote(text)} code {code}"


def wildcard_regex(value: str) -> str:
    return re.escape(value).replace(r"\*", ".*").replace(r"\?", ".")


def quoted_regex(value: str) -> str:
    return quote(f"^{wildcard_regex(value)}$")


def quote(value: str) -> str:
    """One word of HAProxy's configuration, whatever is in it."""
    return "'" + re.sub(r"[\r\n\0]", " ", str(value)).replace("'", "'\\''") + "'"
