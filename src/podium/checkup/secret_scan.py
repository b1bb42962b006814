"""secrets: credentials in tracked files. What it hands back never holds one."""

import hashlib
import os
import re
from collections import Counter
from collections.abc import Generator
from secrets import token_bytes
from typing import NamedTuple

from podium.checkup import detectors, key_blocks, languages
from podium.checkup.context import Context, Json, number
from podium.checkup.detectors import Secret
from podium.checkup.git import GitFailed
from podium.checkup.output import SEVERITIES, Finding, Output, Severity
from podium.checkup.part import Deadline, Progress, begin
from podium.checkup.repository import Repository, Tree
from podium.checkup.text import display, plural

_SHOWN = 200
_LINES = 400_000
_TOKENS = (
    r"(A3T[A-Z0-9]|ABIA|ACCA|AKIA|ASIA)[0-9A-Z]{16}|AKC[a-zA-Z0-9]{10}|AP[0-9ABCDEF][a-zA-Z0-9]{8}"
    r"|AccountKey=|://[^[:space:]{}]+:[^[:space:]{}]+@|\.[a-zA-Z0-9_-]{6}\.[a-zA-Z0-9_-]{27}"
    r"|(ghp|gho|ghu|ghs|ghr|github_pat)_|gl[a-z]+-[A-Za-z0-9_-]{20}|eyJ[A-Za-z0-9_=-]+\."
    r"|_authToken|sk-[A-Za-z0-9]|PRIVATE KEY|pypi-AgE|SG\.[a-zA-Z0-9_-]{22}|xox[abposr]-"
    r"|hooks\.slack\.com|sq0csp|[rs]k_live_|[0-9]{8}:[0-9A-Za-z_-]{35}|(AC|SK)[a-z0-9]{32}"
    r"|[0-9a-z]{32}-us[0-9]|AIza|hf_[A-Za-z]{30}|PuTTY-User|do[opr]_v1_|shp(at|ca|pa|ss)_"
)
_NAMES = (
    r"((api|auth|service|account|db|database|priv|private|client|access|encryption|signing|master)"
    r"[_-]?key|pass|pwd|secret|token|credential|contrase)[A-Za-z0-9_-]*"
)
_QUOTED = _NAMES + "[]\"'`)]{0,2}[[:blank:]]*(:=|[:=]>?|[!=]=+|\\(|[[:space:]])[[:blank:]]*@?[\"'`]"
_UNQUOTED = _NAMES + "[]\"'`)]{0,2}[[:blank:]]*[:=]"
_SETTINGS = tuple(
    f":(glob,icase)**/{pattern}"
    for pattern in (
        "*.yml", "*.yaml", "*.ini", "*.cfg", "*.conf", "*.cnf", "*.cf", "*.properties", "*.toml",
        ".env*", "*.env", ".npmrc", ".pypirc", ".netrc", ".envrc", "*.tfvars",
    )
)  # fmt: skip
_KEY_FILE = re.compile(r"(^|/)(id_(rsa|dsa|ecdsa|ed25519)|[^/]+\.(p12|pfx|jks|keystore|kdbx|ppk))$")
_ENV_FILE = re.compile(r"(^|/)\.env(\.(local|prod|production|staging|dev|development))?$")


class _Search(NamedTuple):
    what: str
    pattern: str
    any_case: bool
    paths: tuple[str, ...]


_SEARCHES = (
    _Search("known forms of tokens", _TOKENS, any_case=False, paths=()),
    _Search("quoted values with a telling name", _QUOTED, any_case=True, paths=()),
    _Search("settings with a telling name", _UNQUOTED, any_case=True, paths=_SETTINGS),
)


def run(input: object, ctx: Context) -> dict[str, Json]:  # noqa: A002 - the protocol's name
    """Look for credentials in the snapshot's text files.

    ``input``: ``repo``, ``head``, ``seconds`` (default 90). ``details``: ``kinds`` (counts) and
    ``secrets`` (``path``, ``line``, ``kind``, ``confidence``, ``length``, ``fingerprint``).
    Equal fingerprints mean equal values within one checkup; the fingerprint is keyed with a
    random value that is thrown away, so that nobody can test guesses against it. Those of a
    private key are of its body, and None where its end was not found.
    """
    repository, options = begin(input, ctx)
    deadline = Deadline(number(options.get("seconds"), 90))
    output = Output()
    scan = _Scan(token_bytes(32))
    for place, search in enumerate(_SEARCHES):
        start = 0.05 + 0.3 * place
        ctx.progress(start, f"looking for {search.what}")
        progress = Progress(ctx, start, start + 0.3)
        if not _search(repository, search, deadline, progress, scan):
            output.cut(search.what, f"time ran out after {deadline.seconds:g} s")
    tree = repository.tree()
    _key_files(tree, output)
    scan.sort()
    scan.read_keys(repository, tree)
    scan.describe(output)
    output.notes += _NOTES
    if repository.head:
        output.notes.append(_ONE_COMMIT)
    ctx.progress(1.0, f"{plural(len(scan.found), 'possible secret')}")
    return output.as_json()


def _search(
    repository: Repository, search: _Search, deadline: Deadline, progress: Progress, scan: "_Scan"
) -> bool:
    candidates = _candidates(repository, search, deadline)
    while True:
        try:
            path, line, text = next(candidates)
        except StopIteration as end:
            return bool(end.value)
        scan.lines += 1
        if deadline.passed or scan.lines > _LINES:
            return False
        progress.at(scan.lines, _LINES, f"{scan.lines:,} candidate lines examined")
        scan.line(os.fsdecode(path), int(line), text)


def _candidates(
    repository: Repository, search: _Search, deadline: Deadline
) -> Generator[list[bytes], None, bool]:
    """Lines that may hold a credential, found by git in native code; detectors judge them.

    Perl's expressions are four times as fast, but git may be built without them.
    """
    case = ["-i"] if search.any_case else []
    try:
        return (yield from _grep(repository, search, ["-P", *case], deadline))
    except GitFailed:
        return (yield from _grep(repository, search, ["-E", *case], deadline))


def _grep(
    repository: Repository, search: _Search, flags: list[str], deadline: Deadline
) -> Generator[list[bytes], None, bool]:
    return repository.grep(
        *("-n", *flags, "-e", search.pattern),
        fields=3,
        paths=search.paths,
        seconds=deadline.left(),
    )


class _Found(NamedTuple):
    """A possible secret. ``header`` is that of a private key, whose value comes after it."""

    severity: Severity
    row: dict[str, Json]
    path: str
    line: int
    header: str | None


class _Scan:
    """What was found so far. Values are kept only as keyed hashes."""

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._seen: set[tuple[str, int, str]] = set()
        self.found: list[_Found] = []
        self.kinds: Counter[str] = Counter()
        self.lines = 0
        self.placeholders = 0
        self.allowlisted = 0
        self.long_lines = 0

    def line(self, path: str, number: int, raw: bytes) -> None:
        """Examine one candidate line."""
        if languages.is_lock_file(path) or languages.is_vendored(path):
            return
        if len(raw) > detectors.MAX_LINE:
            self.long_lines += 1
            return
        text = raw.decode("utf-8", "replace").rstrip("\r")
        found = list(detectors.find(path, text))
        if found and detectors.is_allowlisted(path, text):
            self.allowlisted += 1
            return
        for secret in found:
            self._add(path, number, secret)

    def _add(self, path: str, number: int, secret: Secret) -> None:
        fingerprint = self._fingerprint(secret.value)
        if (path, number, fingerprint) in self._seen:
            return
        self._seen.add((path, number, fingerprint))
        if secret.placeholder:
            self.placeholders += 1
            return
        severity = _severity(path, secret)
        is_key = secret.kind == detectors.PRIVATE_KEY
        self.kinds[secret.kind] += 1
        row: dict[str, Json] = {
            "path": display(path),
            "line": number,
            "kind": secret.kind,
            "severity": severity,
            "confidence": secret.confidence,
            "length": None if is_key else len(secret.value),
            "fingerprint": None if is_key else fingerprint,
        }
        self.found.append(_Found(severity, row, path, number, secret.value if is_key else None))

    def _fingerprint(self, value: str) -> str:
        return hashlib.blake2b(value.encode(), key=self._key, digest_size=6).hexdigest()

    def sort(self) -> None:
        """Put the gravest first."""
        self.found.sort(key=lambda found: (SEVERITIES.index(found.severity), found.row["path"]))

    def read_keys(self, repository: Repository, tree: Tree) -> None:
        """Tell the private keys that are listed from each other, by what follows their headers."""
        keys = [found for found in self.found[:_SHOWN] if found.header is not None]
        entries = {entry.path: entry for entry in tree.files} if keys else {}
        with repository.reader() as reader:
            for key in keys:
                entry = entries.get(key.path)
                body = entry and key_blocks.of_line(reader, entry, key.line, str(key.header))
                if body:
                    key.row.update(length=len(body), fingerprint=self._fingerprint(body))

    def describe(self, output: Output) -> None:
        """Fill in what was found."""
        severities = Counter(found.severity for found in self.found)
        output.summary = {
            "possible_secrets": len(self.found),
            "high": severities["high"],
            "medium": severities["medium"],
            "low": severities["low"],
            "in_tests_or_documents": severities["info"],
            "placeholders": self.placeholders,
            "allowlisted": self.allowlisted,
            "candidate_lines": self.lines,
        }
        output.details["kinds"] = [
            {"kind": kind, "count": count} for kind, count in self.kinds.most_common()
        ]
        output.details["secrets"] = [found.row for found in self.found[:_SHOWN]]
        output.findings += [
            _finding(found.severity, found.row)
            for found in self.found[:_SHOWN]
            if found.severity != "info"
        ]
        if len(self.found) > _SHOWN:
            output.cut("secrets", f"{_SHOWN} of {len(self.found):,} are listed")
        if self.long_lines:
            output.cut(
                "long lines",
                f"{plural(self.long_lines, 'line')} longer than {detectors.MAX_LINE:,} characters",
            )


_NOTES = [
    "A finding is a guess by its form; nobody was asked whether the credential works.",
    "Values are never shown; equal fingerprints are equal values.",
    "A private key's is of its body; there is none where the key's end was not found.",
]
_ONE_COMMIT = (
    "Only this commit was searched. A secret that was ever committed stays in the history."
)


def _severity(path: str, secret: Secret) -> Severity:
    aside = languages.is_test(path) or languages.is_example(path)
    if secret.confidence == "high":
        return "medium" if aside else "high"
    if aside:
        return "info"
    return "medium" if secret.confidence == "medium" else "low"


def _finding(severity: Severity, row: dict[str, Json]) -> Finding:
    detail = f"{row['length']} characters, fingerprint {row['fingerprint']}"
    if row["fingerprint"] is None:
        detail = "the header of a key whose end was not found"
    return {
        "severity": severity,
        "kind": "possible_secret",
        "title": f"Possible secret: {row['kind']}",
        "path": str(row["path"]),
        "line": int(str(row["line"])),
        "detail": detail,
    }


def _key_files(tree: Tree, output: Output) -> None:
    """Files that are credentials by their name alone."""
    for entry in tree.files:
        key, env = _KEY_FILE.search(entry.path), _ENV_FILE.search(entry.path)
        if not (key or env) or not entry.size or languages.is_vendored(entry.path):
            continue
        aside = languages.is_test(entry.path) or languages.is_example(entry.path)
        what = "a key store or private key" if key else "the settings of one machine"
        output.findings.append(
            {
                "severity": "low" if aside or env else "high",
                "kind": "credential_file",
                "title": f"The file's name says that it is {what}",
                "path": display(entry.path),
            }
        )
