"""A worker that runs one behaviour and renews its own lease, to be stopped and killed by tests.

``python worker_process.py CONFINEMENT KIND BEHAVIOUR VALUE FOLDER LEASE_SECONDS TASK ATTEMPT``.
Prints how the attempt ended.
"""

# ruff: noqa: T201 - agents print, and write small files where they are

import asyncio
import sys
from pathlib import Path
from typing import Any
from uuid import UUID

from contract.context import RecordingContext, TestLease
from contract.kinds import KINDS
from podium.agents.runtime import AgentSpec
from podium.agents.runtimes import built_in
from podium.kernel.clock import boottime
from podium.kernel.errors import AttemptFailed


async def renew(lease: TestLease, seconds: float) -> None:
    """Renew as a worker does: never once the lease was lost."""
    while boottime() < lease.until:
        lease.until = boottime() + seconds
        await asyncio.sleep(seconds / 10)


async def main(
    confinement: Any,
    kind_name: str,
    behaviour: str,
    value: str,
    folder: str,
    seconds: str,
    task: str,
    attempt: str,
) -> None:
    kind = next(kind for kind in KINDS if kind.name == kind_name)
    data = Path(folder)
    runtime = built_in(data_dir=data, confinement=confinement, allowed_modules=["contract"])[
        kind.runtime
    ]
    workspace = data / "workspaces" / task / attempt
    workspace.mkdir(parents=True)
    spec = AgentSpec("agent", 1, kind.runtime, runtime.validate(kind.configure(behaviour)))
    lease = TestLease(float(seconds))
    context = RecordingContext(
        workspace, spec, value, task_id=UUID(task), attempt=int(attempt), lease=lease
    )
    renewing = asyncio.create_task(renew(lease, float(seconds)))
    try:
        print("output", await runtime.run(context), flush=True)
    except AttemptFailed as error:
        print("failed", error.error_class, error.code, flush=True)
    renewing.cancel()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
