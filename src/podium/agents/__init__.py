"""Agents. What a function agent's author needs is here; see docs/guides/function-agents.md."""

from podium.agents.runtimes.functions import FunctionContext

__all__ = ["FunctionContext"]
