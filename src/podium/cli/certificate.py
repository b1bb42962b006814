"""What is wrong with the URL of a server, and with the certificate that it shows."""

import socket
import ssl
import time
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from podium.cli.finding import Finding

_SECONDS = 5.0
_SOON_DAYS = 14
_DAY_SECONDS = 86400


def trouble(url: str) -> Iterator[Finding]:
    """What can be seen without a token; nothing of a server that does not answer."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    if parts.scheme == "https":
        yield from _certificate(host, parts.port or 443)
    elif parts.scheme == "http" and not _is_here(host):
        detail = f"{url} is not encrypted: others on the way can read the token."
        advice = "Have TLS end before the server, and set PODIUM_URL to its https:// URL."
        yield Finding("URL", "warning", detail, advice, "url_not_encrypted", url)


def _is_here(host: str) -> bool:
    return host == "localhost" or host.startswith("127.") or host == "::1"


def _certificate(host: str, port: int) -> Iterator[Finding]:
    try:
        shown = _shown_by(host, port)
    except ssl.SSLCertVerificationError as error:
        detail = f"That of {host} is refused: {error.verify_message}."
        advice = "Renew it, or name the authority that signed it in SSL_CERT_FILE."
        yield Finding("certificate", "failed", detail, advice, "certificate_refused", host)
        return
    except (OSError, ValueError):  # what asks for the status tells more of that
        return
    left = (ssl.cert_time_to_seconds(shown["notAfter"]) - time.time()) / _DAY_SECONDS
    if left < _SOON_DAYS:
        detail = f"That of {host} expires in {left:.0f} days."
        yield Finding("certificate", "warning", detail, "Renew it.", "certificate_expires", host)
    else:
        yield Finding("certificate", "ok", f"that of {host} is good for {left:.0f} days")


def _shown_by(host: str, port: int) -> Mapping[str, Any]:
    context = ssl.create_default_context()
    with (
        socket.create_connection((host, port), _SECONDS) as plain,
        context.wrap_socket(plain, server_hostname=host) as channel,
    ):
        return channel.getpeercert() or {}
