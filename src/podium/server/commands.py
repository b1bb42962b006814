"""The commands that do one thing and end."""

import asyncio
import json
import sys
from pathlib import Path

from podium.kernel.errors import PodiumError
from podium.kernel.settings import load_settings
from podium.kernel.settings_view import settings_in_force
from podium.server import in_force
from podium.server.exits import ExitStatus
from podium.server.runfiles import RunFiles, home
from podium.server.telling import tell, without_secrets


def show_settings(*, not_in_force: bool) -> int:
    """Print every setting in force as JSON, secrets masked, or the names of those that the running
    ``up`` does not have; an error as JSON, too, on standard error."""
    try:
        shown = in_force.not_in_force(RunFiles(home())) if not_in_force else _settings()
    except PodiumError as error:
        tell(without_secrets(error), as_json=True)
        return ExitStatus.FAILED
    sys.stdout.write(json.dumps(shown) + "\n")
    return ExitStatus.DONE


def _settings() -> list[dict[str, object]]:
    return [setting.model_dump(mode="json") for setting in settings_in_force(load_settings())]


def upgrade_cluster(old_programs: Path | None) -> int:
    """Upgrade the embedded cluster of the data directory, and say where the old one is kept."""
    from podium.storage.embedded.upgrade import upgrade

    try:
        kept = asyncio.run(upgrade(home(), old_programs))
    except PodiumError as error:
        tell(without_secrets(error), as_json=False)
        return ExitStatus.FAILED
    sys.stdout.write(f"Upgraded. The old cluster is kept in {kept}; remove it when all is well.\n")
    return ExitStatus.DONE
