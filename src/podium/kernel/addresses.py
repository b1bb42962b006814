"""Where the API is reached, and under which host names it answers."""

import ipaddress
from urllib.parse import urlsplit

from podium.kernel.settings import Settings

_LOOPBACK = ("localhost", "127.0.0.1", "[::1]")


def local_url(settings: Settings, port: int | None = None) -> str:
    """URL under which this machine reaches an API with these settings.

    ``port`` is that of its socket, where the setting leaves the choice to the system.
    """
    return f"http://{_own_name(settings.host)}:{settings.port if port is None else port}"


def agents_url(settings: Settings) -> str:
    """URL that agents are given: the public one, else the one for this machine."""
    return settings.public_url or local_url(settings)


def accepted_hosts(settings: Settings) -> frozenset[str]:
    """Names that a Host header may hold, without a port; ``*`` stands for all.

    Besides those that are allowed: loopback, which is never the name of another site, and what
    the settings themselves call this server.
    """
    names = {*_LOOPBACK, _own_name(settings.host), *settings.allowed_hosts}
    if settings.public_url:
        names.add(without_port(urlsplit(settings.public_url).netloc))
    return frozenset(names)


def without_port(host: str) -> str:
    """The name in a Host header; an IPv6 address keeps its brackets."""
    name, colon, port = host.rpartition(":")
    return name if colon and port.isdigit() else host


def _own_name(host: str) -> str:
    """``host`` as it stands in a URL; loopback where it means every address."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:  # a name
        return host
    if address.is_unspecified:
        return "127.0.0.1" if address.version == 4 else "[::1]"
    return f"[{host}]" if address.version == 6 else host
