"""``podium version``."""

from podium import __version__
from podium.cli import output
from podium.cli.options import Json, application

app = application()


@app.command()
def version(json: Json = False) -> None:
    """Print the version."""
    if json:
        output.emit({"version": __version__})
    else:
        output.say(f"podium {__version__}")
