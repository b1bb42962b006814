"""Tables and fields as text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podium.cli.tables import Cell, Look, _cells, fields, table

TEXTS = st.text(st.sampled_from("ab \n漢é\u0301"), max_size=30)


def cells(*texts: str) -> list[Cell]:
    return [Cell(text) for text in texts]


def test_columns_stand_under_their_headers() -> None:
    made = table(("ID", "Name"), [cells("1", "漢字"), cells("22", "x\ny")], Look())
    assert made.splitlines() == ["ID  Name", "────────", "1   漢字", "22  x", "    y"]


def test_what_does_not_fit_goes_on_below_and_ids_stay_whole() -> None:
    rows = [cells("a" * 20, "one two three four", "short")]
    made = table(("ID", "Text", "More"), rows, Look(width=39))
    assert made.splitlines() == [
        f"ID{' ' * 18}  Text        More",
        "─" * 39,
        f"{'a' * 20}  one two     short",
        f"{' ' * 20}  three four",
    ]


def test_words_that_do_not_fit_are_broken() -> None:
    made = fields({"Name": Cell("x" * 25), "N": Cell("1")}, Look(width=16))
    assert made.splitlines() == [f"Name  {'x' * 10}", f"      {'x' * 10}", "      xxxxx", "N     1"]


def test_styles_need_colours() -> None:
    rows = [[Cell("well", "bold green")]]
    assert "\033" not in table(("A",), rows, Look())
    made = table(("A",), rows, Look(coloured=True))
    assert made.splitlines()[2] == "\033[1;32mwell\033[0m"


@pytest.mark.parametrize("rows", [[], [cells("")]])
def test_there_may_be_nothing(rows: list[list[Cell]]) -> None:
    assert table(("Name",), rows, Look(width=80)).startswith("Name\n────")
    assert fields({}, Look(width=80)) == ""


@given(st.lists(st.tuples(TEXTS, TEXTS), max_size=4), st.integers(30, 60))
def test_nothing_is_wider_than_the_terminal_and_nothing_is_lost(
    rows: list[tuple[str, str]], width: int
) -> None:
    made = table(("One", "Two"), [cells(*row) for row in rows], Look(width=width))
    assert all(_cells(line) <= width for line in made.splitlines())
    shown = sorted(letter for row in rows for letter in "".join(row) if letter in "ab漢é")
    assert sorted(letter for letter in made.split("─\n", 1)[-1] if letter in "ab漢é") == shown
