"""HAProxy's configuration for load balancers: listeners, rules and weights. Pure functions.
https://docs.aws.amazon.com/elasticloadbalancing/latest/application/listener-rules.html"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

WEIGHT_RANGE = 1_000_000  # of the random number that chooses between weighted target groups


@dataclass(frozen=True)
class Server:
    """One target: its id and address, and whether it receives new requests."""

    target: str
    host: str
    port: int
    up: bool


@dataclass(frozen=True)
class Route:
    """One rule: HAProxy conditions (each a list of alternatives), and the action."""

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
    """The desired state of the data plane."""

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
  # connections to targets are not reused: a target that ends cannot break a request that was just sent to it
  option http-server-close
  # a replaced process answers one more request on each idle connection before it closes it
  option idle-close-on-response
  option forwardfor
  retries 0
  timeout connect 10s
  timeout http-request 60s
  timeout client {idle}s
  timeout server {idle}s
  timeout http-keep-alive {idle}s
"""


def render(plan: Plan, slots: dict[str, list[str | None]], redirects: Mapping[tuple[str, int], int]) -> str:
    """Return the configuration. `slots` are the targets of each backend, by their server slots in the running process.
    `redirects` are ports to listen on instead, by address and port of a listener."""
    lines = [HEAD.format(idle=plan.idle_seconds)]
    for frontend in plan.frontends:
        port = redirects.get((frontend.host, frontend.port), frontend.port)
        lines += [f"frontend {frontend.name}", f"  bind {frontend.host}:{port}"]
        lines.append("  http-request set-header X-Forwarded-Proto http")
        lines.append(f"  http-request set-header X-Forwarded-Port {frontend.port}")
        lines += [f"  http-request set-var(txn.random) rand({WEIGHT_RANGE})", "  http-request set-var(txn.rule) int(0)"]
        for number, route in enumerate(frontend.routes, 1):
            names = []
            for index, alternatives in enumerate(route.conditions):
                names.append(name := f"c{number}_{index}")
                lines += [f"  acl {name} {text}" for text in alternatives]
            tests = " ".join(["{ var(txn.rule) -m int 0 }", *names])
            lines.append(f"  http-request set-var(txn.rule) int({number}) if {tests}")
            if route.answer:
                lines.append(f"  http-request {route.answer} if {{ var(txn.rule) -m int {number} }}")
        for number, route in enumerate(frontend.routes, 1):
            total, cumulative = sum(weight for _, weight in route.weights), 0
            for backend, weight in route.weights:
                cumulative += weight
                if weight:
                    share = f"{{ var(txn.random) -m int lt {cumulative * WEIGHT_RANGE // total} }}"
                    lines.append(f"  use_backend {backend} if {{ var(txn.rule) -m int {number} }} {share}")
    for name, servers in plan.backends.items():
        by_target = {server.target: server for server in servers}
        lines += [f"backend {name}", "  balance roundrobin"]
        for index, target in enumerate(slots[name]):
            server = by_target.get(target or "")
            address = f"{server.host}:{server.port}" if server else "127.0.0.1:1"
            lines.append(f"  server s{index} {address}{'' if server and server.up else ' disabled'}")
    return "\n".join(lines) + "\n"


def build_route(conditions: list[dict[str, Any]], actions: list[Any], names: dict[str, str]) -> Route:
    """Return the route of a listener's rule. `names` maps target group ARNs to backends."""
    matchers = tuple(map(build_matcher, conditions))
    action = actions[-1].data if actions else {}
    kind = action.get("Type")
    if kind == "fixed-response":
        response = action.get("FixedResponseConfig", {})
        text = f"return status {int(response.get('StatusCode', 200))}"
        if response.get("MessageBody"):
            text += f" content-type {quote(response.get('ContentType') or 'text/plain')} string {quote(response['MessageBody'])}"
        return Route(matchers, answer=text)
    if kind == "redirect":
        return Route(matchers, answer=build_redirect(action.get("RedirectConfig", {})))
    if kind != "forward":
        return Route(matchers, answer="return status 503")
    config = action.get("ForwardConfig") or {}
    groups = config.get("TargetGroups") or [{"TargetGroupArn": action.get("TargetGroupArn"), "Weight": 1}]
    known = [group for group in groups if group["TargetGroupArn"] in names]
    weights = [(names[group["TargetGroupArn"]], int(group.get("Weight", 1))) for group in known]
    if not any(weight for _, weight in weights):
        return Route(matchers, answer="return status 503")
    return Route(matchers, tuple(weights))


def build_matcher(condition: dict[str, Any]) -> tuple[str, ...]:
    """Return the alternatives of one condition as HAProxy matches."""
    kind = condition.get("Field")

    def values(config: str) -> list[Any]:
        return list((condition.get(config) or {}).get("Values") or condition.get("Values") or [])

    if kind == "path-pattern":
        return tuple(f"path -m reg {quoted_regex(value)}" for value in values("PathPatternConfig"))
    if kind == "host-header":
        hosts = values("HostHeaderConfig")
        return tuple(f"req.hdr(host),field(1,:) -i -m reg {quoted_regex(value)}" for value in hosts)
    if kind == "http-header":
        name = re.sub(r"[^A-Za-z0-9_-]", "", condition["HttpHeaderConfig"]["HttpHeaderName"])
        return tuple(f"req.hdr({name}) -i -m reg {quoted_regex(value)}" for value in values("HttpHeaderConfig"))
    if kind == "http-request-method":
        return tuple(f"method {quote(value)}" for value in values("HttpRequestMethodConfig"))
    if kind == "source-ip":
        return tuple(f"src {quote(value)}" for value in values("SourceIpConfig"))
    if kind == "query-string":
        return tuple(query_matcher(value) for value in values("QueryStringConfig"))
    return ("always_false",)


def query_matcher(pair: dict[str, str]) -> str:
    """Return the match of one key-value pair of a query-string condition."""
    key = re.sub(r"[^A-Za-z0-9_.-]", "", pair.get("Key") or "")
    if key:
        return f"url_param({key}) -i -m reg {quoted_regex(pair['Value'])}"
    return "query -i -m reg " + quote(f"(^|&)[^=]*={wildcard_regex(pair['Value'])}(&|$)")


def build_redirect(config: dict[str, Any]) -> str:
    """Return the `http-request` action of a redirect."""
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
    """Return a value as one quoted word of HAProxy's configuration."""
    return "'" + re.sub(r"[\r\n\0]", " ", str(value)).replace("'", "'\\''") + "'"
