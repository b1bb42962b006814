"""Errors that end a process, told on standard error in the form that all commands have."""

import json
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from podium.kernel.errors import PodiumError


def without_secrets(error: "PodiumError") -> Mapping[str, str]:
    """What an error tells."""
    from podium.kernel.redaction import redact_text  # not before it is needed: 'up' starts fast

    hint = {"hint": redact_text(error.hint)} if error.hint else {}
    return {"code": error.code, "message": redact_text(error.message), **hint}


def tell(error: Mapping[str, str], *, as_json: bool) -> None:
    """Tell people or, as JSON, programs of an error: its code, its message, perhaps a hint."""
    if as_json:
        sys.stderr.write(json.dumps({"error": error}) + "\n")
    else:
        hint = f"  Hint: {error['hint']}\n" if "hint" in error else ""
        sys.stderr.write(f"Error: {error['message']}\n{hint}  (code {error['code']})\n")
