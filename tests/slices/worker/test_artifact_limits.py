"""An attempt keeps so many files, of such a size, and so much in all."""

from typing import Any

import pytest

from slices.worker.conftest import Shop


@pytest.mark.parametrize(
    ("given", "setting", "kept"),
    [
        ([["a", 5001]], "max_artifact_bytes", []),
        ([["a", 4000], ["b", 4000], ["c", 1]], "max_artifacts_total_bytes", ["a", "b"]),
        ([["a", 4000], ["b", 4500]], "max_artifacts_total_bytes", ["a"]),
        ([[str(n), 1] for n in range(5)], "max_artifacts", ["0", "1", "2", "3"]),
    ],
)
async def test_more_files_than_may_be_kept_end_the_attempt(
    shop: Shop, given: Any, setting: str, kept: list[str]
) -> None:
    async with shop.worker():
        task = await shop.submit("hoard", given)
        done = await shop.ended(task)
    assert done.outcome == "failed"
    assert (done.error["class"], done.error["code"]) == ("resource", "artifact_limit")
    assert done.error["hint"].endswith(f" {setting}.")
    assert sorted(row.name for row in await shop.rows("artifact", task)) == kept
    folder = shop.around.workspaces.parent / "artifacts" / str(task) / "1"
    assert len(list(folder.iterdir())) == len(kept)


async def test_a_file_that_is_replaced_counts_once(shop: Shop) -> None:
    given = [["a", 5000], ["a", 5000], ["a", 4000], ["b", 4000], ["b", 10]]
    async with shop.worker():
        assert (await shop.ended(await shop.submit("hoard", given))).outcome == "succeeded"
