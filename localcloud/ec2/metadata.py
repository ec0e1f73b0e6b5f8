"""The instance metadata service of one instance, version 2, and version 1 if the instance allows it.
https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/configuring-instance-metadata-service.html"""

from __future__ import annotations

import base64
import binascii
import json
import secrets
import time
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from moto.sts.models import sts_backends

from localcloud.core.cloud import ACCOUNT, Cloud, instance_profile

Tree = dict[str, Any]
CREDENTIAL_SECONDS = 6 * 3600
REASONS = {200: "OK", 400: "Bad Request", 401: "Unauthorized", 403: "Forbidden", 404: "Not Found", 405: "Not Allowed"}


class MetadataService:
    """A WSGI application for one instance, served on the instance's socket."""

    def __init__(self, cloud: Cloud, instance: Any) -> None:
        self._cloud = cloud
        self._instance = instance
        self._tokens: dict[str, float] = {}
        self._credentials: dict[str, tuple[float, Tree]] = {}

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        with self._cloud.lock:
            code, body, headers = self._answer(environ)
        kind = [] if any(name == "Content-Type" for name, _ in headers) else [("Content-Type", "text/plain")]
        length = ("Content-Length", str(len(body)))
        start_response(f"{code} {REASONS[code]}", [*kind, length, ("Server", "EC2ws"), *headers])
        return [body] if environ["REQUEST_METHOD"] != "HEAD" else []

    def _answer(self, environ: dict[str, Any]) -> tuple[int, bytes, list[tuple[str, str]]]:
        options, path, method = self._instance.metadata_options, environ["PATH_INFO"], environ["REQUEST_METHOD"]
        if options.http_endpoint == "disabled" or "HTTP_X_FORWARDED_FOR" in environ:
            return 403, error_page(403), []
        if path == "/latest/api/token":
            if method != "PUT":
                return 405, error_page(405), [("Allow", "OPTIONS, PUT")]
            return self._token(environ.get("HTTP_X_AWS_EC2_METADATA_TOKEN_TTL_SECONDS", ""))
        if method not in ("GET", "HEAD"):
            return 405, error_page(405), [("Allow", "OPTIONS, GET, HEAD")]
        token = environ.get("HTTP_X_AWS_EC2_METADATA_TOKEN")
        if (token or options.http_tokens == "required") and self._tokens.get(token or "", 0) < time.time():
            return 401, error_page(401), []
        body = self._find(path)
        return (404, error_page(404), []) if body is None else (200, body, [])

    def _token(self, seconds: str) -> tuple[int, bytes, list[tuple[str, str]]]:
        if not seconds.isdigit() or not 1 <= int(seconds) <= 21600:
            return 400, error_page(400), []
        now = time.time()
        self._tokens = {token: end for token, end in self._tokens.items() if end > now}
        token = base64.urlsafe_b64encode(secrets.token_bytes(40)).decode()
        self._tokens[token] = now + int(seconds)
        return 200, token.encode(), [("X-Aws-Ec2-Metadata-Token-Ttl-Seconds", seconds)]

    def _find(self, path: str) -> bytes | None:
        version, _, rest = path.strip("/").partition("/")
        if version not in ("latest", "2021-07-15", "2009-04-04"):
            return b"latest" if not version else None
        if rest == "user-data":
            return decode_user_data(self._instance)
        node: Any = {"meta-data": self._metadata, "dynamic": self._dynamic}
        for name in filter(None, rest.split("/")):
            node = node() if callable(node) else node
            node = node.get(name) if isinstance(node, dict) else None
            if node is None:
                return None
        node = node() if callable(node) else node
        if isinstance(node, dict):
            return "\n".join(listing_line(name, node[name]) for name in sorted(node)).encode()
        return str(node).encode()

    def _metadata(self) -> Tree:
        instance, nic = self._instance, self._instance.nics[0]
        region, zone = instance.ec2_backend.region_name, instance.availability_zone
        groups = sorted(instance.security_groups or nic.group_set, key=lambda group: group.name)
        interface = {
            "device-number": 0, "local-ipv4s": instance.private_ip, "mac": nic.mac_address,
            "owner-id": instance.owner_id, "security-group-ids": "\n".join(group.id for group in groups),
            "subnet-id": nic.subnet_id, "vpc-id": nic.vpc_id,
        }  # fmt: skip
        tree: Tree = {
            "ami-id": instance.image_id, "ami-launch-index": instance.ami_launch_index,
            "hostname": instance.private_dns_name, "instance-action": "none", "instance-id": instance.id,
            "instance-life-cycle": instance.lifecycle or "on-demand", "instance-type": instance.instance_type,
            "local-hostname": instance.private_dns_name, "local-ipv4": instance.private_ip, "mac": nic.mac_address,
            "network": {"interfaces": {"macs": {nic.mac_address: interface}}},
            "placement": {"availability-zone": zone, "region": region}, "profile": "default-hvm",
            "security-groups": "\n".join(group.name for group in groups),
            "services": {"domain": "amazonaws.com", "partition": "aws"},
        }  # fmt: skip
        if instance.public_ip:
            interface["public-ipv4s"] = instance.public_ip
            tree |= {"public-ipv4": instance.public_ip, "public-hostname": instance.public_dns_name}
        if public_key := getattr(instance, "public_key", None):
            text = public_key.decode() if isinstance(public_key, bytes) else str(public_key)
            tree["public-keys"] = {"0": {"openssh-key": text, KEY_NAME: instance.key_name}}
        if profile := instance_profile(instance):
            tree["iam"] = {"info": lambda: self._info(profile)}
            if role := profile.roles[0] if profile.roles else None:
                tree["iam"]["security-credentials"] = {role.name: lambda: self._role_credentials(role)}
        if instance.metadata_options.instance_metadata_tags == "enabled":
            tree["tags"] = {"instance": {tag["key"]: tag["value"] for tag in instance.get_tags()}}
        return tree

    def _dynamic(self) -> Tree:
        instance = self._instance
        document = {
            "accountId": instance.owner_id, "architecture": instance.architecture,
            "availabilityZone": instance.availability_zone, "imageId": instance.image_id, "instanceId": instance.id,
            "instanceType": instance.instance_type,
            "pendingTime": instance.launch_time.strftime("%Y-%m-%dT%H:%M:%SZ"), "privateIp": instance.private_ip,
            "region": instance.ec2_backend.region_name, "version": "2017-09-30",
        }  # fmt: skip
        return {"instance-identity": {"document": json.dumps(document, indent=2)}}

    def _info(self, profile: Any) -> str:
        ids = {"InstanceProfileArn": profile.arn, "InstanceProfileId": profile.id}
        return json.dumps({"Code": "Success", "LastUpdated": stamp(), **ids}, indent=2)

    def _role_credentials(self, role: Any) -> str:
        end, credentials = self._credentials.get(role.name, (0.0, {}))
        if end - time.time() < 15 * 60:
            assumed = sts_backends[ACCOUNT]["aws"].assume_role(
                region_name=self._instance.ec2_backend.region_name, role_session_name=self._instance.id,
                role_arn=role.arn, policy="", duration=CREDENTIAL_SECONDS, external_id="",
            )  # fmt: skip
            credentials = {
                "Code": "Success", "LastUpdated": stamp(), "Type": "AWS-HMAC", "AccessKeyId": assumed.access_key_id,
                "SecretAccessKey": assumed.secret_access_key, "Token": assumed.session_token,
                "Expiration": stamp(CREDENTIAL_SECONDS),
            }  # fmt: skip
            self._credentials[role.name] = (time.time() + CREDENTIAL_SECONDS, credentials)
        return json.dumps(credentials, indent=2)


KEY_NAME = ""  # the entry of public-keys/0 with the key pair's name, which only the listing shows


def listing_line(name: str, node: Any) -> str:
    """Return one line of a listing in EC2's format."""
    if isinstance(node, dict) and KEY_NAME in node:
        return f"{name}={node[KEY_NAME]}"
    return f"{name}/" if isinstance(node, dict) else name


def decode_user_data(instance: Any) -> bytes | None:
    """Return the user data for the guest. moto stores it in base64, or decoded if it is from a launch template."""
    if not instance.user_data:
        return None
    text = str(instance.user_data)
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error:
        return text.encode()


def stamp(seconds: int = 0) -> str:
    """Return the current time plus `seconds` in UTC, RFC 3339."""
    return (datetime.now(UTC) + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")


def error_page(code: int) -> bytes:
    title = f"{code} - {REASONS[code]}"
    return (
        '<?xml version="1.0" encoding="iso-8859-1"?>\n<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0 Transitional//EN" '
        '"http://www.w3.org/TR/xhtml1/DTD/xhtml1-transitional.dtd">\n<html xmlns="http://www.w3.org/1999/xhtml" '
        f'xml:lang="en" lang="en">\n <head>\n  <title>{title}</title>\n </head>\n <body>\n  <h1>{title}</h1>\n'
        " </body>\n</html>\n"
    ).encode()
