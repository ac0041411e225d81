"""Claims about text that comes from files."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nnguard.report.escape import escaped, escaped_lines

ANY_TEXT = st.text(alphabet=st.characters(exclude_categories=()), max_size=60)


@given(ANY_TEXT)
def test_no_control_character_is_left(text):
    shown = escaped(text)
    assert all(unicodedata.category(character) not in ("Cc", "Cf", "Cs", "Zl", "Zp") for character in shown)
    assert len(shown.splitlines()) <= 1
    shown.encode("utf-8")


@given(ANY_TEXT)
def test_no_line_begins_with_a_command(text):
    for line in escaped_lines(text).split("\n"):
        assert not line.lstrip().startswith(("::", "##[", "##vso["))


@given(ANY_TEXT)
def test_escaping_twice_changes_nothing(text):
    assert escaped(escaped(text)) == escaped(text)


@given(ANY_TEXT, st.integers(1, 20))
def test_a_limit_is_kept(text, limit):
    assert len(escaped(text, limit)) <= limit


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31mred", "\\x1b[31mred"),
        ("a\nb\rc\td", "a\\x0ab\\x0dc\\x09d"),
        ("\x9b31m", "\\x9b31m"),
        ("safe\u202egpj.exe", "safe\\u202egpj.exe"),
        ("zero\u200bwidth", "zero\\u200bwidth"),
        ("tag\U000e0041", "tag\\U000e0041"),
        ("\udc80", "\\udc80"),
        ("::error::owned", "\\x3a:error::owned"),
        ("  ::stop-commands::x", "  \\x3a:stop-commands::x"),
        ("##[error]x", "\\x23#[error]x"),
    ],
)
def test_what_hides_is_spelt_out(text, shown):
    assert escaped(text) == shown


@pytest.mark.parametrize(
    "text", ["/data/Ergebnisse für Münster/fold_0", "頭部MRI", "a::b", "C:\\x", "100 % [x] (y)", "é"]
)
def test_ordinary_text_stays_as_it_is(text):
    assert escaped(text) == text


def test_line_breaks_of_our_own_texts_stay():
    assert escaped_lines("one\n  two\x07") == "one\n  two\\x07"
