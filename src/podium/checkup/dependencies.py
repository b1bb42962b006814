"""dependencies: which packages the repository asks for, how far they are fixed, and where."""

from collections import Counter, defaultdict
from dataclasses import dataclass, field

from podium.checkup import languages
from podium.checkup.context import Context, Json, number
from podium.checkup.detectors import redact
from podium.checkup.manifests.locks import packages, pins_everything
from podium.checkup.manifests.model import Dependency, Unreadable, name_in
from podium.checkup.manifests.registry import ADVISERS, SEEN_ONLY, Reader, reader_of
from podium.checkup.output import Output, Severity
from podium.checkup.part import Deadline, Progress, begin
from podium.checkup.repository import Entry, Repository
from podium.checkup.repository import Reader as Contents
from podium.checkup.text import clean, display, plural, shorten

_MAX_MANIFEST = 1_000_000
_MAX_LOCK = 30_000_000
_MAX_FILES = 3_000
_LISTED = 400
_PINS = ("exact", "range", "any", "source", "managed")
_DEVELOPMENT = frozenset({"dev", "test", "build"})
_OPTIONAL = frozenset({"optional", "peer"})


@dataclass(slots=True)
class _Manifest:
    path: str
    reader: Reader
    dependencies: list[Dependency]
    resolved: bool = False

    @property
    def direct(self) -> list[Dependency]:
        return [item for item in self.dependencies if item.scope != "indirect"]


@dataclass(slots=True)
class _Inventory:
    manifests: list[_Manifest] = field(default_factory=list[_Manifest])
    locks: dict[str, tuple[str, int | None]] = field(
        default_factory=dict[str, tuple[str, int | None]]
    )
    unreadable: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    seen_only: list[str] = field(default_factory=list[str])

    def lock_for(self, manifest: _Manifest) -> str | None:
        """A lock file of the same ecosystem beside the manifest or in a directory above it."""
        directory = manifest.path.rpartition("/")[0]
        for path, (ecosystem, _) in self.locks.items():
            place = path.rpartition("/")[0]
            above = not place or directory == place or directory.startswith(place + "/")
            if ecosystem == manifest.reader.ecosystem and above:
                return path
        return None


def run(input: object, ctx: Context) -> dict[str, Json]:  # noqa: A002 - the protocol's name
    """Read every manifest and lock file of the snapshot. No network is used.

    ``input``: ``repo``, ``head``, ``seconds`` (default 60). ``details``: ``ecosystems`` (counts),
    ``manifests`` (``path``, ``ecosystem``, ``direct``, ``lock``), ``dependencies`` (``name``,
    ``spec``, ``scope``, ``pin``, ``manifest``), ``differing`` (one package, several versions),
    ``lock_files`` (``path``, ``packages``). ``direct`` are ``runtime`` (all that is needed to run),
    ``optional`` (extras and peers) and ``development`` (tools, tests, builds) together.
    """
    repository, options = begin(input, ctx)
    deadline = Deadline(number(options.get("seconds"), 60))
    output = Output()
    ctx.progress(0.05, "looking for manifests and lock files")
    inventory = _read(repository, deadline, Progress(ctx, 0.1, 0.95), output)
    _describe(inventory, output)
    _judge(inventory, output)
    _say_what_is_missing(inventory, output)
    ctx.progress(1.0, f"{plural(len(inventory.manifests), 'manifest')} read")
    return output.as_json()


def _read(
    repository: Repository, deadline: Deadline, progress: Progress, output: Output
) -> _Inventory:
    inventory = _Inventory()
    chosen: list[tuple[Entry, Reader | None]] = []
    for entry in repository.tree().files:
        if languages.is_vendored(entry.path):
            continue
        lock = languages.is_lock_file(entry.path)
        reader = None if lock else reader_of(entry.path)
        if lock or (reader and entry.size):
            chosen.append((entry, reader))
        elif SEEN_ONLY.fullmatch(entry.path.rpartition("/")[2]):
            inventory.seen_only.append(entry.path)
    with repository.reader() as contents:
        for place, (entry, reader) in enumerate(chosen):
            if place >= _MAX_FILES or deadline.passed:
                output.cut("manifests", f"{place:,} of {len(chosen):,} were read")
                break
            progress.at(place, len(chosen), f"reading {display(entry.path)}")
            _read_one(entry, reader, contents, inventory)
    return inventory


def _read_one(
    entry: Entry, reader: Reader | None, contents: Contents, inventory: _Inventory
) -> None:
    ecosystem = languages.lock_ecosystem(entry.path)
    if ecosystem:
        inventory.locks[entry.path] = ecosystem, None
    most = _MAX_MANIFEST if reader else _MAX_LOCK
    if entry.size > most:
        inventory.unreadable.append((entry.path, f"it is larger than {most:,} bytes"))
        return
    content = contents.read(entry)
    if ecosystem:
        inventory.locks[entry.path] = ecosystem, packages(entry.path, content)
    if reader is None:
        return
    try:
        found = [_without_addresses(item) for item in reader.read(content, entry.path)]
    except Unreadable as error:
        inventory.unreadable.append((entry.path, str(error)))
        return
    resolved = entry.path.endswith(".txt") and pins_everything(content)
    if resolved:
        inventory.locks[entry.path] = reader.ecosystem, len(found)
    inventory.manifests.append(_Manifest(entry.path, reader, found, resolved))


def _without_addresses(item: Dependency) -> Dependency:
    """Addresses can hold a user and a password, or a token, wherever a manifest has one."""
    name = name_in(item.name) if "://" in item.name else item.name
    spec = "(address)" if "://" in item.spec else item.spec
    return item._replace(name=name, spec=spec)


def _shown(text: str, limit: int) -> str:
    return shorten(clean(redact(text)), limit)


def _describe(inventory: _Inventory, output: Output) -> None:
    pins: defaultdict[str, Counter[str]] = defaultdict(Counter)
    uses: defaultdict[str, list[Dependency]] = defaultdict(list)
    manifests: Counter[str] = Counter()
    locked: Counter[str] = Counter()
    for manifest in inventory.manifests:
        ecosystem = manifest.reader.ecosystem
        manifests[ecosystem] += 1
        pins[ecosystem].update(item.pin for item in manifest.direct)
        uses[ecosystem] += manifest.direct
    for ecosystem, count in inventory.locks.values():
        locked[ecosystem] += count or 0
    uncounted = {ecosystem for ecosystem, count in inventory.locks.values() if count is None}
    every = Counter[str]()
    for counts in pins.values():
        every.update(counts)
    output.summary = {
        "ecosystems": len(manifests | locked),
        "manifests": len(inventory.manifests),
        "lock_files": len(inventory.locks),
        "direct": every.total(),
        **_by_use([item for items in uses.values() for item in items]),
        **{pin: every[pin] for pin in _PINS},
        "locked_packages": locked.total(),
    }
    output.details["ecosystems"] = [
        {
            "ecosystem": name,
            "manifests": manifests[name],
            "direct": pins[name].total(),
            **_by_use(uses[name]),
            **{pin: pins[name][pin] for pin in _PINS},
            "locked_packages": None if name in uncounted else locked[name],
        }
        for name in sorted(manifests | locked, key=lambda name: (-pins[name].total(), name))
    ]
    _list(inventory, output)


def _by_use(items: list[Dependency]) -> dict[str, int]:
    """How many are needed to run, how many may be left out, how many are for who works on it."""
    optional = sum(item.scope in _OPTIONAL or item.scope.startswith("extra ") for item in items)
    development = sum(
        item.scope in _DEVELOPMENT or item.scope.startswith("group ") for item in items
    )
    runtime = len(items) - optional - development
    return {"runtime": runtime, "optional": optional, "development": development}


def _list(inventory: _Inventory, output: Output) -> None:
    output.details["manifests"] = [
        {
            "path": display(manifest.path),
            "ecosystem": manifest.reader.ecosystem,
            "direct": len(manifest.direct),
            **_by_use(manifest.direct),
            "lock": display(inventory.lock_for(manifest) or "") or None,
        }
        for manifest in inventory.manifests[:200]
    ]
    output.details["lock_files"] = [
        {"path": display(path), "ecosystem": ecosystem, "packages": count}
        for path, (ecosystem, count) in sorted(inventory.locks.items())[:100]
    ]
    direct = [(manifest, item) for manifest in inventory.manifests for item in manifest.direct]
    output.details["dependencies"] = [
        {
            "name": _shown(item.name, 120),
            "spec": _shown(item.spec, 80),
            "scope": _shown(item.scope, 40),
            "pin": item.pin,
            "ecosystem": manifest.reader.ecosystem,
            "manifest": display(manifest.path),
        }
        for manifest, item in direct[:_LISTED]
    ]
    if len(direct) > _LISTED:
        output.cut("dependencies", f"{_LISTED} of {len(direct):,} are listed")
    output.details["differing"] = _differing(inventory)


def _differing(inventory: _Inventory) -> list[Json]:
    """Packages that manifests of one ecosystem ask for in different versions."""
    specs: defaultdict[tuple[str, str], dict[str, str]] = defaultdict(dict)
    for manifest in inventory.manifests:
        if manifest.resolved or languages.is_test(manifest.path):
            continue
        for item in manifest.dependencies:
            if item.pin in {"exact", "range"} and item.scope in {"runtime", "dev", "base image"}:
                key = manifest.reader.ecosystem, item.name.lower()
                specs[key].setdefault(item.spec, manifest.path)
    rows: list[Json] = []
    for (ecosystem, name), found in sorted(specs.items()):
        if len(found) > 1:
            versions: list[Json] = [
                {"spec": _shown(spec, 80), "manifest": display(path)}
                for spec, path in list(found.items())[:6]
            ]
            rows.append({"ecosystem": ecosystem, "name": _shown(name, 120), "versions": versions})
    return rows[:30]


def _judge(inventory: _Inventory, output: Output) -> None:
    for manifest in inventory.manifests:
        aside = languages.is_test(manifest.path) or languages.is_example(manifest.path)
        if manifest.reader.ecosystem in {"Containers", "GitHub Actions"}:
            _judge_moving(manifest, output)
            continue
        wanted = [item for item in manifest.dependencies if item.pin != "managed"]
        severity: Severity = "info" if aside else "low"
        if wanted and manifest.reader.needs_lock and not inventory.lock_for(manifest):
            output.findings.append(
                {
                    "severity": severity,
                    "kind": "no_lock_file",
                    "title": f"{manifest.reader.ecosystem}: no lock file, builds may differ",
                    "path": display(manifest.path),
                    "detail": f"{plural(len(wanted), 'direct dependency', 'direct dependencies')}",
                }
            )
        free = [item.name for item in wanted if item.pin == "any" and item.scope != "build"]
        if free and not aside and not inventory.lock_for(manifest):
            _add_list(output, "low", "any_version", "Any version is taken", manifest.path, free)
        placed = [item.name for item in wanted if item.pin == "source"]
        if placed and not aside:
            title = "Taken from a place, not from a registry"
            _add_list(output, "info", "from_source", title, manifest.path, placed)
    _judge_locks(inventory, output)


def _judge_moving(manifest: _Manifest, output: Output) -> None:
    free = [item.name for item in manifest.dependencies if item.pin == "any"]
    path = manifest.path
    if manifest.reader.ecosystem == "Containers":
        if free and not languages.is_test(path):
            title = "Image without a version, or with 'latest'"
            _add_list(output, "low", "moving_image", title, path, free)
        return
    if free:
        title = "Action taken from a branch: it can change at any time"
        _add_list(output, "medium", "moving_action", title, path, free)
    tagged = [
        item.name
        for item in manifest.dependencies
        if item.pin == "range" and not item.name.startswith(("actions/", "github/"))
    ]
    if tagged:
        title = "Third-party action pinned by a tag, which its owner can move"
        _add_list(output, "low", "tagged_action", title, path, tagged)


def _add_list(
    output: Output, severity: Severity, kind: str, title: str, path: str, names: list[str]
) -> None:
    output.findings.append(
        {
            "severity": severity,
            "kind": kind,
            "title": title,
            "path": display(path),
            "detail": _shown(", ".join(dict.fromkeys(names)), 300),
            "count": len(names),
        }
    )


def _judge_locks(inventory: _Inventory, output: Output) -> None:
    """Two package managers that lock the same manifest disagree sooner or later."""
    beside: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
    for path, (ecosystem, _) in inventory.locks.items():
        directory, _, name = path.rpartition("/")
        resolved = name.endswith(".txt") or name.startswith("requirements")
        if ecosystem in {"npm", "Python"} and not resolved:
            beside[ecosystem, directory].append(path)
    for (ecosystem, _), paths in sorted(beside.items()):
        if len(paths) > 1:
            names = [path.rpartition("/")[2] for path in sorted(paths)]
            title = f"{ecosystem}: lock files of several package managers side by side"
            _add_list(output, "medium", "several_lock_files", title, min(paths), names)


def _say_what_is_missing(inventory: _Inventory, output: Output) -> None:
    for path, why in inventory.unreadable[:50]:
        output.findings.append(
            {
                "severity": "info",
                "kind": "unreadable_manifest",
                "title": "The manifest could not be read",
                "path": display(path),
                "detail": why,
            }
        )
    if inventory.seen_only:
        names = ", ".join(display(path) for path in inventory.seen_only[:10])
        output.notes.append(
            f"Seen but not read: {plural(len(inventory.seen_only), 'manifest')} ({names})."
        )
    ecosystems = {manifest.reader.ecosystem for manifest in inventory.manifests}
    advisers = [tool for name, tool in ADVISERS.items() if name in ecosystems]
    if ecosystems - {"Containers", "GitHub Actions"}:
        output.could_not_run.append(
            {
                "tool": "known vulnerabilities and newer versions",
                "why": "a checkup uses no network",
                "how_to_get": "run osv-scanner" + "".join(f", {tool}" for tool in advisers),
            }
        )
