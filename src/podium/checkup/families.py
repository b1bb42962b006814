"""How tests look in each language, and what runs them."""

import re
from dataclasses import dataclass

_SPACE = "[[:blank:]]*"


@dataclass(frozen=True, slots=True)
class Family:
    """Languages whose tests look alike.

    ``tests``, ``skipped`` and ``focused`` are POSIX expressions for one line; ``extensions`` are
    the files they are looked for in. ``named`` tells a test file by its path: where it is given,
    other files do not count.
    """

    name: str
    extensions: tuple[str, ...]
    tests: str
    skipped: str = ""
    focused: str = ""
    named: re.Pattern[str] | None = None

    @property
    def paths(self) -> tuple[str, ...]:
        """Git's pathspecs for the files."""
        return tuple(f":(glob)**/*.{extension}" for extension in self.extensions)


_JS = ("js", "jsx", "ts", "tsx", "mjs", "cjs", "mts", "cts")
FAMILIES = (
    Family(
        "Python",
        ("py",),
        rf"^{_SPACE}(async[[:blank:]]+)?def test[A-Za-z0-9_]*{_SPACE}\(",
        r"^[^#]*(mark\.(skip|xfail)|unittest\.skip|pytest\.skip\(|\.skipTest\()",
        named=re.compile(r"(^|/)(tests?|testing)(/|\.py$)|(^|/)tests?(_[^/]*)?\.py$|_tests?\.py$"),
    ),
    Family(
        "JavaScript and TypeScript",
        _JS,
        rf"^{_SPACE}(it|test)(\.[a-z]+)?(\([^)]*\)|`)?{_SPACE}[(`]",
        r"(^|[^A-Za-z.])((it|test|describe)\.(skip|todo)|x(it|describe|test))[[:blank:]]*\(",
        rf"^{_SPACE}((it|test|describe)\.only|f(it|describe)){_SPACE}\(",
        named=re.compile(r"[.\-_](test|spec|e2e|cy)\.[cm]?[jt]sx?$|(^|/)(__tests__|tests?|e2e)/"),
    ),
    Family(
        "Go",
        ("go",),
        r"^func (Test|Benchmark|Fuzz|Example)[A-Z0-9_(]",
        r"^[[:blank:]]*[tb]\.Skip(f|Now)?\(",
        named=re.compile(r"_test\.go$"),
    ),
    Family(
        "Rust",
        ("rs",),
        r"^[[:blank:]]*#\[([a-z_]+::)*(test|rstest|test_case|quickcheck)([[:space:](]|\])",
        r"^[[:blank:]]*#\[ignore",
    ),
    Family(
        "Java, Kotlin and Groovy",
        ("java", "kt", "groovy"),
        r"^[[:blank:]]*@(Test|ParameterizedTest|RepeatedTest|TestFactory|Property)([^A-Za-z]|$)",
        r"^[[:blank:]]*@(Disabled|Ignore)([^A-Za-z]|$)",
    ),
    Family("Scala", ("scala",), r"^[[:blank:]]*(test|it)\(\"|\"[[:blank:]]+in[[:blank:]]+\{"),
    Family(
        "C# and other .NET",
        ("cs", "fs", "vb"),
        r"[[<](Fact|Theory|Test|TestCase|TestMethod|DataTestMethod|Property)[](>,]",
        r"\(Skip[[:blank:]]*=|[[<]Ignore",
    ),
    Family(
        "Ruby",
        ("rb",),
        r"^[[:blank:]]*(it|specify|scenario|test)[[:space:](]+[\"']|^[[:blank:]]*def test_",
        r"^[[:blank:]]*(xit|xdescribe|xcontext|pending|skip)([[:space:](\"']|$)",
        r"^[[:blank:]]*(fit|fdescribe|fcontext)[[:space:](]",
        named=re.compile(r"(^|/)(spec|test)s?/|_(spec|test)\.rb$"),
    ),
    Family(
        "PHP",
        ("php",),
        r"function test[A-Z_]|@test([^A-Za-z]|$)|#\[Test\]|^[[:blank:]]*(it|test)\(",
        r"markTest(Skipped|Incomplete)|->skip\(",
        named=re.compile(r"(^|/)[Tt]ests?/|Test\.php$"),
    ),
    Family(
        "C and C++",
        ("c", "cc", "cpp", "cxx", "h", "hpp"),
        r"^[[:blank:]]*((TYPED_)?TEST(_F|_P|_CASE|_METHOD)?|SCENARIO"
        r"|BOOST_(AUTO|FIXTURE|DATA)_TEST_CASE|START_TEST)[[:blank:]]*\(",
        r"GTEST_SKIP|TEST(_F|_P)?\([^)]*DISABLED_",
    ),
    Family("Swift", ("swift",), r"func test[A-Z]|^[[:blank:]]*@Test([^A-Za-z]|$)", "XCTSkip"),
    Family(
        "Elixir",
        ("exs", "ex"),
        r"^[[:blank:]]*(test|property) \"",
        r"@(module)?tag :?skip",
        named=re.compile(r"_test\.exs$"),
    ),
    Family("Dart", ("dart",), r"^[[:blank:]]*(test|testWidgets|blocTest)(<[^>]*>)?\(", r"skip: "),
    Family(
        "Shell",
        ("bats", "sh", "bash"),
        r"^@test |^test_?[A-Za-z0-9_]*[[:blank:]]*\(\)",
        r"^[[:blank:]]+skip([[:space:]]|$)",
    ),
    Family("Clojure", ("clj", "cljs", "cljc"), r"^\(deftest "),
    Family("Haskell", ("hs",), r"^[[:blank:]]*(it|prop|testCase|testProperty) \""),
    Family("Julia", ("jl",), r"^[[:blank:]]*@test(set|_throws)?[[:space:]]"),
    Family("R", ("r", "R"), r"^[[:blank:]]*test_that\("),
    Family("Perl", ("t",), r"^[[:blank:]]*(ok|is|isnt|like|is_deeply|subtest)[[:space:](]"),
    Family("Lua", ("lua",), r"^[[:blank:]]*it\([\"']"),
    Family("Robot Framework", ("robot",), r"^[A-Za-z][^*:]*$"),
    Family(
        "Cucumber", ("feature",), r"^[[:blank:]]*Scenario( Outline)?:", r"^[[:blank:]]*@(wip|skip)"
    ),
)


@dataclass(frozen=True, slots=True)
class Framework:
    """A test tool, known by the name of a file of its own or by a word in manifests."""

    name: str
    file: re.Pattern[str] | None = None
    word: re.Pattern[bytes] | None = None


def _framework(name: str, file: str = "", word: str = "") -> Framework:
    return Framework(
        name,
        re.compile(file) if file else None,
        re.compile(word.encode()) if word else None,
    )


FRAMEWORKS = (
    _framework("pytest", r"conftest\.py|pytest\.ini|pytest\.toml", r"\bpytest\b"),
    _framework("Hypothesis", word=r"\bhypothesis\b"),
    _framework("tox", r"tox\.(ini|toml)", r"\[tool\.tox"),
    _framework("nox", r"noxfile\.py"),
    _framework("Jest", r"jest\.config\.\w+", r'"jest"\s*:'),
    _framework("Vitest", r"vitest\.config\.\w+", r'"vitest"\s*:'),
    _framework("Mocha", r"\.mocharc\.\w+", r'"mocha"\s*:'),
    _framework("AVA", word=r'"ava"\s*:'),
    _framework("Playwright", r"playwright\.config\.\w+", r"playwright"),
    _framework("Cypress", r"cypress\.config\.\w+|cypress\.json", r'"cypress"\s*:'),
    _framework("JUnit", word=r"\bjunit\b"),
    _framework("TestNG", word=r"\btestng\b"),
    _framework("Kotest", word=r"\bkotest\b"),
    _framework("Spock", word=r"\bspock-core\b"),
    _framework("ScalaTest", word=r"\bscalatest\b"),
    _framework("xUnit.net", word=r'"xunit"'),
    _framework("NUnit", word=r'"NUnit"'),
    _framework("MSTest", word=r"MSTest\.TestFramework"),
    _framework("RSpec", r"\.rspec", r"['\"]rspec"),
    _framework("Minitest", word=r"['\"]minitest"),
    _framework("PHPUnit", r"phpunit\.xml(\.dist)?", r"phpunit/phpunit"),
    _framework("Pest", word=r"pestphp/pest"),
    _framework("GoogleTest", word=r"\b(gtest|googletest|GTest)\b"),
    _framework("Catch2", word=r"\bCatch2\b"),
    _framework("proptest", word=r"^\s*proptest\b"),
    _framework("Flutter test", word=r"\bflutter_test\b"),
    _framework("Bats", r".+\.bats"),
    _framework("Robot Framework", r".+\.robot"),
    _framework("Cucumber", r".+\.feature"),
)

CI = {
    "GitHub Actions": r"\.github/workflows/[^/]+\.ya?ml",
    "GitLab CI": r"\.gitlab-ci\.yml",
    "CircleCI": r"\.circleci/config\.yml",
    "Azure Pipelines": r"(\.?azure[-_]pipelines[^/]*|\.azuredevops/.*)\.ya?ml",
    "Jenkins": r"([^/]+/)*Jenkinsfile[^/]*",
    "Travis CI": r"\.travis\.yml",
    "AppVeyor": r"\.?appveyor\.yml",
    "Bitbucket Pipelines": r"bitbucket-pipelines\.yml",
    "Buildkite": r"\.buildkite/.*\.ya?ml",
    "Drone": r"\.drone\.(yml|jsonnet|star)",
    "Woodpecker": r"\.woodpecker(\.ya?ml|/.*\.ya?ml)",
    "Cirrus CI": r"\.cirrus\.(yml|star)",
    "Semaphore": r"\.semaphore/.*\.yml",
    "TeamCity": r"\.teamcity/.*\.(kts|xml)",
    "Forgejo or Gitea Actions": r"\.(forgejo|gitea)/workflows/[^/]+\.ya?ml",
    "Google Cloud Build": r"cloudbuild\.ya?ml",
    "AWS CodeBuild": r"buildspec\.ya?ml",
    "a script": r"\.ci/[^/]+",
}
"""Continuous integration by the path of its configuration."""

COVERAGE = re.compile(
    r"(\.coveragerc|\.?codecov\.ya?ml|\.nycrc(\.\w+)?|\.c8rc(\.\w+)?|\.simplecov|tarpaulin\.toml"
    r"|\.coveralls\.yml|coverlet\.runsettings)"
)
"""Names of configurations of coverage tools."""
