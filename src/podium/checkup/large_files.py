"""large_files: what makes the repository heavy, and what in it nobody wrote by hand."""

import heapq
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator

from podium.checkup import languages
from podium.checkup.context import Context, Json, number, whole
from podium.checkup.manifests.locks import pins_everything
from podium.checkup.manifests.registry import reader_of
from podium.checkup.output import Output
from podium.checkup.part import Deadline, begin
from podium.checkup.repository import Entry, Repository, Tree
from podium.checkup.survey import say_missing
from podium.checkup.text import display, plural, size

_SHOWN = 30
_LARGE = 1_000_000
_HUGE = 10_000_000
_LONG_LINE = 500
_LFS = "^version https://git-lfs\\.github\\.com/spec/v1$"
_LFS_BYTES = 1_024  # no pointer is larger
_ASSET = re.compile(
    r"\.(png|jpe?g|gif|webp|ico|svg|woff2?|ttf|otf|eot|mp[34]|wav|ogg|pdf|webm|avif)$",
    re.IGNORECASE,
)
_ARTIFACT = re.compile(
    r"\.(exe|dll|so|dylib|a|o|obj|lib|class|jar|war|ear|pyc|pyo|whl|egg|nupkg|gem|deb|rpm|msi"
    r"|dmg|iso|apk|aab|ipa|zip|tar|t?gz|bz2|xz|7z|rar|node|wasm|pdb)$",
    re.IGNORECASE,
)
_DUMP = re.compile(
    r"\.(sqlite3?|db|mdb|dump|bak|parquet|h5|pkl|npy|npz|pt|pth|onnx|ckpt)$", re.IGNORECASE
)


def run(input: object, ctx: Context) -> dict[str, Json]:  # noqa: A002 - the protocol's name
    """Look at sizes in the snapshot and in all of the repository's objects.

    ``input``: ``repo``, ``head``, ``seconds`` (default 60), ``large_bytes`` (default 1 MB).
    ``details``: ``largest`` (``path``, ``bytes``, ``lines``, ``kind``), ``unusual`` (build
    results, archives, data dumps), ``kinds`` (files and bytes by kind), ``lock_files``,
    ``vendored`` (directories), ``biggest_blobs`` (``path``, ``bytes``, ``in_snapshot``).
    """
    repository, options = begin(input, ctx)
    deadline = Deadline(number(options.get("seconds"), 60))
    large = whole(options.get("large_bytes"), _LARGE)
    output = Output()
    ctx.progress(0.05, "listing the files")
    tree = repository.tree()
    ctx.progress(0.1, "telling text from binary files")
    lines, complete = repository.line_counts(seconds=deadline.left())
    if not complete:
        output.cut("binary files", "time ran out; the rest is judged by its name")
    said = repository.generated(seconds=deadline.left())
    pinned = _pinned(repository, tree)
    kinds = {
        entry.path: "lock file"
        if entry.path in pinned
        else _kind(entry, lines, said, complete=complete)
        for entry in tree.files
    }
    _snapshot(tree, kinds, lines, large, output)
    say_missing(tree, output)
    _lfs(repository, tree, output)
    ctx.progress(0.4, "looking for the biggest objects of the whole history")
    _objects(repository, tree, deadline, output)
    _judge(tree, kinds, large, output)
    ctx.progress(1.0, f"{plural(len(tree.files), 'file')} weighed")
    return output.as_json()


def _pinned(repository: Repository, tree: Tree) -> set[str]:
    """Requirements files that a resolver wrote: lock files by what they hold."""
    candidates = [
        entry
        for entry in tree.files
        if entry.path.endswith(".txt")
        and entry.size <= _LARGE
        and not languages.is_vendored(entry.path)
        and reader_of(entry.path)
    ]
    with repository.reader() as reader:
        return {entry.path for entry in candidates if pins_everything(reader.read(entry))}


def _kind(entry: Entry, lines: dict[str, int], generated: set[str], *, complete: bool) -> str:
    path = entry.path
    if languages.is_vendored(path):
        return "vendored"
    if languages.is_lock_file(path):
        return "lock file"
    count = lines.get(path)
    minified = languages.extension(path) in {"js", "mjs", "cjs", "css", "html", "svg"}
    if path in generated or languages.is_generated(path):
        return "generated"
    if minified and count and entry.size > 20_000 and entry.size / count > _LONG_LINE:
        return "minified"
    if _ARTIFACT.search(path):
        return "build result or archive"
    if _DUMP.search(path):
        return "data dump"
    if _ASSET.search(path):
        return "media"
    if count is None and entry.size and complete:
        return "other binary"
    return "source" if languages.is_code(path) else "other text"


def _snapshot(
    tree: Tree, kinds: dict[str, str], lines: dict[str, int], large: int, output: Output
) -> None:
    files: Counter[str] = Counter()
    sizes: Counter[str] = Counter()
    for entry in tree.files:
        files[kinds[entry.path]] += 1
        sizes[kinds[entry.path]] += entry.size
    output.summary = {
        "files": len(tree.files),
        "bytes": sum(sizes.values()),
        "large_files": sum(1 for entry in tree.files if entry.size >= large),
        "binary_files": sum(files[kind] for kind in _BINARY),
        "generated_or_minified": files["generated"] + files["minified"],
        "vendored_files": files["vendored"],
        "lock_files": files["lock file"],
    }
    output.details["kinds"] = [
        {"kind": kind, "files": files[kind], "bytes": count} for kind, count in sizes.most_common()
    ]
    largest = heapq.nlargest(_SHOWN, tree.files, key=lambda entry: (entry.size, entry.path))
    output.details["largest"] = [_row(entry, kinds, lines) for entry in largest]
    unusual = [e for e in tree.files if kinds[e.path] in _UNUSUAL]
    unusual.sort(key=lambda entry: (-entry.size, entry.path))
    output.details["unusual"] = [_row(entry, kinds, lines) for entry in unusual[:_SHOWN]]
    written = [e for e in tree.files if kinds[e.path] in {"generated", "minified"}]
    written.sort(key=lambda entry: (-entry.size, entry.path))
    output.details["generated"] = [_row(entry, kinds, lines) for entry in written[:_SHOWN]]
    locks = [entry for entry in tree.files if kinds[entry.path] == "lock file"]
    output.details["lock_files"] = [_row(entry, kinds, lines) for entry in locks[:100]]
    output.details["vendored"] = _vendored(tree, kinds)


_BINARY = ("build result or archive", "data dump", "media", "other binary")
_MANY = "tracked build results or archives"
_UNUSUAL = frozenset({"build result or archive", "data dump"})


def _row(entry: Entry, kinds: dict[str, str], lines: dict[str, int]) -> Json:
    return {
        "path": display(entry.path),
        "bytes": entry.size,
        "lines": lines.get(entry.path),
        "kind": kinds[entry.path],
    }


def _vendored(tree: Tree, kinds: dict[str, str]) -> list[Json]:
    """Directories with other people's code, down to the one that is named so."""
    files: Counter[str] = Counter()
    sizes: Counter[str] = Counter()
    for entry in tree.files:
        if kinds[entry.path] != "vendored":
            continue
        pieces = entry.path.split("/")
        depth = next(d for d in range(1, len(pieces)) if _is_vendor(pieces[:d]))
        top = "/".join(pieces[:depth])
        files[top] += 1
        sizes[top] += entry.size
    return [
        {"path": display(top), "files": files[top], "bytes": count}
        for top, count in sizes.most_common(_SHOWN)
    ]


def _is_vendor(pieces: list[str]) -> bool:
    return languages.is_vendored("/".join(pieces) + "/")


def _lfs(repository: Repository, tree: Tree, output: Output) -> None:
    small = {entry.path for entry in tree.files if entry.size < _LFS_BYTES}
    found = repository.grep("-n", "-e", _LFS, fields=3, seconds=20)
    pointers = sum(1 for path, line, _ in found if line == b"1" and os.fsdecode(path) in small)
    output.summary["lfs_files"] = pointers
    if pointers:
        are = "is" if pointers == 1 else "are"
        output.notes.append(
            f"{plural(pointers, 'file')} {are} kept in Git LFS; sizes are those of the pointers."
        )


def _objects(repository: Repository, tree: Tree, deadline: Deadline, output: Output) -> None:
    """The biggest blobs of all history, each with a path that it had."""
    seconds = deadline.left()
    objects = repository.git.stream(
        *("cat-file", "--batch-all-objects", "--unordered", "--buffer"),
        "--batch-check=%(objecttype) %(objectsize) %(objectname) %(objectsize:disk)",
        separator=b"\n",
        seconds=seconds,
    )
    totals = {"objects": 0, "packed_bytes": 0}
    biggest = heapq.nlargest(_SHOWN, _blobs(objects, totals))
    output.summary["objects"] = totals["objects"]
    output.summary["object_bytes_on_disk"] = totals["packed_bytes"]
    names = _names(repository, {oid for _, oid in biggest}, deadline, output)
    present = {entry.oid for entry in tree.files}
    output.details["biggest_blobs"] = [
        {
            "path": names.get(oid),
            "bytes": count,
            "blob": oid.decode("ascii"),
            "in_snapshot": oid.decode("ascii") in present,
        }
        for count, oid in biggest
    ]


def _blobs(objects: Iterable[bytes], totals: dict[str, int]) -> Iterator[tuple[int, bytes]]:
    for record in objects:
        kind, count, oid, disk = record.split(b" ")
        totals["objects"] += 1
        totals["packed_bytes"] += int(disk)
        if kind == b"blob":
            yield int(count), oid


def _names(
    repository: Repository, wanted: set[bytes], deadline: Deadline, output: Output
) -> dict[bytes, str]:
    names: dict[bytes, str] = {}
    if not wanted or deadline.passed:
        return names
    refs = repository.ask("for-each-ref", "--format=%(objectname)") or ""
    starts = f"{refs}\n{repository.head or ''}".strip().encode()
    for record in repository.git.stream(
        *("rev-list", "--objects", "--ignore-missing", "--missing=allow-any", "--stdin"),
        separator=b"\n",
        feed=starts,
        seconds=deadline.left(),
    ):
        oid, _, path = record.partition(b" ")
        if oid in wanted and path:
            names[oid] = display(os.fsdecode(path))
            if len(names) == len(wanted):
                return names
    if deadline.passed:
        output.cut("paths of the biggest objects", f"time ran out after {deadline.seconds:g} s")
    return names


def _judge(tree: Tree, kinds: dict[str, str], large: int, output: Output) -> None:
    for entry in heapq.nlargest(10, tree.files, key=lambda entry: entry.size):
        kind = kinds[entry.path]
        if entry.size < large or kind in {"lock file", "vendored"}:
            continue
        output.findings.append(
            {
                "severity": "medium" if entry.size >= _HUGE or kind in _UNUSUAL else "low",
                "kind": "large_file",
                "title": f"Large file ({kind}): {size(entry.size)}",
                "path": display(entry.path),
                "detail": "git keeps every version of it; consider Git LFS or a release asset",
            }
        )
    artifacts = [entry for entry in tree.files if kinds[entry.path] == "build result or archive"]
    own = [entry for entry in artifacts if not languages.is_test(entry.path)]
    if own:
        biggest = max(own, key=lambda entry: entry.size)
        output.findings.append(
            {
                "severity": "low",
                "kind": "build_result",
                "title": f"{plural(len(own), 'tracked build result or archive', _MANY)}",
                "path": display(biggest.path),
                "detail": "reviewers cannot read them, and they can be built again",
                "count": len(own),
            }
        )
