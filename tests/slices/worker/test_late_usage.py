"""What attempts spent whose worker lost them, once the worker has ended too."""

import asyncio

from structlog.testing import capture_logs

from podium.kernel.ids import uuid7
from podium.storage.database import Database
from podium.worker.late_usage import LateUsage


async def test_nothing_is_begun_once_it_is_closed(database: Database) -> None:
    late_usage = LateUsage(database)
    await late_usage.close()
    before = asyncio.all_tasks()
    task = uuid7()
    with capture_logs() as logged:
        late_usage.add((task, 2), '{"tokens": 7}')
    assert asyncio.all_tasks() == before
    told = {"event": "attempt.usage_lost", "log_level": "warning"}
    assert logged == [{**told, "task_id": str(task), "attempt": 2}]
