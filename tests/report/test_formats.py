"""Claims about results as JSON, tables and a page."""

import io
import json
from html.parser import HTMLParser

import pytest

from nnguard.findings import Finding
from nnguard.report.audit_rows import ModelReport, gravest_first
from nnguard.report.console import make_console, print_rows, rows_table, summary_line
from nnguard.report.html import audit_page
from nnguard.report.json import findings_document, json_text

HOSTILE = "x\x1b[31m\n::error::owned\r\u202e<script>alert(1)</script>[bold]:smile:,100%"


def finding(code="NNG101", subject="models/fold_0/checkpoint_final.pth", message="Wrong.", **more):
    return Finding(code, subject, message, **{"seen": "Seen.", "effect": "Effect.", "remedy": "Do\n    this", **more})


NASTY = Finding("NNG101", HOSTILE, HOSTILE, seen=HOSTILE, effect=HOSTILE, remedy=HOSTILE, evidence={HOSTILE: HOSTILE})


@pytest.fixture(autouse=True)
def no_columns(monkeypatch):
    monkeypatch.delenv("COLUMNS", raising=False)


# JSON


def test_the_document_has_the_contracts_shape():
    document = json.loads(json_text(findings_document([finding()], ["m"], ["s"], ["e"])))
    assert list(document) == ["schema_version", "findings", "checked", "skipped", "errors"]
    assert list(document["findings"][0]) == ["code", "name", "severity", "message", "subject", "evidence", "remedy"]


def test_json_says_what_was_in_the_file_and_shows_none_of_it():
    text = json_text(findings_document([NASTY]))
    assert text.isascii()
    assert all(character == "\n" or character.isprintable() for character in text)
    assert json.loads(text)["findings"][0]["subject"] == HOSTILE


def test_numbers_that_json_lacks_become_null():
    document = findings_document([finding(evidence={"rate": float("nan"), "flips": (1, float("inf")), 1: {2}})])
    evidence = json.loads(json_text(document), parse_constant=pytest.fail)["findings"][0]["evidence"]
    assert evidence["rate"] is None
    assert evidence["flips"] == [1, None]


def test_evidence_of_a_thousand_levels_is_cut():
    value = 1
    for _ in range(900):
        value = [value]
    assert "nested too deeply" in json_text(findings_document([finding(evidence={"deep": value})]))


# tables


def row(subject, findings=(), error=None, grade="record", **more):
    return ModelReport(subject=subject, grade=grade, findings=list(findings), errors=[error] if error else [], **more)


ROWS = [
    row("models/sound"),
    row("models/trap", [finding()]),
    row("models/odd", [finding("NNG102")]),
    row("models/old", [finding("NNG108")], grade="debug.json"),
    row("models/broken", error="truncated"),
]


def printed(table, width=None, **file):
    stream = io.StringIO()
    stream.isatty = lambda: bool(file)
    console = make_console(stream)
    if width:
        console.width = width
    console.print(table)
    return stream.getvalue()


def test_the_gravest_comes_first_and_unreadable_is_no_pass():
    assert [one.verdict for one in gravest_first(ROWS)] == ["unreadable", "harmful", "advisory", "advisory", "clean"]
    assert summary_line(ROWS) == "5 models: 1 unreadable, 1 harmful, 2 advisory, 1 clean"


def test_the_grade_is_shown():
    assert {one.subject: one.grade for one in ROWS}["models/old"] == "debug.json"
    assert "debug.json" in printed(rows_table(ROWS))


def test_a_pipe_gets_no_colour_and_whole_paths():
    long = "/very" * 50 + "/model"
    text = printed(rows_table([row(long, [finding()])]))
    assert "\x1b" not in text
    assert long in text


@pytest.mark.parametrize("width", [20, 40, 90, 200])
def test_a_narrow_terminal_loses_nothing(width):
    stream = io.StringIO()
    console = make_console(stream)
    console.width = width
    print_rows(console, [row("models/trap", [finding()], facts={"trainer": "nnUNetTrainerX"})], ["trainer"])
    text = stream.getvalue()
    assert max(map(len, text.splitlines())) <= width
    for part in ("models/trap", "NNG101", "harmful", "record", "Wrong.", "nnUNetTrainerX"):
        assert part in text


def test_no_color_is_respected_on_a_terminal(monkeypatch):
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert "\x1b[" in printed(rows_table(ROWS), tty=True)
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[3" not in printed(rows_table(ROWS), tty=True)


def test_a_path_is_no_markup():
    text = printed(rows_table([row("a[bold]b[/bold]:smile:", error=HOSTILE)]))
    assert "a[bold]b[/bold]:smile:" in text
    assert "\x1b" not in text
    assert "\u202e" not in text


def test_what_does_not_fit_goes_on_below_as_far_in(monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    stream = io.StringIO()
    print_rows(make_console(stream), [row("models/trap", [finding(message="The predictor mirrors " + "axes " * 20)])])
    head, *lines = stream.getvalue().splitlines()
    assert head.startswith("harmful")
    assert len(lines) > 3
    assert all(line.startswith("  ") and line == line.rstrip() for line in lines)


@pytest.mark.parametrize(("columns", "whole"), [("60", False), ("", True), ("0", True), ("wide", True)])
def test_columns_is_followed_in_a_pipe_where_it_is_a_number(monkeypatch, columns, whole):
    monkeypatch.setenv("COLUMNS", columns)
    assert (("/very" * 50) in printed(rows_table([row("/very" * 50, [finding()])]))) is whole


# the page


class Tags(HTMLParser):
    """Collects what a browser would see."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.attributes, self.text = [], [], ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, *attribute) for attribute in attrs]

    def handle_data(self, data):
        self.text += data


def page(rows, **more):
    return audit_page(rows, title="results", made_at="2025-01-02 03:04", version="0.1.0", **more)


def test_the_page_needs_nothing_from_elsewhere():
    seen = Tags(page(ROWS))
    assert not {"img", "link", "iframe", "object", "base", "form"} & set(seen.tags)
    assert not [attribute for attribute in seen.attributes if attribute[1] in ("src", "href")]
    assert "default-src 'none'" in page(ROWS)


def test_the_page_shows_every_model_gravest_first():
    text = Tags(page(ROWS)).text
    places = [text.index(name) for name in ("models/broken", "models/trap", "models/odd", "models/sound")]
    assert places == sorted(places)
    assert "1 unreadable" in " ".join(text.split())


def test_the_page_sorts_verdicts_by_gravity_and_not_by_letter():
    keys = {value for tag, name, value in Tags(page(ROWS)).attributes if tag == "td" and name == "data-key"}
    assert {"0", "1", "2", "4"} <= keys


def test_hostile_text_is_text_on_the_page():
    html = page([row(HOSTILE, [NASTY], facts={"trainer": HOSTILE})], facts=["trainer"], skipped=[HOSTILE])
    seen = Tags(html)
    assert seen.tags.count("script") == 1
    assert "<script>alert(1)</script>" not in html
    assert "\x1b" not in html
    assert "\u202e" not in html


def test_an_audit_of_nothing_says_so():
    assert "No model was found" in page([])


def test_what_was_skipped_is_listed():
    assert "models/v1: nnU-Net v1" in Tags(page(ROWS, skipped=["models/v1: nnU-Net v1"])).text
