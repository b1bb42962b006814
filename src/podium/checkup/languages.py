"""Which language a file is in, and what kind of file it is, judged by its path alone."""

import re
from functools import cache
from pathlib import PurePosixPath

_CODE = {
    "Ada": "adb ads",
    "Assembly": "asm s",
    "Astro": "astro",
    "Batch": "bat cmd",
    "C": "c h",
    "C#": "cs csx",
    "C++": "cc cpp cxx c++ hh hpp hxx ipp inl",
    "Clojure": "clj cljc cljs edn",
    "CoffeeScript": "coffee",
    "Common Lisp": "lisp cl",
    "Crystal": "cr",
    "CUDA": "cu cuh",
    "D": "d",
    "Dart": "dart",
    "Elixir": "ex exs",
    "Elm": "elm",
    "Emacs Lisp": "el",
    "Erlang": "erl hrl",
    "F#": "fs fsi fsx",
    "Fortran": "f f77 f90 f95 f03 f08 for",
    "GLSL": "glsl vert frag comp",
    "Go": "go",
    "Groovy": "groovy gradle",
    "Haskell": "hs lhs",
    "Haxe": "hx",
    "Java": "java",
    "JavaScript": "js cjs mjs jsx",
    "Julia": "jl",
    "Kotlin": "kt kts",
    "Lua": "lua",
    "MATLAB": "mlx",
    "Nim": "nim nims",
    "Nix": "nix",
    "OCaml": "ml mli",
    "Objective-C": "m mm",
    "Pascal": "pas dpr",
    "Perl": "pl pm",
    "PHP": "php phtml",
    "PowerShell": "ps1 psm1 psd1",
    "Prolog": "pro",
    "Puppet": "pp",
    "Python": "py pyi pyw pyx pxd",
    "R": "r",
    "Racket": "rkt",
    "Ruby": "rb rake gemspec ru",
    "Rust": "rs",
    "Scala": "scala sbt sc",
    "Scheme": "scm ss",
    "Shell": "sh bash zsh fish ksh bats",
    "Solidity": "sol",
    "SQL": "sql psql",
    "Starlark": "bzl star",
    "Svelte": "svelte",
    "Swift": "swift",
    "SystemVerilog": "sv svh",
    "Tcl": "tcl",
    "Terraform": "tf hcl",
    "TypeScript": "ts tsx cts mts",
    "Vala": "vala",
    "VHDL": "vhd vhdl",
    "Verilog": "v",
    "Vim script": "vim",
    "Visual Basic": "vb bas",
    "Vue": "vue",
    "WebAssembly": "wat",
    "Zig": "zig",
}
_OTHER = {
    "CSS": "css scss sass less styl",
    "HTML": "html htm xhtml",
    "Template": "j2 jinja jinja2 erb ejs hbs mustache liquid twig tmpl tpl",
    "XML": "xml xsd xsl xslt svg plist csproj fsproj vbproj props targets resx",
    "JSON": "json json5 jsonc jsonl ndjson geojson ipynb webmanifest",
    "YAML": "yaml yml",
    "TOML": "toml",
    "INI": "ini cfg conf properties editorconfig env",
    "CSV": "csv tsv",
    "Protocol Buffers": "proto",
    "GraphQL": "graphql gql",
    "Markdown": "md markdown mdx",
    "reStructuredText": "rst",
    "AsciiDoc": "adoc asciidoc",
    "Text": "txt text",
    "TeX": "tex sty cls bib",
    "Notebook": "rmd qmd",
}
_NAMES = {
    "Dockerfile": "Dockerfile",
    "Containerfile": "Dockerfile",
    "Makefile": "Makefile",
    "GNUmakefile": "Makefile",
    "CMakeLists.txt": "CMake",
    "Jenkinsfile": "Groovy",
    "Rakefile": "Ruby",
    "Gemfile": "Ruby",
    "Vagrantfile": "Ruby",
    "Podfile": "Ruby",
    "BUILD": "Starlark",
    "BUILD.bazel": "Starlark",
    "WORKSPACE": "Starlark",
    "Justfile": "Make-like",
    "justfile": "Make-like",
    ".bashrc": "Shell",
    ".profile": "Shell",
    ".zshrc": "Shell",
    "PKGBUILD": "Shell",
}

_INTERPRETERS = {
    "python": "Python",
    "(ba|z|k|da)?sh": "Shell",
    "node": "JavaScript",
    "ruby": "Ruby",
    "perl": "Perl",
    "php": "PHP",
    "lua": "Lua",
    "Rscript": "R",
}

_LOCK_FILES = {
    "Cargo.lock": "Rust",
    "Gemfile.lock": "Ruby",
    "Package.resolved": "Swift",
    "Pipfile.lock": "Python",
    "Podfile.lock": "CocoaPods",
    "bun.lock": "npm",
    "bun.lockb": "npm",
    "composer.lock": "PHP",
    "conda-lock.yml": "Conda",
    "deno.lock": "Deno",
    "flake.lock": "Nix",
    "go.sum": "Go",
    "go.work.sum": "Go",
    "gradle.lockfile": "Gradle",
    "mix.lock": "Elixir",
    "npm-shrinkwrap.json": "npm",
    "package-lock.json": "npm",
    "packages.lock.json": ".NET",
    "paket.lock": ".NET",
    "pdm.lock": "Python",
    "pixi.lock": "Conda",
    "pnpm-lock.yaml": "npm",
    "poetry.lock": "Python",
    "pubspec.lock": "Dart",
    "pylock.toml": "Python",
    "rebar.lock": "Erlang",
    "uv.lock": "Python",
    "yarn.lock": "npm",
    ".terraform.lock.hcl": "Terraform",
    "Chart.lock": "Helm",
    "cabal.project.freeze": "Haskell",
    "stack.yaml.lock": "Haskell",
    "Manifest.toml": "Julia",
    "renv.lock": "R",
}
_REQUIREMENTS_LOCK = re.compile(r"requirements.*\.lock(\.txt)?")

_VENDORED = re.compile(
    r"(^|/)(node_modules|bower_components|vendor|vendored|_vendor|third[-_]?party|thirdparty"
    r"|external|extern|Pods|Carthage|\.yarn/(releases|plugins|cache)|site-packages|jspm_packages"
    r"|gradle/wrapper)/",
    re.IGNORECASE,
)
_GENERATED = re.compile(
    r"(\.min\.(js|mjs|css)|[-.]bundle\.js|\.js\.map|\.css\.map|\.pb\.(go|cc|h|rb|swift)"
    r"|_pb2(_grpc)?\.pyi?|\.pb\.dart|\.g\.dart|\.freezed\.dart|\.generated\.\w+|\.gen\.\w+"
    r"|\.designer\.cs|\.g\.cs|\.g\.i\.cs|zz_generated\.[\w.]+|\.snap|\.pbxproj)$",
    re.IGNORECASE,
)
_TEST = re.compile(
    r"(^|/)(tests?|specs?|__tests__|testing|testdata|fixtures?|e2e|integration[-_]tests?"
    r"|src/test|src/it|androidTest|[\w-]+\.Tests?)/"
    r"|(^|/)(test_[^/]+|[^/]+_test|[^/]+_spec|[^/]+\.(test|spec|cy|e2e)|[^/]*Tests?|[^/]*Spec"
    r"|conftest|setup_tests?)\.\w+$",
)
_DOCUMENT = re.compile(r"(^|/)(docs?|documentation|examples?|samples?|demos?)/", re.IGNORECASE)


@cache
def _by_extension() -> dict[str, str]:
    return {
        extension: language
        for table in (_OTHER, _CODE)
        for language, extensions in table.items()
        for extension in extensions.split()
    }


def language(path: str) -> str | None:
    """The language of a path such as ``src/a.py``; None when it is not known."""
    name = path.rpartition("/")[2]
    if name in _NAMES:
        return _NAMES[name]
    if name.startswith(("Dockerfile.", "Containerfile.")) or name.endswith(".Dockerfile"):
        return "Dockerfile"
    return _by_extension().get(extension(path))


def language_of_script(first_line: bytes) -> str | None:
    """The language of a file by its first line, such as ``#!/usr/bin/env python3``."""
    if not first_line.startswith(b"#!"):
        return None
    words = first_line[2:].decode("ascii", "replace").replace("/", " ").split()
    for word in reversed(words):
        for interpreter, name in _INTERPRETERS.items():
            if re.fullmatch(interpreter + r"[\d.]*", word):
                return name
    return None


def extension(path: str) -> str:
    """The lower-case extension without its dot; for ``.env`` it is ``env``."""
    return path.rpartition("/")[2].rpartition(".")[2].lower() if "." in path else ""


def is_code(path: str) -> bool:
    """Whether the path is of a programming language (not mark-up, data or prose)."""
    found = language(path)
    return found in _CODE or found in {"CMake", "Dockerfile", "Makefile", "Make-like"}


def lock_ecosystem(path: str) -> str | None:
    """What the packages belong to that a lock file pins; None for a path of another kind."""
    name = path.rpartition("/")[2]
    return "Python" if _REQUIREMENTS_LOCK.fullmatch(name) else _LOCK_FILES.get(name)


def is_lock_file(path: str) -> bool:
    """Whether the name is one of a file that pins what a package manager resolved."""
    return lock_ecosystem(path) is not None


def is_vendored(path: str) -> bool:
    """Whether the path lies in a directory that holds other people's code."""
    return bool(_VENDORED.search(path))


def is_generated(path: str) -> bool:
    """Whether the name is one that only tools give, to what they write.

    Most tools say it at the file's top instead: see ``Repository.generated``.
    """
    return bool(_GENERATED.search(path))


def is_test(path: str) -> bool:
    """Whether the path is a test, or data for tests."""
    return bool(_TEST.search(path))


def is_example(path: str) -> bool:
    """Whether the path is documentation or an example."""
    prose = PurePosixPath(path).suffix.lower() in {".md", ".rst", ".adoc", ".mdx"}
    return prose or bool(_DOCUMENT.search(path))


def is_own(path: str) -> bool:
    """Whether people of this repository write this file."""
    return not is_vendored(path) and not is_generated(path) and not is_lock_file(path)
