"""What follows from several keys together: derived settings, contradictions, and what has no effect.

Promises nothing about the world: the start of the node finds out whether Redis, the database and certificates are
really there.
"""

import base64
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from rppam.cluster.consensus.membership import QuorumPolicy
from rppam.cluster.consensus.timing import PROFILES, Timing, UnsafeTimingError
from rppam.config import patience
from rppam.config.connection import parse_connection
from rppam.config.errors import ConnectionStringError, Problem
from rppam.config.options import ConnectionOptions
from rppam.config.remarks import remarks
from rppam.config.settings import ApiSettings, ClusterSettings, DnsSettings, RedisSettings, Settings
from rppam.kernel.network import is_this_host
from rppam.kernel.secret import Secret

TSIG_BYTES_MIN: Final = 16
"""Shorter secrets are guessed: RFC 8945, section 8, wants as much as the digest has; BIND makes 32 bytes."""
_TOKEN: Final = re.compile(r"[A-Za-z0-9._~+/-]{15,511}[A-Za-z0-9._~+/=-]")


def derived(settings: Settings, problems: list[Problem]) -> Settings:
    """The same with everything that follows from what was given; contradictions are added to ``problems``."""
    redis, cluster, auth = settings.redis, settings.cluster, settings.auth
    connection = _connection(redis, problems)
    redis = redis.model_copy(
        update={"connection": connection, "tls_enabled": connection.ssl if connection else redis.tls_enabled}
    )
    timing = _timing(cluster, problems)
    policy = cluster.quorum_policy or _usual_policy(connection)
    cluster = cluster.model_copy(update={"timing": timing, "quorum_policy": QuorumPolicy(policy), **timing._asdict()})
    if "sealing_key_path" not in auth.model_fields_set:
        auth = auth.model_copy(update={"sealing_key_path": auth.cluster_key_path.with_name("sealing.key")})
    notes = patience.notes(connection, timing) if redis.enabled and connection else ()
    return replace(settings, redis=redis, cluster=cluster, auth=auth, notes=(*settings.notes, *notes))


def _connection(redis: RedisSettings, problems: list[Problem]) -> ConnectionOptions | None:
    if redis.connection_string is None:
        return None
    tls = redis.tls_enabled if "tls_enabled" in redis.model_fields_set else None
    try:
        said = parse_connection(redis.connection_string.reveal(), tls=tls)
    except ConnectionStringError as error:
        problems += [problem.under("redis.connectionString") for problem in error.problems]
        return None
    for key, here, there, whose in (
        ("password", redis.password, said.password, "Redis password"),
        ("sentinelPassword", redis.sentinel_password, said.sentinel_password, "password at the sentinels"),
    ):
        if here is not None and there is not None and here != there:
            found = "another one in redis.connectionString"
            problems.append(Problem(f"redis.{key}", f"one {whose}", found, "Take one of them out."))
    return replace(
        said,
        password=redis.password or said.password,
        sentinel_password=redis.sentinel_password or said.sentinel_password,
    )


def _timing(cluster: ClusterSettings, problems: list[Problem]) -> Timing:
    given = {name: value for name in Timing._fields if (value := getattr(cluster, name)) is not None}
    timing = PROFILES[cluster.timing_profile]._replace(**given)
    try:
        timing.check()
    except UnsafeTimingError as error:
        fix = "Change it, or take the times out and set cluster.timingProfile."
        problems.append(Problem("cluster (timing)", "times that keep the cluster safe", f"unsafe ones: {error}", fix))
    return timing


def _usual_policy(connection: ConnectionOptions | None) -> QuorumPolicy:
    """Behind Sentinel a write can be lost, so Redis must not be able to elect alone there."""
    is_behind_sentinel = connection is not None and connection.service_name is not None
    return QuorumPolicy.MAJORITY if is_behind_sentinel else QuorumPolicy.LAST_MAN_STANDING


def contradictions(settings: Settings, wrong: set[str]) -> Iterator[Problem]:
    """What cannot be together; nothing that follows from a key that is ``wrong`` already."""
    redis, cluster, api = settings.redis, settings.cluster, settings.api
    if redis.enabled and "redis.connectionString" not in settings.given:
        fix = 'Add it, such as "10.0.1.20:6379,abortConnect=false".'
        yield Problem("redis.connectionString", "a connection string, as redis.enabled is true", "none", fix)
    if cluster.enabled and not redis.enabled and not wrong & {"redis", "redis.enabled"}:
        expected = "redis.enabled true, as cluster.enabled is true"
        fix = "Redis is required for high availability: set redis.enabled and redis.connectionString."
        yield Problem("cluster.enabled", expected, "redis.enabled false", fix)
    if cluster.enabled and cluster.member_port == api.port:
        fix = "Give the API and the member link a port each, such as 7101 and 5201."
        yield Problem("cluster.memberPort", "another port than api.port", f"{api.port} for both", fix)
    if settings.access.enabled and settings.access.port in {api.port, cluster.member_port if cluster.enabled else 0}:
        fix = "Give the gateway a port of its own, such as 2222."
        found = f"{settings.access.port} for both"
        yield Problem("access.port", "another port than api.port and cluster.memberPort", found, fix)
    yield from _dns_problems(settings.dns, wrong)
    token, make = api.metrics_token, "Make one with: openssl rand -hex 32."
    if token is None and api.metrics_access == "token" and "api.metricsToken" not in wrong:
        yield Problem("api.metricsToken", "a token, as api.metricsAccess is token", "none", make)
    if token is not None and not _TOKEN.fullmatch(token.reveal()):
        found = f"{len(token.reveal())} characters, or others than letters, digits and -._~+/="
        yield Problem("api.metricsToken", "16 to 512 characters of a token (RFC 6750)", found, make)


def _dns_problems(dns: DnsSettings, wrong: set[str]) -> Iterator[Problem]:
    if dns.name is None:
        return
    for key, value, fix in (
        ("server", dns.server, "Name the primary name server of the zone, such as 10.0.1.53."),
        ("keyName", dns.key_name, "Name the TSIG key as the name server does; tsig-keygen makes one."),
        ("keySecret", dns.key_secret, 'Put the secret into a file of mode 0600 and write {"file": PATH}.'),
    ):
        if value is None and f"dns.{key}" not in wrong:
            yield Problem(f"dns.{key}", "a value, as dns.name is set", "none", fix)
    if not f".{dns.name}".endswith(f".{dns.own_zone}"):
        fix = "Write the zone that has the name in it, or take it out."
        yield Problem("dns.zone", f"a zone that {dns.name} is in", dns.own_zone, fix)
    if dns.key_secret is not None and tsig_secret(dns.key_secret) is None:
        fix = "Copy what stands in quotes behind 'secret' in the key's file, or what tsig-keygen prints there."
        yield Problem("dns.keySecret", "16 bytes or more in base64", "something else, which is not shown", fix)


def tsig_secret(text: Secret) -> bytes | None:
    """The bytes of a TSIG key; ``None``: it is none."""
    try:
        raw = base64.b64decode(text.reveal().strip(), validate=True)
    except ValueError:
        return None
    return raw if len(raw) >= TSIG_BYTES_MIN else None


def warnings(settings: Settings) -> Iterator[str]:
    """What has no effect, or should be put right."""
    redis, cluster, host = settings.redis, settings.cluster, settings.api.host
    yield from _api_warnings(settings.api, settings.node.advertise_url)
    if redis.connection and redis.tls_cert_path and not redis.tls_enabled:
        yield "redis.tlsCertPath: has no effect, since TLS is off; set redis.tlsEnabled"
    if redis.tls_cert_password and not redis.tls_cert_path:
        yield "redis.tlsCertPassword: has no effect without redis.tlsCertPath"
    yield from _string_warnings(redis)
    if cluster.virtual_ip_interface and not cluster.virtual_ip:
        yield "cluster.virtualIpInterface: has no effect without cluster.virtualIp"
    if cluster.virtual_ip and not cluster.enabled:
        yield "cluster.virtualIp: has no effect, since cluster.enabled is false"
    elif cluster.virtual_ip and host in {"127.0.0.1", "::1", "localhost"}:
        yield "cluster.virtualIp: nobody answers there, since api.host is this host alone; set api.host to 0.0.0.0"
    if cluster.leader_hook and not cluster.enabled:
        yield "cluster.leaderHook: has no effect, since cluster.enabled is false"
    yield from _dns_warnings(settings)


def _string_warnings(redis: RedisSettings) -> Iterator[str]:
    said = redis.connection
    if said is None:
        return
    if redis.sentinel_password and said.service_name is None:
        yield "redis.sentinelPassword: has no effect without serviceName in redis.connectionString"
        said = replace(said, sentinel_password=None)
    for one in remarks(said):
        name, _, why = one.partition(": ")
        yield f"redis.connectionString ({name}): {why}"


def _dns_warnings(settings: Settings) -> Iterator[str]:
    dns = settings.dns
    if dns.name is None:
        for key in sorted(one for one in settings.given if one.startswith("dns.")):
            yield f"{key}: has no effect without dns.name"
    elif not settings.cluster.enabled:
        yield "dns.name: has no effect, since cluster.enabled is false"
    elif not dns.addresses and settings.api.host in {"127.0.0.1", "::1", "localhost"}:
        yield "dns.name: nobody answers there, since api.host is this host alone; set api.host to 0.0.0.0"


def _api_warnings(api: ApiSettings, advertised: str | None) -> Iterator[str]:
    is_https = (advertised or "").startswith("https://")
    if api.metrics_token is not None and api.metrics_access != "token":
        yield f"api.metricsToken: has no effect while api.metricsAccess is {api.metrics_access}"
    if api.tls_cert_path is not None:
        if advertised and not is_https:
            yield f"node.advertiseUrl: says {advertised}, and the API speaks TLS (api.tlsCertPath): write https://"
        return
    for name, given in (("tlsKeyPath", api.tls_key_path), ("tlsCertPassword", api.tls_cert_password)):
        if given is not None:
            yield f"api.{name}: has no effect without api.tlsCertPath"
    if not is_https and not is_this_host(api.host):
        yield (
            f"api.host: {api.host} is reached from other hosts without TLS, so passwords and tokens can be read on the "
            "way; set api.tlsCertPath, or node.advertiseUrl to the https:// URL of a balancer that ends TLS"
        )


def warnings_at_witness(settings: Settings) -> tuple[str, ...]:
    """What should be put right of a witness's settings.

    The address is the same in every config, and never on a witness: what it needs of an API is no matter there.
    """
    return tuple(one for one in settings.warnings if not one.startswith(("cluster.virtualIp", "dns.")))


def witness_problems(settings: Settings) -> tuple[Problem, ...]:
    """What keeps a witness with these settings from running.

    The default name would do for a node alone. A witness never is: its vote counts under the name, so a second one with
    the default, or one whose file lost its name, would silently change who votes.
    """
    problems = []
    if "node.nodeName" not in settings.given:
        fix = (
            "Name it as 'rppam status' lists it, else as no other member is named, such as witness1; a witness has no "
            "default name."
        )
        problems.append(Problem("node.nodeName", "the name of this witness", "nothing", fix))
    if not settings.redis.enabled and not settings.cluster.enabled:  # else the rules for nodes say it
        fix = "Set it, with redis.connectionString: a witness shows itself in the cluster's Redis."
        problems.append(Problem("redis.enabled", "true", "false", fix))
    if not settings.cluster.enabled:
        fix = "Set it, with the cluster's cluster.clusterId: a witness is a member, and does nothing else."
        problems.append(Problem("cluster.enabled", "true", "false", fix))
    return tuple(problems)
