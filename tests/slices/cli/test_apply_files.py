"""Files of ``podium apply``: what is read from them, and where what is wrong stands."""

import time
from pathlib import Path

import pytest

from podium.cli.apply import yaml12
from podium.cli.apply.documents import load
from podium.cli.failures import Failure

KINDS = "Project, Agent, Queue, Limit, Template, Schedule, Filter"
MOMENT = "2026-12-31T09:30:00Z"
OVERLAPS = "skip, buffer_one, buffer_all, cancel_other, allow_all"


def found(tmp_path: Path, text: str) -> list[str]:
    """All that is wrong with a text, as line:column: message."""
    path = tmp_path / "f.yaml"
    path.write_text(text)
    documents, findings = load([str(path)], "default")
    assert documents or findings
    return [str(each).removeprefix(f"{path}:") for each in findings]


def values(text: str) -> list[object]:
    return [each.value for each in yaml12.read(text, "f")]


def test_all_that_is_wrong_is_told_at_once_with_its_place(tmp_path: Path) -> None:
    assert found(
        tmp_path,
        """\
kind: Agent
name: reviewer
spec:
  runtime: command
  config: {command: [cat]}
  max_concurency: 3
  weight: heavy
  labels: [a]
---
kind: Queu
name: q
---
kind: Limit
name: customer:*
spec: {concurrency: 0, rate: {count: 5, second: 1}}
---
kind: Schedule
name: "-x"
project: Two Words
spec:
  cron: 0 9 * * *
  overlap: skp
  starts_at: tomorrow
---
just text
---
kind: Project
name: p
project: q
spec: {weight: 1}
colour: red
""",
    ) == [
        "6:3: There is no field 'max_concurency'; the closest is 'max_concurrency'.",
        "7:11: weight must be a number.",
        "8:11: labels must be an object.",
        f"10:7: 'Queu' must be one of {KINDS}; the closest is 'Queue'.",
        "15:21: concurrency: 0 is less than the minimum of 1.",
        "15:41: There is no field 'second'; the closest is 'seconds'.",
        "19:10: project: 'Two Words' must match ^[a-z0-9][a-z0-9-]{0,62}$.",
        "25:1: A document must be an object with kind, name and spec.",
        "29:1: A project is in no other one.",
        "31:1: There is no field 'colour'.",
    ]
    told = found(
        tmp_path,
        'kind: Schedule\nname: "-x"\nspec:\n  overlap: skp\n  starts_at: tomorrow\n',
    )
    assert told == [
        "2:7: name: '-x' must match ^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$.",
        "4:3: task must be given.",
        f"4:12: overlap: 'skp' must be one of {OVERLAPS}; the closest is 'skip'.",
        f"5:14: starts_at must be a moment in ISO 8601 with its time zone, such as {MOMENT}.",
    ]


def test_what_is_hidden_in_a_folder_is_passed_over(tmp_path: Path) -> None:
    for place in ("a.yaml", "below/b.yml", ".venv/lib/c.yaml", ".d.yaml", "below/.git/e.yaml"):
        path = tmp_path / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"kind: Queue\nname: {path.stem.strip('.')}\n")
    documents, _ = load([str(tmp_path)], "default")
    assert [each.key.name for each in documents] == ["a", "b"]


def test_what_is_described_twice_is_refused(tmp_path: Path) -> None:
    one = "kind: Queue\nname: q\nspec: {}\n"
    told = found(tmp_path, f"{one}---\n{one}project: default\n---\n{one}project: other\n")
    assert told == [f"5:1: Queue default/q is at {tmp_path}/f.yaml:1:1 already."]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("kind: Queue\nname: a\nname: b\n", "3:1: The key 'name' is there twice."),
        ("a: [1\nb: 2\n", "2:2: This is no YAML: expected ',' or ']', but got ':'."),
        ("a: *b\n", "1:4: This is no YAML: found undefined alias 'b'."),
        ("a: !!python/object:os.system x\n", "1:4: There is no tag !!python/object:os.system"),
        ("a: !Ref x\n", "1:4: There is no tag !Ref here."),
        ("a: !!int x\n", "1:4: 'x' is no int."),
        ("a: &a [*a]\n", "1:4: It is nested too deeply, or an alias holds itself."),
        ("a: &a {b: 1}\nc:\n  <<: *a\n", "3:3: YAML 1.2 has no merge keys (<<)"),
        ("? [a]\n: b\n", "1:3: A key must be text."),
        ("a: \x07\n", "1:4: This is no YAML: special characters are not allowed."),
        ("[" * 5000, "1:1: It is nested too deeply."),
    ],
)
def test_what_is_no_yaml_is_told_with_its_place(tmp_path: Path, text: str, told: str) -> None:
    (first,) = found(tmp_path, text)
    assert first.startswith(told)


def test_scalars_are_those_of_the_core_schema() -> None:
    text = "[no, 'true', true, 0o17, 012, 12:30, 2026-01-01, 1e3, .5, ~, null, '', 0x1F, -3]"
    assert values(text) == [
        ["no", "true", True, 15, 12, "12:30", "2026-01-01", 1000.0, 0.5, None, None, "", 31, -3]
    ]
    assert values("[!!str 5, !!float 5]") == [["5", 5.0]]
    assert values("a: &x {b: 1}\nc: *x\n") == [{"a": {"b": 1}, "c": {"b": 1}}]
    assert values("---\n---\na: 1\n...\n") == [{"a": 1}]


def test_what_is_written_is_read_as_it_was() -> None:
    documents = [
        {
            "texts": ["no", "12", "1e5", "0o7", "12:30", "2026-01-01", "", "~", " x ", "é\u2028"],
            "prompt": 'Look at it.\n\nThen say: "so".\n',
            "trailing": "a \nb\n",
            "numbers": [1, 2.5, 1e300, -0.0, True, None],
            "empty": [{}, []],
        }
    ]
    assert values(yaml12.write(documents)) == documents
    assert "prompt: |" in yaml12.write(documents)


def test_aliases_cannot_grow_without_end(tmp_path: Path) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    for n in range(1, 20):
        inner = ", ".join([f"*a{n - 1}"] * 10)
        lines.append(f"a{n}: &a{n} [{inner}]")
    began = time.monotonic()
    (told,) = found(tmp_path, "\n".join(lines))
    assert "There are more than 100,000 values, aliases resolved." in told
    assert time.monotonic() - began < 10


def test_folders_are_read_whole_and_what_cannot_be_is_told(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "a.yml").write_text("kind: Queue\nname: a\n")
    (tmp_path / "b.yaml").write_text("kind: Queue\nname: b\nproject: p\n---\n")
    (tmp_path / "notes.txt").write_text("{{{")
    documents, findings = load([str(tmp_path)], "default")
    assert not findings
    assert [str(each.key) for each in documents] == ["Queue p/b", "Queue default/a"]
    (tmp_path / "none").mkdir()
    (tmp_path / "bytes.yaml").write_bytes(b"\xff\xfe\xff")
    (tmp_path / "large.yaml").write_text("#" * (4 * 2**20 + 1))
    for name, told in (
        ("none", "holds no .yaml or .yml files"),
        ("bytes.yaml", "is no UTF-8 text"),
        ("large.yaml", "is larger than"),
        ("missing.yaml", "cannot be read: No such file"),
    ):
        with pytest.raises(Failure, match=told):
            load([str(tmp_path / name)], "default")


@pytest.mark.parametrize(
    "at",
    [
        "0000-01-01T00:00:00Z",
        "0001-01-01T00:00:00+05:00",
        "9999-12-31T23:59:59-05:00",
        "2026-12-31t23:59:50z",
        "2026-12-31T23:59:60Z",
        "2026-12-31 23:59:50Z",
        "2026-12-31T23:59:50",
        "20261231T235950Z",
    ],
)
def test_a_moment_that_cannot_be_used_is_told_with_its_place(tmp_path: Path, at: str) -> None:
    text = f"kind: Schedule\nname: s\nspec: {{every: 900, starts_at: {at}, task: {{agent: a}}}}\n"
    (told,) = found(tmp_path, text)
    assert told.startswith("3:31: starts_at must be a moment in ISO 8601 with its time zone, such")


@pytest.mark.parametrize("at", ["2026-12-31T23:59:50.123456789Z", "2026-12-31T23:59:50-05:30"])
def test_moments_are_taken_in_every_time_zone(tmp_path: Path, at: str) -> None:
    text = f"kind: Schedule\nname: s\nspec: {{every: 900, starts_at: {at}, task: {{agent: a}}}}\n"
    assert found(tmp_path, text) == []
