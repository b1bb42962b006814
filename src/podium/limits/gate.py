"""Limits as gates of the scheduler."""

from collections.abc import Mapping, Sequence
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from podium.limits import store
from podium.limits.model import PREFIX, gate_key, name_in
from podium.scheduler.gates import Gate, GateWait
from podium.scheduler.model import Need, NewTask, rate_text


class LimitGate(Gate):
    """One gate for each limit that a task names; of a family, for each name."""

    prefix = PREFIX

    def concerns(self, task: NewTask) -> bool:
        return bool(task.limits)

    async def reserve(
        self,
        conn: AsyncConnection,  # noqa: ARG002 - what a task names is all that it needs
        tasks: Sequence[NewTask],
    ) -> Mapping[UUID, Sequence[Need]]:
        return {
            task.id: [Need(gate_key(task.project_id, name)) for name in task.limits]
            for task in tasks
        }

    async def explain(self, conn: AsyncConnection, waits: Sequence[GateWait]) -> Mapping[UUID, str]:
        rules = await store.rules_of(conn, [wait.key for wait in waits])
        return {wait.task_id: _sentence(wait, rules[wait.key]) for wait in waits}


def _sentence(wait: GateWait, rule: store.Rule) -> str:
    told: list[str] = []
    if rule.concurrency is not None and wait.used >= rule.concurrency:
        told.append(f"{wait.used} of {rule.concurrency} tasks run or are ready")
    if rule.rate is not None and rule.starts_left < 1:
        told.append(f"{rate_text(rule.rate)} may start")
    if wait.ahead:
        told.append(wait.others)
    return f"It waits for the limit {name_in(wait.key)}: {', and '.join(told) or 'it is next'}."
