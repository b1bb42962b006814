"""The code of the SDK's guide runs as it stands."""

import re
import subprocess
import sys
from pathlib import Path

from installation import Installation

GUIDE = Path(__file__).resolve().parents[3] / "docs" / "guides" / "sdk.md"


def test_the_code_of_the_guide_runs(installation: Installation, tmp_path: Path) -> None:
    blocks = re.findall(r"^```python\n(.*?)^```$", GUIDE.read_text(), re.MULTILINE | re.DOTALL)
    assert len(blocks) > 8
    assert installation.podium("project", "create", "guide").status == 0
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", "\n".join(blocks)],
        env={**installation.environment, "PODIUM_PROJECT": "guide"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "There is no agent 'nobody'" in done.stdout
