"""Guards that only an administrator may lift, and what is told to whom."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from podium.agents.runtimes import confinement
from podium.kernel.errors import ErrorClass, NeedsAdmin
from podium.principals.model import GLOBAL_SCOPES, PRESETS
from slices.agents.commands import command_runtime, maker
from slices.agents.failing import failure

Call = Callable[..., Awaitable[httpx.Response]]


@pytest.fixture
async def operator(api: httpx.AsyncClient) -> Call:
    """Calls the API as the operator of one project."""
    scopes = sorted(set(PRESETS["operator"]) - GLOBAL_SCOPES)
    body = {"name": "op", "scopes": scopes, "project": "default"}
    made = await api.post("/tokens", json=body)
    assert made.status_code == 201, made.text
    headers = {"Authorization": f"Bearer {made.json()['token']}"}

    async def call(method: str, path: str, **options: Any) -> httpx.Response:
        return await api.request(method, path, headers=headers, **options)

    return call


def agent(name: str = "a", **config: Any) -> dict[str, Any]:
    return {"name": name, "runtime": "command", "config": {"command": ["true"], **config}}


LIFTING = [
    ("confinement", {"confinement": "none"}),
    ("env_allow", {"env_allow": ["*"]}),
    ("env_allow", {"env_allow": ["PATH", "AWS_*"]}),
    ("env_allow", {"env_allow": ["LC_*", "L*"]}),
]


@pytest.mark.parametrize(("field", "config"), LIFTING)
async def test_an_operator_cannot_lift_a_guard(
    operator: Call, api: httpx.AsyncClient, field: str, config: dict[str, Any]
) -> None:
    refused = await operator("POST", "/agents", json=agent(**config))
    assert refused.status_code == 403
    problem = refused.json()
    assert (problem["code"], problem["errors"][0]["field"]) == ("needs_admin", f"config.{field}")
    assert "admin" in problem["detail"]
    assert (await api.post("/agents", json=agent(**config))).status_code == 201
    # Nor may an agent whose guard an administrator lifted be given another command.
    changed = agent(**config)["config"] | {"command": ["cat", "/etc/hostname"]}
    refused = await operator("PUT", "/agents/a", json={"config": changed})
    assert (refused.status_code, refused.json()["code"]) == (403, "needs_admin")


async def test_what_an_operator_registers_must_be_confined(
    operator: Call, api: httpx.AsyncClient
) -> None:
    made = await operator("POST", "/agents", json=agent(env_allow=["PATH", "LC_ALL"]))
    assert made.status_code == 201, made.text
    assert made.json()["config"]["confinement"] == "required"
    again = await operator("PUT", "/agents/a", json={"config": made.json()["config"]})
    assert again.json()["version"] == 1
    changed = await operator("PUT", "/agents/a", json={"config": {"command": ["false"]}})
    assert changed.json()["config"]["confinement"] == "required"
    by_admin = await api.put("/agents/a", json={"config": {"command": ["false"]}})
    assert by_admin.json()["config"]["confinement"] == "inherit"


def test_runtimes_say_what_lifts_a_guard(tmp_path: Path) -> None:
    runtime = command_runtime(tmp_path)
    kept = runtime.restricted(runtime.validate({"command": ["true"]}))
    assert kept["confinement"] == "required"
    with pytest.raises(NeedsAdmin, match=r"config\.confinement .* scope admin"):
        runtime.restricted(runtime.validate({"command": ["true"], "confinement": "none"}))


async def test_without_a_way_to_confine_only_what_was_let_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(confinement, "_bubblewrap", lambda: "bubblewrap is not installed")
    monkeypatch.setattr(confinement, "_landlock", lambda: "this kernel offers no Landlock")
    runtime = command_runtime(tmp_path)
    make = maker(runtime, tmp_path)
    failed = await failure(runtime, make(["echo", "x"], confinement="required"))
    assert (failed.error_class, failed.code) == (ErrorClass.RESOURCE, "confinement_unavailable")
    assert "bubblewrap is not installed" in failed.message
    required = runtime.validate({"command": ["true"], "confinement": "required"})
    probed = await runtime.probe(required)
    assert not probed.ok
    assert "only confined" in probed.detail
    for let in ("inherit", "none"):
        output: Any = await runtime.run(make(["echo", "x"], confinement=let))
        assert output["text"] == "x"


async def test_the_setting_none_lets_all_run(tmp_path: Path) -> None:
    runtime = command_runtime(tmp_path, "none")
    output: Any = await runtime.run(maker(runtime, tmp_path)(["echo", "x"], confinement="required"))
    assert output["text"] == "x"


async def test_variables_show_only_to_who_may_set_them(
    api: httpx.AsyncClient, operator: Call
) -> None:
    made = await api.post("/agents", json=agent(env={"API_KEY": "CANARY"}))
    assert made.json()["config"]["env"] == {"API_KEY": "CANARY"}
    body = {"name": "r", "scopes": ["agents:read", "agents:write"]}
    reader = (await api.post("/tokens", json=body)).json()["token"]
    headers = {"Authorization": f"Bearer {reader}"}
    for path in ("/agents", "/agents/a", "/agents/a/versions"):
        shown = await api.get(path, headers=headers)
        assert "API_KEY" in shown.text
        assert "CANARY" not in shown.text
        assert "CANARY" in (await operator("GET", path)).text
    refused = await api.put("/agents/a", json={"description": "x"}, headers=headers)
    assert refused.status_code == 403
    assert "CANARY" not in refused.text
    assert (await api.get("/agents/a")).json()["config"]["env"] == {"API_KEY": "CANARY"}


async def test_descriptions_hold_no_control_characters(api: httpx.AsyncClient) -> None:
    for description in ("\x1b[2J", "a\rb", "a\u202eb"):
        refused = await api.post("/agents", json=agent() | {"description": description})
        assert refused.status_code == 422
    made = await api.post("/agents", json=agent() | {"description": "two\nlines\tä 👩‍💻"})
    assert made.status_code == 201
