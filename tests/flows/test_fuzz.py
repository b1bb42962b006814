"""The API is fuzzed from its own OpenAPI document: nothing that is sent may be its fault."""

import asyncio
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "negative_data_rejection",
    "ignored_auth",
    "use_after_free",
)


async def fuzz(url: str, token: str, folder: Path, *options: str) -> None:
    """Send what the document allows and what it does not. No worker runs what is submitted."""
    process = await asyncio.create_subprocess_exec(
        *(str(Path(sys.executable).with_name("schemathesis")), "run", str(ROOT / "openapi.json")),
        *("--url", url, "--header", f"Authorization: Bearer {token}", "--no-color"),
        *("--checks", ",".join(CHECKS), "--exclude-path-regex", "/stream$"),
        *("--request-timeout", "60", "--suppress-health-check", "all", "--warnings", "off"),
        *("--continue-on-failure", "--no-shrink", *options),
        cwd=folder,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await process.communicate()
    assert process.returncode == 0, said.decode()


@pytest.mark.timeout(900)
async def test_no_request_is_answered_wrongly(
    live_server: str, admin_token: str, tmp_path: Path
) -> None:
    await fuzz(live_server, admin_token, tmp_path, "--max-examples", "4")


@pytest.mark.long
@pytest.mark.timeout(3600)
async def test_no_request_is_answered_wrongly_for_long(
    live_server: str, admin_token: str, tmp_path: Path
) -> None:
    await fuzz(live_server, admin_token, tmp_path, "--max-time", "1200")
