"""A worker on the machine of a running ``up``, for whose embedded servers no URLs are set."""

import os
from urllib.parse import urlsplit

from podium.kernel.settings import Settings, load_settings
from podium.server.runfiles import RunFiles
from podium.storage.embedded.credentials import Credentials
from podium.storage.embedded.paths import Layout


def joined(settings: Settings) -> Settings:
    """The settings with what the ``up`` of their data directory tells its own workers; as they were
    where none runs, where it belongs to another user, or where they name all servers."""
    lacking = [
        *(("postgres",) if settings.database_url is None else ()),
        *(("valkey",) if settings.valkey_url is None else ()),
    ]
    layout = Layout(settings.data_dir)
    up, credentials = RunFiles(settings.data_dir).running(), Credentials.load(layout.servers_file)
    if not lacking or up is None or credentials is None:
        return settings
    os.environ["PODIUM_EMBEDDED"] = ",".join(lacking)
    os.environ["PODIUM_PORT"] = str(urlsplit(str(up["url"])).port)
    if "postgres" in lacking:
        os.environ["PODIUM_DATABASE_URL"] = credentials.database_url(layout)
    if "valkey" in lacking:
        os.environ["PODIUM_VALKEY_URL"] = credentials.valkey_url(layout)
    return load_settings()
