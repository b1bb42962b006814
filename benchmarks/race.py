"""Runs one operation of the driver on every engine, in rounds, turn by turn.

The speed of a machine drifts, by half within minutes on a shared one. So nobody has all rounds
in a row: each round asks Podium, then each peer, and ratios are taken within a round.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from benchmarks.contenders import Contender
from benchmarks.figures import Figure
from benchmarks.processes import ProcessFailed
from benchmarks.session import Session

ANSWER_SECONDS = 120.0

Score = Callable[[Mapping[str, Any]], Sequence[float]]


async def race(
    session: Session,
    figures: Sequence[Figure],
    operation: str,
    arguments: Mapping[str, Any],
    score: Score,
    *,
    rounds: int,
    budget: float,
) -> None:
    """Fill ``figures``, for each of which ``score`` gives a value, with rounds.

    As many rounds as fit into ``budget`` seconds, but at least one. A contender that fails is
    out of the race; why is noted.
    """
    racing: list[Contender] = []
    for one in session.contenders:
        if operation not in one.unsupported:
            racing.append(one)
            continue
        for figure in figures:
            figure.notes[one.name] = one.unsupported[operation]
    start, longest = time.monotonic(), 0.0
    for number in range(rounds):
        begun = time.monotonic()
        if number and begun - start + longest > budget:
            break
        place = f"round {number + 1} of {rounds}"
        await _round(session, figures, operation, arguments, score, racing, place)
        longest = max(longest, time.monotonic() - begun)


async def _round(
    session: Session,
    figures: Sequence[Figure],
    operation: str,
    arguments: Mapping[str, Any],
    score: Score,
    racing: list[Contender],
    place: str,
) -> None:
    values: list[dict[str, float]] = [{} for _ in figures]
    for one in list(racing):
        session.tell(f"{figures[0].name}: {place}, {one.name}")
        try:
            async with session.engine(one) as client:
                answer = await client.ask(operation, ANSWER_SECONDS, **arguments)
        except ProcessFailed as failure:
            racing.remove(one)
            for figure in figures:
                figure.notes[one.name] = f"failed: {failure}"
            continue
        for scored, value in zip(values, score(answer), strict=True):
            scored[one.name] = value
    for figure, scored in zip(figures, values, strict=True):
        figure.rounds.append(scored)
