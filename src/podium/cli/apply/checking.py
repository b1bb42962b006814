"""What is wrong with things that only the server knows, found before anything is applied."""

from collections.abc import Callable, Collection, Generator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from podium.cli.apply.documents import Document, Finding
from podium.client.errors import ApiError, Forbidden

if TYPE_CHECKING:
    from podium.client._sync.client import InProject

_TIMES = frozenset({"cron", "every", "timezone", "starts_at", "ends_at", "jitter"})


@contextmanager
def refused(document: Document, findings: list[Finding]) -> Generator[None]:
    """Add what the server refuses of a document to the findings, each with its place."""
    try:
        yield
    except ApiError as error:
        if error.status != 422:
            raise
        for each in error.errors:
            told = f"{document.key}: {each['field']}: {each['message']}"
            findings.append(Finding(document.place(each["field"]), told))
        if not error.errors:
            findings.append(Finding(document.at, f"{document.key}: {error.message}"))


def check(
    client: "InProject",
    document: Document,
    fields: Collection[str],
    has_agent: Callable[[str], bool],
) -> Sequence[Finding]:
    """What is wrong with a document of which these fields are to be made or changed. What the token
    may not ask is left to be told when it is applied."""
    key, spec = document.key, document.spec
    findings: list[Finding] = []
    with suppress(Forbidden), refused(document, findings):
        if key.kind == "Template":
            client.templates.check(**_any({"name": key.name, **spec}))
        elif key.kind == "Schedule" and _TIMES & set(fields):
            times = {name: spec[name] for name in spec if name in _TIMES}
            client.schedules.preview(count=1, **_any(times))
    with suppress(Forbidden):
        if key.kind in ("Template", "Schedule") and "task" in fields:
            agent = spec["task"].get("agent")
            if agent is not None and not has_agent(agent):
                told = f"{key}: task.agent: There is no agent {agent!r}; add a document for it."
                findings.append(Finding(document.place("task.agent"), told))
    return findings


def _any(spec: dict[str, Any]) -> Any:
    """The arguments of the SDK's calls, which the schema of the file has checked."""
    return spec
