"""Durable no-op tasks in which every gate has a say, from the first submission to the last end.

As in ``throughput``, one client process submits and one worker process runs. What holds the tasks
back is told in ``gated_client``: limits by key and by rate, queues, agents, weights, deadlines,
ageing priorities. After each round all that was held must have been given back. Tasks without
gates, measured in the same round, stand beside it in ``details``.
"""

from benchmarks.contenders import GATED, PODIUM, Contender
from benchmarks.database import rows
from benchmarks.figures import Figure, Target
from benchmarks.processes import ProcessFailed
from benchmarks.session import Session

SECONDS = 3.0
ROUNDS = 5
ANSWER_SECONDS = 120.0
_BOOKS = """
select (select count(*) from task where outcome is distinct from 'succeeded') as not_succeeded,
       (select count(*) from ready) + (select count(*) from running) + (select count(*) from timer)
           + (select count(*) from wait) + (select count(*) from blocked) as open,
       (select count(*) from need) as needs,
       (select count(*) from expiry) as expiries,
       (select coalesce(sum(used), 0)::int from gate) as used,
       (select coalesce(sum(waiting), 0)::int from gate) as waiting
"""


async def run(session: Session) -> list[Figure]:
    """Tasks per second."""
    figure = Figure("gates", "tasks/s", "higher", Target(2500))
    for number in range(1 if session.quick else ROUNDS):
        place = f"gates: round {number + 1}"
        session.tell(f"{place}, tasks without")
        without = round(await _throughput(session, PODIUM))
        figure.details.setdefault("without_gates", []).append(without)
        session.tell(place)
        figure.rounds.append({"podium": await _throughput(session, GATED)})
    return [figure]


async def _throughput(session: Session, contender: Contender) -> float:
    async with session.engine(contender) as client:
        seconds = 0.3 if session.quick else SECONDS
        answer = await client.ask("throughput", ANSWER_SECONDS, seconds=seconds)
        [books] = await rows(session.urls.database(session.database(contender)), _BOOKS)
        if any(books.values()):
            raise ProcessFailed(f"the books do not balance: {dict(books)}")
        return answer["value"]
