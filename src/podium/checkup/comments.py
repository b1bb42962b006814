"""Where on a line the comment begins, so that a word in a string is not taken for one in it."""

import io
import re
import tokenize
from functools import cache

from podium.checkup import languages

_STRING = r"""\"(?:\\.|[^\"\\])*(?:\"|$)|(?<!\w)'(?:\\.|[^'\\])*'|`(?:\\.|[^`\\])*(?:`|$)"""
_SLASHES = r"//|/\*|^\s*\*"
_HASH = r"(?<!\S)\#|(?<=[;)}])\#"
_DASHES = r"--|/\*|^\s*\*"
_ANY = r"\#|//|/\*|--|;|%|<!--|\{\#|\.\.|^\s*(?:\*|rem\b)"
_OPENS = {
    _SLASHES: (
        "C", "C#", "C++", "CUDA", "D", "Dart", "F#", "GLSL", "Go", "Groovy", "Haxe", "Java",
        "JavaScript", "Kotlin", "Objective-C", "Rust", "Scala", "Solidity", "Swift",
        "SystemVerilog", "TypeScript", "Verilog", "Zig",
    ),
    _HASH: (
        "CMake", "Crystal", "Dockerfile", "Elixir", "Julia", "Make-like", "Makefile", "Nim",
        "Perl", "Puppet", "Python", "R", "Ruby", "Shell", "Starlark", "TOML", "YAML",
    ),
    _DASHES: ("Ada", "Elm", "Lua", "SQL", "VHDL"),
}  # fmt: skip


def python_comments(text: str) -> dict[int, str] | None:
    """The comments of Python code by line; None for text that is no Python of this version."""
    try:
        return {
            token.start[0]: token.string
            for token in tokenize.generate_tokens(io.StringIO(text).readline)
            if token.type == tokenize.COMMENT
        }
    except (tokenize.TokenError, SyntaxError):
        return None


def begins(path: str, line: str) -> int | None:
    """Where the first comment of ``line`` begins, as its language has them; None for none.

    Only the line is looked at: inside a string of several lines it can be wrong.
    """
    for piece in _pieces(languages.language(path)).finditer(line):
        if piece["comment"]:
            return piece.start()
    return None


@cache
def _pieces(language: str | None) -> re.Pattern[str]:
    opens = next((form for form, known in _OPENS.items() if language in known), _ANY)
    return re.compile(f"(?P<comment>{opens})|{_STRING}", re.IGNORECASE)
