"""URLs of PostgreSQL: what the driver and PostgreSQL's programs make of them, and what is wrong."""

import pytest

import postgres
from podium.kernel.errors import SettingsInvalid, Unavailable
from podium.storage.address import Address
from podium.storage.database import Database

URL = "postgresql://podium:a%40b@db.internal:6432/work"


def test_what_programs_are_told() -> None:
    query = "sslmode=verify-full&sslrootcert=/etc/ca.pem&target_session_attrs=primary"
    address = Address.parse(f"{URL}?{query}&pooler=transaction")
    assert address.pooled
    assert address.environment == {
        "PGHOST": "db.internal",
        "PGPORT": "6432",
        "PGUSER": "podium",
        "PGPASSWORD": "a@b",
        "PGDATABASE": "work",
        "PGSSLMODE": "verify-full",
        "PGSSLROOTCERT": "/etc/ca.pem",
        "PGTARGETSESSIONATTRS": "primary",
    }
    assert "pooler" not in address.dsn
    assert "sslmode=verify-full" in address.dsn
    assert address.shown == "postgresql://podium:***@db.internal:6432/work"


def test_a_socket_of_this_machine() -> None:
    address = Address.parse("postgresql+asyncpg://podium:word@/podium?host=/run/sockets")
    assert not address.pooled
    assert address.environment["PGHOST"] == "/run/sockets"
    assert address.dsn.startswith("postgresql://podium:word@/podium?host=")


@pytest.mark.parametrize(
    ("query", "hosts", "ports"),
    [
        ("host=a:5432,b:6432", "a,b", "5432,6432"),
        ("host=a,b:6432", "a,b", ",6432"),
        ("host=a,b&port=1,2", "a,b", "1,2"),
        ("host=a,b&port=1", "a,b", "1"),
        ("host=[fe80::1]:1,/run/pg", "fe80::1,/run/pg", "1,"),
        ("host=[fe80::1]", "fe80::1", None),
        ("port=1", None, "1"),
    ],
)
def test_several_hosts(query: str, hosts: str | None, ports: str | None) -> None:
    told = Address.parse(f"postgresql://podium@/podium?{query}").environment
    assert (told.get("PGHOST"), told.get("PGPORT")) == (hosts, ports)


def test_other_parameters_that_programs_are_told() -> None:
    query = "user=u&password=p&dbname=d&options=-csearch_path%3Dx&connect_timeout=3"
    address = Address.parse(f"postgresql://h/?{query}&channel_binding=require")
    assert address.environment == {
        "PGHOST": "h",
        "PGUSER": "u",
        "PGPASSWORD": "p",
        "PGDATABASE": "d",
        "PGOPTIONS": "-csearch_path=x",
        "PGCONNECT_TIMEOUT": "3",
        "PGCHANNELBINDING": "require",
    }
    assert "connect_timeout" not in address.dsn  # of which the driver does not know


async def test_a_time_to_connect_is_kept(direct_url: str, template: str) -> None:
    url = direct_url.format("postgres")
    database = Database(f"{url}{'&' if '?' in url else '?'}connect_timeout=5")
    assert await database.call("select 1")
    await database.close()


@pytest.mark.parametrize("pooler", ["session", "true", ""])
def test_another_kind_of_pooler_is_refused(pooler: str) -> None:
    with pytest.raises(SettingsInvalid, match="names a pooler") as refused:
        Address.parse(f"{URL}?pooler={pooler}x")
    assert "a@b" not in str(refused.value)


async def test_parameters_that_cannot_be_used_are_told() -> None:
    database = Database(f"{URL}?sslmode=sometimes")
    with pytest.raises(SettingsInvalid, match="PODIUM_DATABASE_URL cannot be used"):
        await database.call("select 1")
    await database.close()


async def test_a_pooler_that_the_url_does_not_tell_of_is_named(
    servers: postgres.Servers, template: str
) -> None:
    if not servers.pooled:
        pytest.skip("there is no pooler here")
    database = Database(servers.url.format("postgres").replace("&pooler=transaction", ""))
    with pytest.raises(SettingsInvalid, match="A pooler stands before PostgreSQL"):
        await database.call("select 1")
    await database.close()


async def test_the_name_in_a_certificate_is_compared(
    servers: postgres.Servers, template: str
) -> None:
    if not servers.pooled:
        pytest.skip("the server here speaks no TLS")
    database = Database(servers.url.format("postgres").replace("@localhost:", "@127.0.0.1:"))
    with pytest.raises(Unavailable, match="certificate verify failed"):
        await database.call("select 1")
    await database.close()
