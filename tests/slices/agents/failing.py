"""Attempts that are to fail, for the tests of all kinds of agents."""

import pytest

from contract.context import RecordingContext
from podium.agents.runtime import Runtime
from podium.kernel.errors import AttemptFailed


async def failure(runtime: Runtime, context: RecordingContext) -> AttemptFailed:
    """How the attempt fails."""
    with pytest.raises(AttemptFailed) as caught:
        await runtime.run(context)
    return caught.value
