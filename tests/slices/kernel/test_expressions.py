"""Texts with expressions: what they say, what they must not reach, and that none costs much."""

import time
from typing import Any

import pytest

from podium.kernel import expressions
from podium.kernel.errors import InvalidInput
from podium.kernel.expressions import Values

VALUES: dict[str, Any] = {
    "text": "hello",
    "number": 3,
    "yes": True,
    "nothing": None,
    "words": ["x", "y"],
    "inner": {"list": [1, 2], "upper": "kept"},
    "large": "a" * 60_000,
    "rows": [["z"] * 100] * 100,
}


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("Hi {{ text }}!", "Hi hello!"),
        ("{{ text | upper }} {{ ' a ' | trim }}", "HELLO a"),
        ("{{ number }} {{ yes }} {{ nothing }} {{ words }}", '3 true null ["x","y"]'),
        ("{{ number + 1 }}-{{ -number }}", "4--3"),
        ("{{ inner.list[1] }} {{ inner['upper'] }} {{ inner.upper }}", "2 kept kept"),
        ("{% if other %}a{% elif yes %}b{% else %}c{% endif %}", "b"),
        ("{% if 'x' in words and number > 2 %}in{% endif %}", "in"),
        ("{{ 'a' if other is defined else 'b' }}.", "b."),
        ("{{ other | default('none') }}, {{ nothing | default('null') }}.", "none, null."),
        ("{{ words | join(', ') }} {{ words | first }} {{ words | last }}", "x, y x y"),
        ("{{ words | length }}{{ inner | json }}", '2{"list":[1,2],"upper":"kept"}'),
        ("{{ 'a\nb' | indent(2) }}.", "a\n  b."),
        (
            "{% for x in words %}{{ loop.index }}{{ x }}{{ '.' if loop.last else ',' }}{%endfor%}",
            "1x,2y.",
        ),
        ("{% for name in inner %}{{ name }};{% endfor %}", "list;upper;"),
        ("{% for each in other %}never{% else %}none{% endfor %}", "none"),
        ("a\n  {% if yes %}\n  b\n  {% endif %}\nc\n", "a\n  b\nc\n"),
        ("{% raw %}{{ text }}{% endraw %}{# a remark #}", "{{ text }}"),
        ("", ""),
    ],
)
def test_texts(source: str, said: str) -> None:
    assert expressions.text(source, Values(VALUES)) == said


def test_what_a_value_says_is_never_read_as_an_expression() -> None:
    values = Values({"text": "{{ number }}{% for %}", "number": 5})
    assert expressions.text("{{ text }}!", values) == "{{ number }}{% for %}!"
    assert expressions.value("{{ text }}", values) == "{{ number }}{% for %}"


@pytest.mark.parametrize(
    ("source", "came_to"),
    [
        ("{{ number }}", 3),
        (" {{ words }}\n", ["x", "y"]),
        ("{{ nothing }}", None),
        ("{{ yes }}", True),
        ("{{ inner.list[0] + 1 }}", 2),
        ("{{ '1e5' }}", "1e5"),
        ("{{ 'None' }}", "None"),
        ("{{ number }}{{ number }}", "33"),
        ("{{ number if yes }}", 3),
        ("{{ other }}", expressions.MISSING),
        ("{{ other.deep[1].deeper }}", expressions.MISSING),
        ("{{ words[7] }}", expressions.MISSING),
    ],
)
def test_a_lone_expression_keeps_its_type(source: str, came_to: Any) -> None:
    found = expressions.value(source, Values(VALUES))
    assert (found, type(found)) == (came_to, type(came_to))


@pytest.mark.parametrize("source", ["{{ other }}", "a {{ other }}", "{{ other | upper }}"])
def test_what_has_no_value_is_not_left_out_of_a_text(source: str) -> None:
    with pytest.raises(InvalidInput, match="'other', which has no value") as caught:
        expressions.text(source, Values(VALUES))
    assert "{% if other %}" in str(caught.value.hint)


@pytest.mark.parametrize(
    "source",
    [
        "{{ text.upper() }}",
        "{{ ''.join(words) }}",
        "{{ range(10) }}",
        "{{ _work }}",
        "{{ self }}",
        "{{ text * 9 }}",
        "{{ 2 ** 99 }}",
        "{{ 'x%9999999s' % text }}",
        "{{ text ~ text }}",
        "{{ text[1:2] }}",
        "{{ {'a': 1} }}",
        "{{ [text, text] }}",
        "{{ text | nope }}",
        "{{ text is sameas(1) }}",
        "{% set a = 1 %}",
        "{% include 'a' %}",
        "{% import 'a' as b %}",
        "{% extends 'a' %}",
        "{% macro a() %}{% endmacro %}",
        "{% block a %}{% endblock %}",
        "{% filter upper %}a{% endfilter %}",
        "{% for a in words recursive %}{% endfor %}",
        "{{ text",
        "{{ 1e400 }}",
        "{% if yes %}",
        "{{ }}",
    ],
)
def test_what_is_not_part_of_the_language_is_refused_before_it_runs(source: str) -> None:
    with pytest.raises(InvalidInput, match=r"^Line 1: "):
        expressions.names(source)


@pytest.mark.parametrize(
    "source",
    ["{{ text.__class__ }}", "{{ text['__class__'] }}", "{{ words.append }}", "{{ inner.keys }}"],
)
def test_no_attribute_of_python_is_reached(source: str) -> None:
    assert expressions.value(source, Values(VALUES)) is expressions.MISSING


@pytest.mark.parametrize(
    "source",
    [
        "{{ 5 < text }}",
        "{{ text + text }}",
        "{{ 1e308 + 1e308 }}",
        "{{ number + yes }}",
        "{{ -text }}",
        "{{ number | upper }}",
        "{{ text | indent(99999) }}",
        "{{ words | join(1, 2, 3) }}",
        "{% for a in number %}{% endfor %}.",
        "{% for a, b in words %}{% endfor %}.",
        "{% for a in words %}{{ loop }}{% endfor %}",
        "{{ other + 1 }}",
    ],
)
def test_what_does_not_fit_its_value_is_told(source: str) -> None:
    with pytest.raises(InvalidInput):
        expressions.value(source, Values(VALUES))


DEEP = "{% for a in rows %}{% for b in a %}{% for c in rows %}{% for d in c %}{{ d }}"
COSTLY = (
    DEEP + "{% endfor %}" * 4,
    "{% if large == large %}" * 50 + "{% endif %}" * 50,
    "{{ " + " or ".join(["large == 'b'"] * 500) + " }}.",
    "{{ large" + " | json" * 40 + " }}",
    "{{ '\"' " + "| json" * 60 + " }}",
    "{% for a in rows %}{{ large }}{% endfor %}",
    "{% for a in rows %}" + "x" * 60_000 + "{% endfor %}",
    "{{ rows | join(large) }}",
    "{{ (" * 100 + "text" + ") }}" * 100,
    "{{ " + "(" * 500 + "text" + ")" * 500 + " }}",
    "{{ " + " or ".join(["text"] * 5000) + " }}",
    "{{ text }}" * 6000,
    "{% for a in words %}" * 25 + "{% endfor %}" * 25,
    "{{ text }}" + "x" * expressions.MOST_CHARS,
)


@pytest.mark.parametrize("source", COSTLY, ids=range(len(COSTLY)))
def test_no_text_costs_much(source: str) -> None:
    started = time.process_time()
    with pytest.raises(InvalidInput):
        expressions.text(source, Values(VALUES))
    assert time.process_time() - started < 1.0


def test_texts_that_are_rendered_together_share_what_they_may_cost() -> None:
    values = Values(VALUES)
    source = "{% for a in rows %}{{ a | length }}{% endfor %}"
    for _ in range(5):
        expressions.text(source, values.joined(more=1))
    together = [source] * 100
    with pytest.raises(InvalidInput, match="too much work"):
        _ = [expressions.text(each, values) for each in together]


def test_the_names_that_a_text_uses() -> None:
    source = "{{ a }}{% for b in c %}{{ b }}{{ d.e }}{% endfor %}{% if f %}{% endif %}"
    assert expressions.names(source) == {"a", "c", "d", "f"}
