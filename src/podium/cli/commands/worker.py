"""``podium worker``."""

from podium.cli import local
from podium.cli.options import application

app = application()


@app.command()
def worker() -> None:
    """Run a worker alone, on the servers of PODIUM_DATABASE_URL and PODIUM_VALKEY_URL."""
    local.become("worker")
