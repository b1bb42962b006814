"""Test discovery: how tests look in each language, what runs them, and whether CI does."""

import pytest

from podium.checkup import tests
from slices.checkup.repos import Repo, rows, run

LANGUAGES = {
    "Python": (
        {
            "tests/test_a.py": "def test_one(): ...\nclass TestB:\n  async def test_two(s): ...\n",
            "pkg/b_test.py": "@pytest.mark.skip\ndef test_three(): ...\n",
            "pkg/tester.py": "def test_connection():\n    pass\n",
        },
        (3, 2, 1),
    ),
    "JavaScript and TypeScript": (
        {
            "src/a.test.ts": "it('a', () => {});\n  test.each([1])('b', () => {});\nxit('c', f);\n",
            "src/b.spec.jsx": "describe('x', () => {\n  it.skip('d', f);\n});\n",
            "src/app.ts": "test(1);\n",
        },
        (3, 2, 2),
    ),
    "Go": (
        {
            "a_test.go": "func TestA(t *testing.T) {\n\tt.Skip()\n}\nfunc BenchmarkB(b *t) {}\n",
            "a.go": "func TestNot() {}\n",
        },
        (2, 1, 1),
    ),
    "Rust": (
        {"src/lib.rs": "#[test]\nfn a() {}\n#[tokio::test]\n#[ignore]\nfn b() {}\n#[cfg(test)]\n"},
        (2, 1, 1),
    ),
    "Java, Kotlin and Groovy": (
        {
            "src/test/java/ATest.java": "  @Test\n  void a() {}\n @ParameterizedTest\n @Disabled\n",
            "src/main/java/A.java": "@TestOnly\nclass A {}\n",
        },
        (2, 1, 1),
    ),
    "C# and other .NET": (
        {"A.Tests/T.cs": '[Fact]\npublic void A() {}\n[Theory(Skip = "x")]\n[TestMethod]\n'},
        (3, 1, 1),
    ),
    "Ruby": (
        {
            "spec/a_spec.rb": "it 'a' do\nend\nxit 'b' do\nend\n",
            "test/b_test.rb": "def test_b\nend\n",
        },
        (2, 2, 1),
    ),
    "PHP": (
        {"tests/ATest.php": "public function testA() { $this->markTestSkipped(); }\n#[Test]\n"},
        (2, 1, 1),
    ),
    "C and C++": (
        {"t/a.cpp": 'TEST(A, B) {}\nTEST_F(A, C) {\n  GTEST_SKIP();\n}\nTEST_CASE("d") {}\n'},
        (3, 1, 1),
    ),
    "Swift": ({"Tests/A.swift": "func testA() { throw XCTSkip() }\n"}, (1, 1, 1)),
    "Elixir": ({"test/a_test.exs": '  test "a" do\n  @tag :skip\n'}, (1, 1, 1)),
    "Dart": ({"test/a_test.dart": "test('a', f, skip: true);\n"}, (1, 1, 1)),
    "Shell": ({"test/a.bats": '@test "a" {\n  skip\n}\n'}, (1, 1, 1)),
    "Clojure": ({"test/a.clj": "(deftest a)\n"}, (1, 1, 0)),
    "Cucumber": ({"a.feature": "Scenario: a\n@wip\nScenario Outline: b\n"}, (2, 1, 1)),
}


@pytest.mark.parametrize("language", LANGUAGES)
def test_tests_of_a_language(repo: Repo, language: str) -> None:
    files, (count, in_files, skipped) = LANGUAGES[language]
    repo.commit(files)
    output = run(tests, repo)
    assert rows(output, "languages", "language")[language] == {
        "language": language,
        "test_files": in_files,
        "tests": count,
        "skipped": skipped,
    }


def test_a_whole_project(repo: Repo) -> None:
    repo.commit(
        {
            "pyproject.toml": '[dependency-groups]\na=["pytest", "hypothesis"]\n[tool.coverage]\n',
            "package.json": '{"scripts": {"test": "vitest"}, "devDependencies": {"vitest": "1"}}',
            "Makefile": "build:\n\tx\ntest: build\n\tpytest\n",
            ".github/workflows/ci.yml": "jobs:\n  a:\n    steps:\n      - run: uv run pytest\n",
            ".github/workflows/docs.yml": "jobs:\n  a:\n    steps:\n      - run: mkdocs\n",
            ".gitlab-ci.yml": "x: 1\n",
            "src/a.py": "a = 1\n" * 100,
            "tests/test_a.py": "def test_a(): ...\n" * 50,
        }
    )
    output = run(tests, repo)
    summary = output["summary"]
    assert (summary["tests"], summary["source_lines"], summary["test_lines"]) == (50, 104, 50)
    assert summary["test_to_source"] == 0.48
    assert summary["coverage_configured"] is True
    assert output["details"]["frameworks"] == ["pytest", "Hypothesis", "Vitest"]
    assert [row["command"] for row in output["details"]["entry_points"]] == [
        "make test",
        "npm test",
    ]
    ci = {row["path"]: row["runs_tests"] for row in output["details"]["ci"]}
    assert ci == {
        ".github/workflows/ci.yml": True,
        ".github/workflows/docs.yml": False,
        ".gitlab-ci.yml": False,
    }
    assert output["findings"] == []


def test_no_tests_and_no_ci(repo: Repo) -> None:
    repo.commit({"a.py": "a = 1\n" * 300})
    output = run(tests, repo)
    assert {(f["kind"], f["severity"]) for f in output["findings"]} == {
        ("no_tests", "high"),
        ("no_ci", "medium"),
    }
    assert output["summary"]["test_to_source"] == 0.0


def test_prose_needs_no_tests(repo: Repo) -> None:
    repo.commit({"README.md": "x\n" * 900})
    output = run(tests, repo)
    assert output["findings"] == []
    assert output["summary"]["test_to_source"] is None


def test_few_skipped_and_focused_tests(repo: Repo) -> None:
    repo.commit(
        {
            "src/a.ts": "a;\n" * 2_000,
            "src/a.test.ts": "describe('x', f);\n  it.only('a', f);\nxit('b', f);\n",
            ".travis.yml": "script: deploy\n",
        }
    )
    output = run(tests, repo)
    kinds = {finding["kind"]: finding for finding in output["findings"]}
    assert set(kinds) == {"few_tests", "focused_test", "skipped_tests", "ci_without_tests"}
    assert (kinds["focused_test"]["path"], kinds["focused_test"]["line"]) == ("src/a.test.ts", 2)
    assert kinds["focused_test"]["severity"] == "high"


def test_an_empty_repository(repo: Repo) -> None:
    output = run(tests, repo)
    assert output["summary"]["tests"] == 0
    assert output["findings"] == []


def test_vendored_tests_are_not_the_repositorys(repo: Repo) -> None:
    repo.commit({"node_modules/a/a.test.js": "it('a', f);\n", "vendor/b/b_test.go": "func TestB("})
    assert run(tests, repo)["summary"]["tests"] == 0


def test_time_that_runs_out_is_said(repo: Repo) -> None:
    repo.commit({"tests/test_a.py": "def test_a(): ...\n"})
    output = run(tests, repo, seconds=0)
    assert "test discovery" in {cut["what"] for cut in output["truncated"]}
