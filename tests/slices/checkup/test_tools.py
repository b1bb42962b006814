"""What linters say, as their released versions say it (captured from them)."""

import json
from collections.abc import Callable, Iterator

import pytest

from podium.checkup.linters import tools
from podium.checkup.linters.tools import Said

OXLINT = """{ "diagnostics": [{"message": "Unexpected re-assignment of a `const`.",
"code": "eslint(no-const-assign)","severity": "warning","filename": "a.js",
"labels": [{"label": "declared here","span": {"offset": 6,"length": 1,"line": 1,"column": 7}}]},
{"message": "Unexpected token","severity": "error","filename": "b.ts",
"labels": [{"span": {"offset": 8,"length": 1,"line": 1,"column": 9}}]}],
"number_of_files": 2, "number_of_rules": 96, "threads_count": 2, "start_time": 0.033 }"""
HADOLINT = """[{"code":"DL3007","column":1,"file":"./Dockerfile","level":"warning","line":1,
"message":"Using latest is prone to errors"},{"code":"DL1000","column":5,"file":"./Dockerfile",
"level":"error","line":1,"message":"missing whitespace"}]"""
ACTIONLINT = """[{"message":"property \\"x\\" is not defined",
"filepath":"./.github/workflows/a.yml","line":9,"column":3,"kind":"expression","snippet":"x","end_column":4}]"""
GOLANGCI = """{"Issues":[{"FromLinter":"errcheck","Text":"Error return value is not checked",
"Pos":{"Filename":"main.go","Offset":0,"Line":7,"Column":2}}],"Report":{}}""".replace("\n", "")
CLIPPY = "\n".join(
    json.dumps(row)
    for row in [
        {"reason": "compiler-artifact"},
        {
            "reason": "compiler-message",
            "message": {
                "code": {"code": "clippy::len_zero"},
                "level": "warning",
                "message": "length comparison to zero",
                "spans": [{"file_name": "src/lib.rs", "line_start": 3, "is_primary": True}],
            },
        },
        {"reason": "compiler-message", "message": {"message": "1 warning emitted", "spans": []}},
    ]
)
RUBOCOP = """{"metadata":{},"files":[{"path":"a.rb","offenses":[{"severity":"convention",
"message":"Missing frozen string literal","cop_name":"Style/FrozenStringLiteralComment",
"location":{"start_line":1,"line":1}}]}],"summary":{"offense_count":1}}"""


@pytest.mark.parametrize(
    ("parse", "text", "expected"),
    [
        (
            tools.oxlint,
            OXLINT,
            [
                Said("eslint(no-const-assign)", "low", "a.js", 1, "Unexpected re-assignment"),
                Said("parse-error", "high", "b.ts", 1, "Unexpected token"),
            ],
        ),
        (
            tools.hadolint,
            HADOLINT,
            [
                Said("DL3007", "low", "./Dockerfile", 1, "Using latest"),
                Said("DL1000", "medium", "./Dockerfile", 1, "missing whitespace"),
            ],
        ),
        (
            tools.actionlint,
            ACTIONLINT,
            [Said("expression", "medium", "./.github/workflows/a.yml", 9, 'property "x"')],
        ),
        (tools.golangci, GOLANGCI, [Said("errcheck", "medium", "main.go", 7, "Error return")]),
        (tools.clippy, CLIPPY, [Said("clippy::len_zero", "low", "src/lib.rs", 3, "length")]),
        (
            tools.rubocop,
            RUBOCOP,
            [Said("Style/FrozenStringLiteralComment", "low", "a.rb", 1, "Missing frozen")],
        ),
    ],
)
def test_what_a_linter_says_is_understood(
    parse: Callable[[str], Iterator[Said]], text: str, expected: list[Said]
) -> None:
    found = list(parse(text))
    assert [said._replace(message="") for said in found] == [
        said._replace(message="") for said in expected
    ]
    for said, wanted in zip(found, expected, strict=True):
        assert said.message.startswith(wanted.message)


@pytest.mark.parametrize("tool", [*tools.SAFE, *tools.PROJECT], ids=lambda tool: tool.name)
@pytest.mark.parametrize("text", ["", "nonsense", "[]", "{}", "null", '[{"a": 1}]', "[" * 100_000])
def test_nonsense_is_no_issue(tool: tools.Tool, text: str) -> None:
    assert all(said.path == "" for said in tool.parse(text))
