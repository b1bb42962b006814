"""``podium config``: settings, and the file they may be in."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import cast

from podium.cli import local, output
from podium.cli.failures import Failure
from podium.cli.options import Json, application, connect
from podium.client.connection import data_dir, local_server

app = application("config", "Show settings.")

_VALUES = "Settings come from PODIUM_* variables, else from {}, else from their defaults."


@app.command()
def show(json: Json = False) -> None:
    """Show every setting in force. It is the server's if one can be reached, else as read here.

    Beside those of this machine's server it says on standard error which settings of this
    environment the server does not have, and which cannot be used.
    """
    settings = _settings()
    _tell_otherwise()
    if json:
        output.emit(settings)
        return
    rows = [
        (
            item["name"],
            _shown(item["value"]),
            output.styled("changed", "yellow") if _changed(item) else "default",
        )
        for item in settings
    ]
    output.show_table(("Setting", "Value", ""), rows, "There are no settings.", fold=("Value",))
    output.note(_VALUES.format(data_dir() / "settings.toml"))


@app.command()
def path(json: Json = False) -> None:
    """Print where the settings file is looked for."""
    file = data_dir() / "settings.toml"
    if json:
        output.emit({"path": str(file), "exists": file.exists(), "home": str(data_dir())})
    else:
        output.say(str(file))


@app.command()
def docs(json: Json = False) -> None:
    """Explain every setting."""
    settings = _settings()
    if json:
        output.emit(settings)
        return
    for item in settings:
        output.console().print(output.styled(f"{item['name']}  ({item['env']})", "bold"))
        output.say(f"  {item['description']}")
        output.say(f"  Default: {_shown(item['default'])}\n")


def _settings() -> Sequence[Mapping[str, object]]:
    if os.environ.get("PODIUM_URL") or local_server():
        import msgspec

        with connect() as client:
            found = [msgspec.to_builtins(item) for item in client.settings()]
        return cast("list[dict[str, object]]", found)
    return local.settings()


def _tell_otherwise() -> None:
    """Say what the settings of this environment would change, or that they cannot be used."""
    if os.environ.get("PODIUM_URL") or not local_server():
        return
    try:
        if missing := local.not_in_force():
            output.note(f"{local.runs_without(missing)} {local.TO_APPLY}")
    except Failure as failure:
        output.note(
            "These are the server's settings; a start from this environment would fail. "
            f"{failure.message} {failure.hint}"
        )


def _changed(item: Mapping[str, object]) -> bool:
    """Whether a setting differs from its default; of the data directory, the place counts."""
    value, default = item["value"], item["default"]
    if item["name"] == "home":
        return Path(str(value)).expanduser() != Path(str(default)).expanduser()
    return value != default


def _shown(value: object) -> str:
    """A value as the reference writes it."""
    if value is None:
        return "unset"
    return value if isinstance(value, str) else output.pretty(value).replace("\n", " ")
