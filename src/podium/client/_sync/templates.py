# Generated from ../_async/templates.py by scripts/generate_client.py; change that file.
"""Templates."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Unpack

from podium.client._sync.resource import Resource
from podium.client.models import Task, Template, TemplatePreview
from podium.client.wire import Request, idempotency, segment

if TYPE_CHECKING:
    from podium.client.inputs import TemplateCall, TemplateEdit, TemplateNew


class Templates(Resource):
    """The templates of one project, with those that are built in: tasks with parameters."""

    def create(self, **template: "Unpack[TemplateNew]") -> Template:
        """Make a template; ``Conflict`` when the name is taken, or is that of a built-in one."""
        request = Request("POST", "templates", self._query(), template, repeatable=False)
        return self._transport.call(request, Template)

    def list(self, *, limit: int | None = None) -> Iterator[Template]:
        """All templates, by name."""
        return self._pages("templates", Template, self._query(), limit)

    def get(self, name: str, version: int | None = None, *, built_in: bool = False) -> Template:
        """One template in the version in force or in another one, or as it is built in."""
        query = self._query(version=version, built_in=built_in or None)
        return self._get(f"templates/{segment(name)}", Template, query)

    def update(self, name: str, **changes: "Unpack[TemplateEdit]") -> Template:
        """Give a template another version; what is left out stays. Of one that is built in the
        project gets a version of its own."""
        request = Request("PUT", f"templates/{segment(name)}", self._query(), changes)
        return self._transport.call(request, Template)

    def delete(self, name: str) -> None:
        """Delete a template, or go back to what is built in; its tasks stay."""
        self._transport.send(Request("DELETE", f"templates/{segment(name)}", self._query()))

    def check(self, **template: "Unpack[TemplateNew]") -> None:
        """Refuse what is wrong with a template by itself; nothing is made. Whether there is what
        its task needs is not looked at."""
        self._transport.send(Request("POST", "templates/check", {}, template))

    def versions(self, name: str, *, limit: int | None = None) -> Iterator[Template]:
        """Its versions, the newest first."""
        return self._pages(f"templates/{segment(name)}/versions", Template, self._query(), limit)

    def preview(self, name: str, **call: "Unpack[TemplateCall]") -> TemplatePreview:
        """The task that ``start`` would submit; nothing is written."""
        path = f"templates/{segment(name)}/preview"
        return self._transport.call(Request("POST", path, self._query(), call), TemplatePreview)

    def start(
        self, name: str, *, idempotency_key: str | None = None, **call: "Unpack[TemplateCall]"
    ) -> Task:
        """Submit a task of a template.

        With ``idempotency_key`` the same call made again within a day gives the first call's
        task. Without one the SDK makes a key, so that its own retries submit nothing twice.
        """
        path = f"templates/{segment(name)}/start"
        headers = idempotency(idempotency_key)
        return self._transport.call(Request("POST", path, self._query(), call, headers), Task)
