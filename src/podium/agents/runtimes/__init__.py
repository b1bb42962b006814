"""The adapters of the runtime port that come with Podium."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from podium.agents.runtime import Runtime, RuntimeSet
    from podium.agents.runtimes.confinement import Mode


def built_in(
    *,
    data_dir: Path,
    confinement: "Mode",
    allowed_modules: Sequence[str] = (),
    hidden: Sequence[Path] = (),
) -> "RuntimeSet":
    """The ``command`` and ``function`` runtimes of this machine.

    ``data_dir`` and every path in ``hidden`` (folders of sockets that lie elsewhere) are kept
    from agents by ``confinement``, which is proven by running it: this blocks for some 50 ms
    once. ``allowed_modules`` are prefixes from which ``module:function`` may be loaded. Raises
    ``SettingsInvalid`` when the confinement asked for does not work here.
    """
    # Function agents import this package in a process of their own and need none of these.
    from podium.agents.runtime import RuntimeSet
    from podium.agents.runtimes.command import CommandRuntime
    from podium.agents.runtimes.confinement import choose
    from podium.agents.runtimes.function import FunctionRuntime
    from podium.agents.runtimes.hosting import Host

    chosen = choose(confinement)
    host = Host(chosen, (data_dir, *hidden), data_dir / "run" / "attempts")
    runtimes: list[Runtime] = [CommandRuntime(host), FunctionRuntime(host, allowed_modules)]
    return RuntimeSet({runtime.name: runtime for runtime in runtimes}, chosen.name)
