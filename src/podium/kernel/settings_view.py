"""The settings in force, as they are shown: to the API's clients and on the command line."""

from typing import Any, cast

from pydantic import BaseModel, Field, SecretStr

from podium.kernel.redaction import MASK, redact_text
from podium.kernel.settings import Settings


class Setting(BaseModel):
    """One setting as it is in force."""

    name: str
    env: str = Field(description="Environment variable that sets it.")
    value: Any = Field(description="Secrets are masked.")
    default: Any
    description: str


def settings_in_force(settings: Settings) -> list[Setting]:
    """Every setting with its value, secrets masked. The URL of an embedded server, which ``up``
    gives to its children, is nobody's setting and shown as unset."""
    embedded = {"database_url": settings.embedded_postgres, "valkey_url": settings.embedded_valkey}
    return [
        Setting(
            name=name,
            env=f"PODIUM_{name.upper()}",
            value=None if embedded.get(name) else _shown(getattr(settings, name)),
            default=_shown(field.get_default(call_default_factory=True)),
            description=field.description or "",
        )
        for name, field in Settings.model_fields.items()
    ]


def _shown(value: object) -> Any:
    if isinstance(value, SecretStr):
        return MASK
    if isinstance(value, list):
        return [_shown(item) for item in cast("list[object]", value)]
    if value is None or isinstance(value, (bool, int, float)):
        return value
    return redact_text(str(value))
