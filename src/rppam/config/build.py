"""Values into settings: defaults, secrets, paths, and the rules between keys.

Every rule that fails adds a problem and the work goes on, so that one run shows them all. What it does not promise:
that Redis, the database or a certificate is really there; that is found out at the start of the node.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from rppam.cluster.consensus.membership import QuorumPolicy
from rppam.cluster.consensus.timing import PROFILES, Timing, UnsafeTimingError
from rppam.config import patience
from rppam.config.advertised import api_warnings, metrics_problem
from rppam.config.connection import parse_connection
from rppam.config.database import check_database_url
from rppam.config.errors import ConfigValueError, ConnectionStringError, Problem, SecretError
from rppam.config.kinds import Reference, WrongValueError
from rppam.config.options import ConnectionOptions
from rppam.config.outside import Outside
from rppam.config.places import LINUX, Places
from rppam.config.publickey import as_public_key
from rppam.config.settings import (
    SECTIONS,
    ApiSettings,
    AuthSettings,
    ClusterSettings,
    DatabaseSettings,
    LicenseSettings,
    LoggingSettings,
    NodeSettings,
    RedisSettings,
    Settings,
    keys_of,
)
from rppam.config.values import Values
from rppam.kernel.secret import Secret

SECRET_FILE_BYTES_MAX: Final = 64 * 1024


def build_settings(
    values: Values,
    check_built: Callable[[Settings], Iterable[Problem]],
    *,
    outside: Outside,
    folder: Path,
    places: Places,
) -> Settings:
    """The settings, or :class:`ConfigValueError` with every problem of the file.

    ``folder`` is what relative paths count from: the folder of the config file.
    """
    builder = _Builder(values, outside, folder, places)
    settings = builder.settings()
    wrong = {problem.path for problem in values.problems}  # what else is wrong there may follow from it
    values.problems += [problem for problem in check_built(settings) if problem.path not in wrong]
    if values.problems:
        raise ConfigValueError(values.problems)
    return settings


@dataclass(slots=True)
class _Builder:
    values: Values
    outside: Outside
    folder: Path
    places: Places

    def settings(self) -> Settings:
        node = self._node()
        auth = self._auth(node.data_dir)
        redis = self._redis(auth.secret_key_path)
        cluster = self._cluster(redis)
        return Settings(
            node=node,
            redis=redis,
            cluster=cluster,
            database=self._database(node.data_dir, auth.secret_key_path),
            auth=auth,
            logging=LoggingSettings(
                level=self._plain("logging", "level"),
                format=self._plain("logging", "format"),
                directory=self._path("logging", "directory"),
            ),
            license=self._license(),
            api=self._api(auth.secret_key_path, node.advertise_url),
            given=frozenset(self.values.given),
            warnings=tuple(self.values.warnings),
            notes=tuple(self.values.notes),
            hot=self.values.hot,
        )

    def _plain(self, section: str, name: str) -> Any:
        """The value given, else the default where that is a plain value."""
        given = self.values.get(section, name)
        return keys_of(SECTIONS[section])[name].default if given is None else given

    def _path(self, section: str, name: str, default: Path | None = None) -> Path | None:
        given = self.values.get(section, name)
        return default if given is None else self._resolved(section, name, given)

    def _sure_path(self, section: str, name: str, default: Path) -> Path:
        return self._path(section, name, default) or default

    def _resolved(self, section: str, name: str, text: str) -> Path:
        """Relative to the folder of the config file."""
        path = f"{section}.{keys_of(SECTIONS[section])[name].name}"
        if self.places is LINUX and (text[1:3] in {":\\", ":/"} or text.startswith("\\\\")):
            self.values.problem(path, "a path of this system", "a Windows path", "Write it such as /var/lib/rppam.")
        elif text.startswith("~"):
            self.values.problem(path, "a full path", "a path with '~'", "Write the folder out; '~' means nobody here.")
        return self.folder / text

    def _node(self) -> NodeSettings:
        return NodeSettings(
            node_name=self._plain("node", "node_name"),
            grpc_port_base=self._plain("node", "grpc_port_base"),
            data_dir=self._sure_path("node", "data_dir", Path(self.places.data_dir)),
            advertise_url=self._plain("node", "advertise_url"),
        )

    def _auth(self, data_dir: Path) -> AuthSettings:
        keys = data_dir / "keys"
        cluster_key = self._sure_path("auth", "cluster_key_path", keys / "cluster.key")
        return AuthSettings(
            jwt_keys_dir=self._sure_path("auth", "jwt_keys_dir", keys),
            issuer=self._plain("auth", "issuer"),
            audience=self._plain("auth", "audience"),
            token_minutes=self._plain("auth", "token_minutes"),
            secret_key_path=self._sure_path("auth", "secret_key_path", keys / "config.key"),
            cluster_key_path=cluster_key,
            sealing_key_path=self._sure_path("auth", "sealing_key_path", cluster_key.with_name("sealing.key")),
        )

    def _license(self) -> LicenseSettings:
        texts: tuple[str, ...] = self._plain("license", "trusted_keys")
        return LicenseSettings(
            path=self._sure_path("license", "path", Path(self.places.licence_file)),
            trusted_keys=tuple(
                as_public_key(text) or self._resolved("license", "trusted_keys", text) for text in texts
            ),
        )

    def _api(self, key_file: Path, advertised: str | None) -> ApiSettings:
        api = ApiSettings(
            host=self._plain("api", "host"),
            port=self._plain("api", "port"),
            workers=self._plain("api", "workers"),
            drain_s=self._plain("api", "drain_s"),
            tls_cert_path=self._path("api", "tls_cert_path"),
            tls_key_path=self._path("api", "tls_key_path"),
            tls_cert_password=self._secret("api", "tls_cert_password", key_file),
            tls_ca_path=self._path("api", "tls_ca_path"),
            trusted_proxies=self._plain("api", "trusted_proxies"),
            forwarded_header=self._plain("api", "forwarded_header"),
            metrics_access=self._plain("api", "metrics_access"),
            metrics_token=self._secret("api", "metrics_token", key_file),
        )
        if problem := metrics_problem(api):
            self.values.problem(*problem)
        self.values.warnings += api_warnings(api, advertised)
        return api

    def _database(self, data_dir: Path, key_file: Path) -> DatabaseSettings:
        url = self._secret("database", "url", key_file)
        if url is not None:
            try:
                url = check_database_url(url, self.folder)
            except WrongValueError as error:
                expected = keys_of(DatabaseSettings)["url"].kind.expected
                self.values.problem("database.url", expected, error.found, error.fix)
        default = Secret(f"sqlite:///{data_dir / 'rppam.db'}")
        return DatabaseSettings(url=url or default, timeout_ms=self._plain("database", "timeout_ms"))

    def _secret(self, section: str, name: str, key_file: Path) -> Secret | None:
        """The secret itself: decrypted, or read from where the file says."""
        value: Secret | None = self.values.get(section, name)
        if not isinstance(value, Reference):
            return value
        path = f"{section}.{keys_of(SECTIONS[section])[name].name}"
        readers: dict[str, Callable[[], Secret]] = {
            "encrypted": lambda: self.outside.decrypt(value.reveal(), key_file),
            "file": lambda: self._from_file(path, self.folder / value.reveal()),
            "env": lambda: self._from_environment(value.reveal()),
        }
        try:
            secret = readers[value.source]()
        except SecretError as error:
            self.values.problems += [problem.under(path) for problem in error.problems]
            return None
        if not secret:
            self.values.problem(path, "a secret", f"an empty one ({value.source})", "Put the secret there.")
            return None
        return secret

    def _file_of(self, section: str, name: str) -> Path | None:
        """The file that a secret stands in, where the config names one."""
        value = self.values.get(section, name)
        if not isinstance(value, Reference) or value.source != "file":
            return None
        return self.folder / value.reveal()

    def _from_file(self, path: str, file: Path) -> Secret:
        expected = f"a secret in the file {file}"
        try:
            content = self.outside.read(file, SECRET_FILE_BYTES_MAX)
            if len(content.data) > SECRET_FILE_BYTES_MAX:
                found = f"more than {SECRET_FILE_BYTES_MAX} bytes"
                raise SecretError.of("", expected, found, "Name the file that holds the secret alone.")
            text = content.data.decode("utf-8")
        except OSError as error:
            found = f"no readable file ({error.strerror})"
            raise SecretError.of("", expected, found, "Make it, readable by the account of the node.") from None
        except UnicodeDecodeError:
            raise SecretError.of("", expected, "bytes that are not UTF-8", "Save the file as UTF-8.") from None
        if content.open_to == "everyone":
            self.values.warnings.append(f"{path}: {file} is open to {content.open_to}; run: chmod 600 {file}")
        return Secret(text.removesuffix("\n").removesuffix("\r"))

    def _from_environment(self, name: str) -> Secret:
        text = self.outside.environment(name)
        expected = f"a secret in the environment variable {name}"
        if text is None:
            raise SecretError.of("", expected, "no such variable", "Set it for the service.")
        try:
            text.encode("utf-8")
        except UnicodeEncodeError:  # bytes of the environment that are no text come as half characters
            raise SecretError.of("", expected, "bytes that are not UTF-8", "Set it to text in UTF-8.") from None
        return Secret(text)

    def _redis(self, key_file: Path) -> RedisSettings:
        enabled: bool = self._plain("redis", "enabled")
        string = self._secret("redis", "connection_string", key_file)
        password = self._secret("redis", "password", key_file)
        certificate = self._path("redis", "tls_cert_path")
        certificate_password = self._secret("redis", "tls_cert_password", key_file)
        at_sentinels = self._secret("redis", "sentinel_password", key_file)
        connection = self._connection(string, password, at_sentinels)
        tls = connection.ssl if connection else bool(self.values.get("redis", "tls_enabled"))
        if enabled and "redis.connectionString" not in self.values.given:
            fix = 'Add it, such as "10.0.1.20:6379,abortConnect=false".'
            self.values.problem("redis.connectionString", "a connection string, as redis.enabled is true", "none", fix)
        if connection and certificate and not tls:
            self.values.warnings.append("redis.tlsCertPath: has no effect, since TLS is off; set redis.tlsEnabled")
        if certificate_password and not certificate:
            self.values.warnings.append("redis.tlsCertPassword: has no effect without redis.tlsCertPath")
        if at_sentinels and connection and connection.service_name is None:
            why = "has no effect without serviceName in redis.connectionString"
            self.values.warnings.append(f"redis.sentinelPassword: {why}")
        return RedisSettings(
            enabled=enabled,
            connection_string=string,
            key_prefix=self._plain("redis", "key_prefix"),
            tls_enabled=tls,
            tls_cert_path=certificate,
            tls_cert_password=certificate_password,
            tls_ca_path=self._path("redis", "tls_ca_path"),
            password=password,
            password_file=self._file_of("redis", "password"),
            sentinel_password=at_sentinels,
            connection=connection,
        )

    def _connection(
        self, string: Secret | None, password: Secret | None, at_sentinels: Secret | None
    ) -> ConnectionOptions | None:
        if string is None:
            return None
        try:
            connection = parse_connection(string.reveal(), tls=self.values.get("redis", "tls_enabled"))
        except ConnectionStringError as error:
            self.values.problems += [problem.under("redis.connectionString") for problem in error.problems]
            return None
        for key, here, there, whose in (
            ("password", password, connection.password, "Redis password"),
            ("sentinelPassword", at_sentinels, connection.sentinel_password, "password at the sentinels"),
        ):
            if here is not None and there is not None and here != there:
                found = "another one in redis.connectionString"
                self.values.problem(f"redis.{key}", f"one {whose}", found, "Take one of them out.")
        return connection.with_password(password or connection.password).with_sentinel_password(
            at_sentinels or connection.sentinel_password
        )

    def _cluster(self, redis: RedisSettings) -> ClusterSettings:
        enabled: bool = self._plain("cluster", "enabled")
        told = any(problem.path in {"redis", "redis.enabled"} for problem in self.values.problems)
        if enabled and not redis.enabled and not told:
            expected = "redis.enabled true, as cluster.enabled is true"
            fix = "Redis is required for high availability: set redis.enabled and redis.connectionString."
            self.values.problem("cluster.enabled", expected, "redis.enabled false", fix)
        overrides = {name: self.values.get("cluster", name) for name in Timing._fields}
        given = {name: value for name, value in overrides.items() if value is not None}
        profile: str = self._plain("cluster", "timing_profile")
        timing = PROFILES[profile]._replace(**given)
        try:
            timing.check()
        except UnsafeTimingError as error:
            place = "cluster (timing)"
            fix = "Change it, or take the times out and set cluster.timingProfile."
            self.values.problems.append(
                Problem(place, "times that keep the cluster safe", f"unsafe ones: {error}", fix)
            )
        if redis.enabled and redis.connection is not None:
            self.values.notes += patience.notes(redis.connection, timing)
        self._member_port(enabled)
        self._virtual_ip(enabled)
        return ClusterSettings(
            enabled=enabled,
            cluster_id=self._plain("cluster", "cluster_id"),
            timing_profile=profile,
            timing=timing,
            quorum_policy=self._quorum_policy(redis),
            priority=self._plain("cluster", "priority"),
            member_port=self._plain("cluster", "member_port"),
            member_host=self._plain("cluster", "member_host"),
            member_address=self._plain("cluster", "member_address"),
            virtual_ip=self._plain("cluster", "virtual_ip"),
            virtual_ip_interface=self._plain("cluster", "virtual_ip_interface"),
            **timing._asdict(),
        )

    def _quorum_policy(self, redis: RedisSettings) -> QuorumPolicy:
        """Behind Sentinel a write can be lost, so Redis must not be able to elect alone there."""
        given = self.values.get("cluster", "quorum_policy")
        if given is not None:
            return QuorumPolicy(given)
        is_behind_sentinel = redis.connection is not None and redis.connection.service_name is not None
        return QuorumPolicy.MAJORITY if is_behind_sentinel else QuorumPolicy.LAST_MAN_STANDING

    def _virtual_ip(self, enabled: bool) -> None:
        if self._plain("cluster", "virtual_ip") is None:
            if self._plain("cluster", "virtual_ip_interface"):
                self.values.warnings.append("cluster.virtualIpInterface: has no effect without cluster.virtualIp")
            return
        if not enabled:
            self.values.warnings.append("cluster.virtualIp: has no effect, since cluster.enabled is false")
        elif self._plain("api", "host") in {"127.0.0.1", "::1", "localhost"}:
            self.values.warnings.append(
                "cluster.virtualIp: nobody answers there, since api.host is this host alone; set api.host to 0.0.0.0"
            )

    def _member_port(self, enabled: bool) -> None:
        port = self._plain("cluster", "member_port")
        if enabled and port == self._plain("api", "port"):
            fix = "Give the API and the member link a port each, such as 7101 and 5201."
            self.values.problem("cluster.memberPort", "another port than api.port", f"{port} for both", fix)
