"""Recognising credentials in a line of text, with the detectors of detect-secrets.

Nothing here asks a service whether a credential is valid: no network is used.
"""

import logging
import re
from collections.abc import Iterable, Iterator
from functools import cache
from typing import TYPE_CHECKING, Literal, NamedTuple, cast

from podium.checkup.guards import squeezed

if TYPE_CHECKING:
    from detect_secrets.plugins.base import BasePlugin

MAX_LINE = 4_000
"""Longer lines are not looked at: they are minified code or data."""

_MAX_KEYWORD_LINE = 1_000
_MAX_NAME = 120

PRIVATE_KEY = "Private Key"  # pragma: allowlist secret
"""The kind of which ``find`` gives the header alone: a key goes on over the lines after it."""

Confidence = Literal["high", "medium", "low"]


class Secret(NamedTuple):
    """A credential in a line. ``value`` must never leave the process."""

    kind: str
    value: str
    confidence: Confidence
    placeholder: bool


class _Extra(NamedTuple):
    kind: str
    pattern: re.Pattern[str]


# Formats that came after the last release of detect-secrets.
_EXTRA = (
    _Extra("GitHub Token", re.compile(r"\bgithub_pat_[A-Za-z0-9_]{50,}")),
    _Extra("Google API Key", re.compile(r"\bAIza[0-9A-Za-z_-]{35}\b")),
    _Extra("Anthropic Key", re.compile(r"\bsk-ant-[A-Za-z0-9_-]{20,}")),
    _Extra("Hugging Face Token", re.compile(r"\bhf_[A-Za-z]{30,}\b")),
    _Extra("DigitalOcean Token", re.compile(r"\bdo[opr]_v1_[a-f0-9]{64}\b")),
    _Extra("Shopify Token", re.compile(r"\bshp(at|ca|pa|ss)_[a-fA-F0-9]{32}\b")),
    _Extra(PRIVATE_KEY, re.compile(r"-----BEGIN ENCRYPTED[ ]PRIVATE KEY-----")),
)
_SURE = frozenset({
    "AWS Access Key", "Azure Storage Account access key", "GitHub Token", "GitLab Token",
    "NPM tokens", "OpenAI Token", PRIVATE_KEY, "PyPI Token", "SendGrid API Key", "Slack Token",
    "Square OAuth Secret", "Stripe Access Key", *(extra.kind for extra in _EXTRA),
})  # fmt: skip
_GUESSED = frozenset({"Base64 High Entropy String", "Hex High Entropy String"})
_NOT_SECRET = frozenset({"Public IP (ipv4)"})

_KEY_HEADER = re.compile(r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY( BLOCK)?-----|^PuTTY-User-Key-File")
_NAMED = re.compile(r"(?i)(key|pass|pwd|secret|token|credential|auth|salt|signature)")
_KEY = re.compile(r"([A-Za-z_][\w.-]*)[\"'\])]*\s*(?::=|=>|[:=!]=*)\s*[@bfru]?[\"'`]?$")
_NO_VALUE = re.compile(
    r"(?i)(name|ref|file|path|dir|id|ids|url|uri|field|type|kind|policy|length|len|size|min|max"
    r"|expir\w*|ttl|age|header|env|var|label|placeholder|hint|prompt|title|text|message|error"
    r"|regex|pattern|format|param|column|attribute|provider|manager|store|scope|class"
    r"|encryption|hash|algorithm|method|mode|protocol|mechanism|strategy|help|description|count"
    r"|limit|required|enabled|changed|reset|validator|input|output|rotation|version)$"
)
_PLACEHOLDER = re.compile(
    r"(?i)^(.)\1*$|example|changeme|change[-_ ]me|placeholder|dummy|redacted|not[-_ ]?a[-_ ]?real"
    r"|^(test(ing)?|fake|mock|foo(bar)?|bar|baz|qux|none|null|nil|true|false|undefined|todo|tbd"
    r"|sample|default|string|str|bytes|optional|required|any|scott|tiger|user(name)?|password\d*"
    r"|passwd|passw0rd|pass(word|phrase)?|pwd|secret\d*|token|root|admin|postgres|mysql|guest"
    r"|hunter2|letmein|s3cr3t|p@ssw0rd|my[-_].*|your[-_ ]?.*|some[-_].*|the[-_].*)$"
    r"|^[<%$&*({\[]|[>)}\]]$|^\\|\.\.\.|^x{3,}|x{4,}$|\{\{|\$\{|%\(|%s"
)
_NOWHERE = re.compile(
    r"(?i)@(localhost|127\.0\.0\.1|\[::1\]|0\.0\.0\.0|host(name)?(?![\w.-])|[\w.-]*example)"
)


def find(path: str, line: str) -> Iterator[Secret]:
    """The credentials in a line of the file ``path``; each value once, the surest kind first."""
    seen: set[str] = set()
    ranked = sorted(_found(path, line), key=lambda secret: "high medium low".find(secret[2]))
    for secret in ranked:
        if secret.value not in seen:
            seen.add(secret.value)
            yield secret


def _found(path: str, line: str) -> Iterator[Secret]:
    line = squeezed(line)
    for extra in _EXTRA:
        for match in extra.pattern.finditer(line):
            yield Secret(extra.kind, match[0], "high", _is_placeholder(match[0]))
    named = bool(_NAMED.search(line))
    plain = _as_keyword_file(path)
    for plugin in _plugins():
        kind = str(plugin.secret_type)
        if kind in _GUESSED and not named:
            continue
        if kind not in _SURE and len(line) > _MAX_KEYWORD_LINE:
            continue  # their patterns take too long on long lines
        for value in _values_of(plugin, kind, plain, line):
            if value and not _is_noise(kind, value, line, plugin):
                sure = "high" if kind in _SURE else "low" if kind in _GUESSED else "medium"
                yield Secret(kind, value, sure, _is_placeholder(value) or _is_example(line, value))


def _values_of(plugin: "BasePlugin", kind: str, path: str, line: str) -> list[str]:
    if kind in _SURE:
        # Some of these patterns have groups that hold only a part of the token; take it all.
        patterns = cast("Iterable[re.Pattern[str]]", getattr(plugin, "denylist", ()))
        return [match[0] for pattern in patterns for match in pattern.finditer(line)]
    return [found.secret_value or "" for found in plugin.analyze_line(filename=path, line=line)]


def _as_keyword_file(path: str) -> str:
    """The keyword detector knows by the extension whether values may come without quotes."""
    name = path.rpartition("/")[2]
    unquoted = name.startswith(".env") or name.endswith((".env", ".envrc", ".npmrc", ".pypirc"))
    return "settings.ini" if unquoted else name


def _is_noise(kind: str, value: str, line: str, plugin: "BasePlugin") -> bool:
    from detect_secrets.filters import heuristic

    if kind == PRIVATE_KEY:
        # Code that looks for keys names them too.
        return not _KEY_HEADER.search(line)
    if kind in _SURE:
        return heuristic.is_sequential_string(value)
    if (
        heuristic.is_sequential_string(value)
        or heuristic.is_potential_uuid(value)
        or heuristic.is_likely_id_string(value, line, plugin)
        or heuristic.is_not_alphanumeric_string(value)
        or heuristic.is_templated_secret(value)
        or heuristic.is_prefixed_with_dollar_sign(value)
    ):
        return True
    if kind == "Basic Auth Credentials":
        return False
    if heuristic.is_indirect_reference(line) or value.count(" ") >= 2:
        return True
    end = line.find(value)
    key = _KEY.search(line[max(end - _MAX_NAME, 0) : end])
    if key is None:
        return kind in _GUESSED
    return bool(_NO_VALUE.search(key[1])) or (kind in _GUESSED and not _NAMED.search(key[1]))


def _is_example(line: str, value: str) -> bool:
    """Whether the line says so, or the value opens something on this machine only."""
    rest = line[line.find(value) + len(value) :]
    return "e.g." in line or bool(_NOWHERE.match(rest))


def _is_placeholder(value: str) -> bool:
    if len(value) < 4 or _PLACEHOLDER.search(value):
        return True
    # A word such as secret_store names a thing of the program.
    return value.replace("_", "").isalpha() and value.islower() and bool(_NAMED.search(value))


@cache
def _plugins() -> "tuple[BasePlugin, ...]":
    from detect_secrets.core.plugins.util import get_mapping_from_secret_type_to_class

    logging.captureWarnings(capture=False)  # importing detect-secrets turns it on for everybody
    kinds = get_mapping_from_secret_type_to_class()
    return tuple(kinds[kind]() for kind in sorted(kinds) if kind not in _NOT_SECRET)


def redact(text: str) -> str:
    """``text`` with everything that looks like a credential replaced by ``[secret]``.

    Runs of spaces become one, and 1,000 characters are kept.
    """
    shown = squeezed(text[:_MAX_KEYWORD_LINE])
    for value in sorted(_values(shown), key=len, reverse=True):
        shown = shown.replace(value, "[secret]")
    return shown


def _values(text: str) -> Iterable[str]:
    # Read as a settings file, so that values without quotes are found too.
    return {
        secret.value
        for path in ("text.py", "text.ini")
        for secret in find(path, text)
        if len(secret.value) >= 4
    }


def is_allowlisted(path: str, line: str) -> bool:
    """Whether the line carries detect-secrets' comment that says it holds no secret."""
    from detect_secrets.filters.allowlist import is_line_allowlisted
    from detect_secrets.util.code_snippet import CodeSnippet

    return is_line_allowlisted(path, line, CodeSnippet([line], 0, 0))
