"""Servers and workers on several machines: the guide is followed, and agents reach the API."""

import asyncio
import re
import socket
import sys
from asyncio.subprocess import PIPE
from pathlib import Path

import httpx
import pytest

from podium.kernel.web import PREFIX
from slices.server.apart import running, said

GUIDE = (Path(__file__).parents[3] / "docs" / "guides" / "operating.md").read_text()


@pytest.fixture
def port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return free.getsockname()[1]


CALLS_HOME = """
import json, os, urllib.request
url = os.environ["PODIUM_URL"] + "/api/v1/orchestration/whoami"
head = {"Authorization": "Bearer " + os.environ["PODIUM_TOKEN"]}
answer = urllib.request.urlopen(urllib.request.Request(url, headers=head), timeout=10)
print(json.dumps({"url": os.environ["PODIUM_URL"], "status": answer.status}))
"""


@pytest.mark.parametrize("public", [None, "http://127.0.0.2"])
async def test_agents_reach_a_server_that_listens_elsewhere(
    environment: dict[str, str], tmp_path: Path, port: int, public: str | None
) -> None:
    environment |= {"PODIUM_HOST": "127.0.0.2", "PODIUM_PORT": str(port)}
    if public:
        environment["PODIUM_PUBLIC_URL"] = f"{public}:{port}"
    async with running(environment, "server") as server, running(environment, "worker") as worker:
        if public is None:
            warning = "PODIUM_PUBLIC_URL is not set: agents of this worker are told that the API"
            assert (await said(worker, f"{warning} is on this machine"))["level"] == "warning"
        url = (await said(server, "API listens"))["url"]
        await said(worker, "worker.started")
        token = (tmp_path / "admin-token").read_text().strip()
        async with httpx.AsyncClient(
            base_url=f"{url}{PREFIX}", headers={"Authorization": f"Bearer {token}"}
        ) as client:
            config = {"command": [sys.executable, "-c", CALLS_HOME], "output": "json"}
            agent = {"name": "caller", "runtime": "command", "config": config}
            assert (await client.post("/agents", json=agent)).status_code == 201
            task = (await client.post("/tasks", json={"agent": "caller"})).json()
            async with asyncio.timeout(30):
                while task["state"] not in {"succeeded", "failed", "dead"}:
                    await asyncio.sleep(0.1)
                    task = (await client.get(f"/tasks/{task['id']}")).json()
        assert task["output"] == {"url": f"{public or 'http://127.0.0.2'}:{port}", "status": 200}


async def bash(script: str, environment: dict[str, str]) -> str:
    """What ``script`` prints, with this installation's ``podium``."""
    podium = f'podium() {{ "{sys.executable}" -P -m podium.cli "$@"; }}\n'
    process = await asyncio.create_subprocess_exec(
        *("bash", "-euc", podium + script), env=environment, stdout=PIPE, stderr=PIPE
    )
    async with asyncio.timeout(60):
        out, err = await process.communicate()
    assert process.returncode == 0, err
    return out.decode()


async def test_the_guide_can_be_followed(
    environment: dict[str, str], tmp_path: Path, port: int
) -> None:
    section = GUIDE.partition("## On many machines")[2].partition("\n## ")[0]
    section = section.replace("podium.internal:8250", f"127.0.0.2:{port}")
    section = section.replace("--host 0.0.0.0", "--host 127.0.0.2")  # no machine but this
    section = section.replace("~/.podium", str(tmp_path))
    processes, clients, _ = re.findall(r"```sh\n(.*?)```", section, re.DOTALL)
    exported = dict(re.findall(r"export (\w+)=(\S+)", processes))
    commands = re.findall(r"^podium (.+?) +#", processes, re.MULTILINE)
    assert [command.split()[0] for command in commands] == ["server", "worker"]
    around = {**exported, **environment, "PODIUM_PORT": str(port)}
    assert exported.keys() - environment.keys() == {"PODIUM_PUBLIC_URL"}
    async with (
        running(around, *commands[0].split()) as server,
        running(around, *commands[1].split()) as worker,
    ):
        await said(server, "API listens")
        await said(worker, "worker.started")
        shown = await bash(clients, around)
    assert f"http://127.0.0.2:{port}" in shown
    assert "podium_" in shown
