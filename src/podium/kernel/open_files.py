"""How many files, pipes and connections this process may hold open at once.

Most systems start processes with a low limit that they may raise, since programs that use
``select`` break beyond it. Podium does not use it, but the agents that it starts may.
"""

import resource

_ENOUGH = 65_536

_inherited, _hard = resource.getrlimit(resource.RLIMIT_NOFILE)


def allow_many() -> None:
    """Raise the limit of this process as far as may be."""
    enough = _ENOUGH if _hard == resource.RLIM_INFINITY else min(_hard, _ENOUGH)
    if _inherited != resource.RLIM_INFINITY and _inherited < enough:
        resource.setrlimit(resource.RLIMIT_NOFILE, (enough, _hard))


def inherited() -> int:
    """The limit that this process was started with."""
    return _inherited
