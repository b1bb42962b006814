"""What the URL of a PostgreSQL says: to the driver, to PostgreSQL's own programs, to people."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import asyncpg
from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from podium.kernel.errors import SettingsInvalid
from podium.storage.slow import TimedConnection

_POOLER = "pooler"
_POOLERS = {"none": False, "transaction": True}
_CONNECT_SECONDS = 10
_IDLE_IN_TRANSACTION = "30s"
"""A process that stands still inside a transaction would hold back the feed of events."""

SESSION_SETTINGS: dict[str, str] = {
    "jit": "off",  # it compiles for longer than our statements run
    "idle_in_transaction_session_timeout": _IDLE_IN_TRANSACTION,
}
"""What every session of ours needs. A pooler passes them on to nobody, so with one they are kept
with the role (``migrate``)."""

_TRACKED = {"application_name": "podium", "timezone": "UTC"}
_KEEPALIVE = {"tcp_keepalives_idle": "60"}  # spare connections may rest for hours

_SECONDS = "connect_timeout"
_VARIABLES = {
    "user": "PGUSER",
    "password": "PGPASSWORD",
    "dbname": "PGDATABASE",
    "options": "PGOPTIONS",
    _SECONDS: "PGCONNECT_TIMEOUT",
    "channel_binding": "PGCHANNELBINDING",
    "sslmode": "PGSSLMODE",
    "sslnegotiation": "PGSSLNEGOTIATION",
    "sslrootcert": "PGSSLROOTCERT",
    "sslcert": "PGSSLCERT",
    "sslkey": "PGSSLKEY",
    "sslcrl": "PGSSLCRL",
    "ssl_min_protocol_version": "PGSSLMINPROTOCOLVERSION",
    "ssl_max_protocol_version": "PGSSLMAXPROTOCOLVERSION",
    "target_session_attrs": "PGTARGETSESSIONATTRS",
    "passfile": "PGPASSFILE",
}
_HOST = re.compile(r"(/.*|\[[^\]]*\]|[^:]*)(?::([0-9]+))?")


@dataclass(frozen=True, slots=True)
class Address:
    """A database, and whether a transaction pooler stands before it.

    ``pooler=transaction`` in the query of a URL is ours. All other parameters are those that
    libpq has, such as ``sslmode`` and ``target_session_attrs``.
    """

    url: URL
    pooled: bool

    @classmethod
    def parse(cls, text: str) -> "Address":
        """Read a URL; ``SettingsInvalid``, which never shows it, when it is none."""
        try:
            url = make_url(text)
        except (ArgumentError, ValueError):  # what is wrong would tell the password
            raise SettingsInvalid(
                "PODIUM_DATABASE_URL is no URL of a database.",
                hint="Write it as postgresql://user:password@host:5432/database; characters such "
                "as @ and / in a password as %40 and %2F.",
            ) from None
        pooler = url.query.get(_POOLER, "none")
        if not isinstance(pooler, str) or pooler not in _POOLERS:
            raise SettingsInvalid(
                "PODIUM_DATABASE_URL names a pooler in a way that is not known.",
                hint="Add pooler=transaction to its query where a pooler such as pgbouncer gives "
                "connections out for a transaction, else leave it away.",
            )
        return cls(url.set(drivername="postgresql"), _POOLERS[pooler])

    @property
    def dsn(self) -> str:
        """The URL as the driver reads it, with the password."""
        ours = [_POOLER, _SECONDS]
        return self.url.difference_update_query(ours).render_as_string(hide_password=False)

    @property
    def without_hosts(self) -> URL:
        """For SQLAlchemy, which connects by ``connect`` and refuses lists of hosts that the driver
        takes."""
        several = "," in self._parameter("host")
        return self.url.difference_update_query(["host", "port"]) if several else self.url

    @property
    def shown(self) -> str:
        """The URL for people: without password, and without its query."""
        return self.url.set(password=None, query={}).render_as_string()

    @property
    def environment(self) -> Mapping[str, str]:
        """The variables by which PostgreSQL's own programs find it. Arguments are seen by all."""
        url = self.url
        hosts, ports = self._places()
        plain = {
            "PGHOST": hosts,
            "PGPORT": ports,
            "PGUSER": url.username,
            "PGPASSWORD": url.password,
            "PGDATABASE": url.database,
        }
        found = {variable: self._parameter(name) for name, variable in _VARIABLES.items()}
        found |= {variable: value for variable, value in plain.items() if value}
        return {variable: value for variable, value in found.items() if value}

    def _parameter(self, name: str) -> str:
        value = self.url.query.get(name, "")
        return value if isinstance(value, str) else ",".join(value)

    def _places(self) -> tuple[str, str]:
        """The hosts, and the port of each: programs know no port behind a host in a list."""
        if self.url.host:
            return self.url.host, str(self.url.port or self._parameter("port"))
        given = self._parameter("host")
        if not given:
            return "", self._parameter("port")
        places = [_HOST.fullmatch(each) for each in given.split(",")]
        hosts = [place[1].strip("[]") if place else "" for place in places]
        own = [(place[2] if place else None) or "" for place in places]
        return ",".join(hosts), ",".join(own) if any(own) else self._parameter("port")

    def _seconds(self) -> float:
        given = self._parameter(_SECONDS)
        return float(given) if given.isdecimal() and int(given) else _CONNECT_SECONDS

    async def connect(self, *, patience: float | None) -> Any:
        """A connection of the driver, as our pool wants it.

        Raises ``SettingsInvalid`` where the URL cannot be used as it is written.
        """
        settings = _TRACKED if self.pooled else _TRACKED | _KEEPALIVE | dict(SESSION_SETTINGS)
        # The next statement may be on another server, which knows no statement of ours by name.
        cached = {"statement_cache_size": 0} if self.pooled else {}
        try:
            return await cast("Any", asyncpg).connect(
                self.dsn,
                timeout=self._seconds(),
                command_timeout=patience,
                server_settings=settings,
                connection_class=TimedConnection,
                **cached,
            )
        except asyncpg.ProtocolViolationError as error:
            if "startup parameter" not in str(error):
                raise
            raise pooler_unknown() from error
        except asyncpg.ClientConfigurationError as error:
            raise SettingsInvalid(
                f"PODIUM_DATABASE_URL cannot be used: {error}.",
                hint="Its query takes the parameters of libpq, such as sslmode=verify-full and "
                "sslrootcert=/path/of/ca.pem.",
            ) from error


def pooler_unknown() -> SettingsInvalid:
    """A pooler answers, of which the URL says nothing."""
    return SettingsInvalid(
        "A pooler stands before PostgreSQL, and PODIUM_DATABASE_URL does not say so.",
        hint="Add pooler=transaction to its query: postgresql://…/podium?pooler=transaction.",
    )
