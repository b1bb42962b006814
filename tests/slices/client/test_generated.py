"""What is generated is current, and both forms offer the same."""

import inspect
import json
import subprocess
import sys
from pathlib import Path
from typing import get_type_hints

import pytest

from podium import client
from podium.client import AsyncPodium, Podium, inputs

ROOT = Path(__file__).resolve().parents[3]


def test_the_generated_files_are_current() -> None:
    done = subprocess.run(
        [sys.executable, "scripts/generate_client.py", "--check"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_both_forms_offer_the_same_calls() -> None:
    with Podium("http://127.0.0.1:1", "token") as one:
        other = AsyncPodium("http://127.0.0.1:1", "token")
        assert _calls(one) == _calls(other)


def _calls(podium: object) -> set[str]:
    found: set[str] = set()
    for name in dir(podium):
        if name.startswith("_"):
            continue
        value = getattr(podium, name)
        if inspect.ismethod(value):
            plain = name.removeprefix("a") if name == "aclose" else name
            found.add(f"{plain}{list(inspect.signature(value).parameters)}")
        elif type(value).__module__.startswith("podium.client._"):
            found |= {f"{name}.{call}" for call in _calls(value)}
    return found


def test_each_form_is_loaded_only_when_it_is_used() -> None:
    code = (
        "import sys; from podium.client import Podium; "
        "assert not [m for m in sys.modules if m.startswith('podium.client._async')]; "
        "assert not {'asyncio', 'pydantic', 'podium.kernel'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_inputs_name_the_fields_of_the_api() -> None:
    spec = json.loads((ROOT / "openapi.json").read_text())["components"]["schemas"]
    for name in ("TaskNew", "TaskInBulk", "TaskEdit", "AgentNew", "TokenNew", "ProjectNew"):
        fields = get_type_hints(getattr(inputs, name), include_extras=True)
        assert set(fields) == set(spec[name]["properties"])


def test_what_does_not_exist_is_told_as_usual() -> None:
    with pytest.raises(AttributeError, match="nothing_like_it"):
        client.nothing_like_it  # noqa: B018 # pyright: ignore[reportAttributeAccessIssue]
