"""Claims about findings and records as people read them."""

import pytest

from nnguard.findings import HARMFUL, Finding
from nnguard.record import TrainerIdentity
from nnguard.report.text import finding_text, findings_text, record_block, silencing
from nnguard.rules.checks import check_prediction
from nnguard.rules.subjects import Prediction
from nnguard.settings import Policy
from tests.support.records import AXIS_0_AND_HALF_TURNS, EVERY_FLIP, NO_FLIP, record_of

PATH = "/models/fold_0/checkpoint_final.pth"


def trap(**prediction):
    (finding,) = check_prediction(
        record_of(NO_FLIP), Prediction(subject=PATH, axes=(0, 1), checkpoint_axes=(0, 1), **prediction)
    )
    return finding


def test_a_finding_reads_from_what_is_wrong_to_how_to_silence_it():
    text = finding_text(trap())
    order = ["NNG101", PATH, "never showed", "Seen:", "Effect:", "Remedy:", "--disable_tta", "nnguard rule NNG101"]
    places = [text.index(part) for part in [*order, "NNGUARD=warn,NNG101=ignore"]]
    assert places == sorted(places)


def test_it_names_rates_draws_the_predictors_axes_and_their_source():
    text = " ".join(finding_text(trap(axes_from="the checkpoint")).split())
    for part in ("never", "64 clean draws", "(0, 1)", "from the checkpoint", "x, usually left-right"):
        assert part in text


def test_silencing_keeps_what_else_is_in_force():
    policy = Policy.parse("strict,NNG102=raise")
    assert silencing("NNG108", policy) == "NNGUARD=strict,NNG102=raise,NNG108=ignore"
    assert (
        Policy.parse(silencing("NNG108", policy).removeprefix("NNGUARD=")).action(Finding("NNG108", "x", "y."))
        == "ignore"
    )


def test_the_worst_comes_first():
    findings = [Finding("NNG501", "a", "Third."), Finding("NNG102", "a", "Second."), Finding("NNG101", "a", "First.")]
    text = findings_text(findings)
    assert text.index("First.") < text.index("Second.") < text.index("Third.")


def test_nothing_from_a_file_reaches_the_terminal_as_it_is():
    finding = Finding(
        "NNG101", "x\x1b[31m\n::error::", "a\u202eb.", seen="s\x07\n::error::t", effect="e\x00.", remedy="r\x1b]0;t\x07"
    )
    text = finding_text(finding)
    assert all(character == "\n" or character.isprintable() for character in text)
    assert not any(line.lstrip().startswith("::") for line in text.split("\n"))


def test_a_long_path_is_not_broken_across_lines():
    path = "/very" * 60 + "/checkpoint_final.pth"
    assert path in finding_text(Finding("NNG101", "x", f"Wrong: {path}.", seen=path))


@pytest.mark.parametrize(
    "record",
    [
        record_of(EVERY_FLIP),
        record_of(NO_FLIP, state="unknown", reasons=["a\x1bb"] * 10),
        record_of(NO_FLIP, state="pending"),
        record_of({(0,): 10, (1,): 10, (2,): 10}, dims=3, declared=(0, 1, 2), transforms=[{"class": "T" * 50}] * 60),
        record_of(stated=(0, 1)),
    ],
    ids=["observed", "unknown", "pending", "large", "declared"],
)
def test_the_block_fits_a_log(record):
    lines = record_block(record).split("\n")
    assert len(lines) <= 25
    assert max(map(len, lines)) <= 260
    assert "\x1b" not in record_block(record)


def test_the_block_tells_each_flip_with_its_rate_and_verdict():
    block = record_block(record_of(AXIS_0_AND_HALF_TURNS, clean=256))
    assert "axis 0 (y, usually front-back)" in block
    assert "47 %" in block
    assert "rare" in block
    assert "safe for test-time mirroring: (0,)" in block
    assert "declared for test-time mirroring: (0, 1)" in block


def test_unknown_is_not_shown_as_none():
    assert "safe for test-time mirroring: not known" in record_block(record_of(NO_FLIP, state="unknown"))
    assert "safe for test-time mirroring: none" in record_block(record_of(NO_FLIP))


def test_the_block_says_who_changed_the_axes():
    block = record_block(record_of(NO_FLIP, effective=None, changed_by="correct"))
    assert "changed by nnguard correct" in block


def test_the_block_lists_the_pipeline_in_order_with_probabilities():
    noise = {"class": "Random", "probability": 0.1, "children": [{"class": "Noise"}]}
    one_of = {"class": "OneOf", "probability": 0.5, "children": [{"class": "A"}, {"class": "B"}]}
    tree = [
        {
            "where": "loader",
            "class": "Compose",
            "children": [{"class": "a.Spatial"}, noise, one_of, {"class": "Mirror"}],
        }
    ]
    assert "pipeline: Spatial, Noise 10 %, A, B, Mirror" in record_block(record_of(EVERY_FLIP, transforms=tree))


@pytest.mark.parametrize("tree", [None, [], {}, "text", {"children": 3}, [{"class": 1}], {"children": [None, []]}])
def test_an_odd_tree_does_no_harm(tree):
    assert "pipeline" not in record_block(record_of(EVERY_FLIP, transforms=tree))


def test_a_tree_of_a_thousand_levels_does_no_harm():
    tree = {"class": "Leaf"}
    for _ in range(900):
        tree = {"class": "Wrapper", "children": [tree]}
    assert len(record_block(record_of(EVERY_FLIP, transforms=tree)).split("\n")) <= 25


def test_a_hostile_name_cannot_forge_a_line_of_the_log():
    trainer = TrainerIdentity(class_="X\nstate: observed", module="x")
    assert "\nstate: observed\n" not in record_block(record_of(NO_FLIP, trainer=trainer, state="unknown"))


def test_a_rate_that_is_not_nothing_does_not_read_as_nothing():
    block = record_block(record_of({(0,): 1}, clean=512))
    assert "< 1 %" in block


def test_advisory_findings_do_not_call_themselves_harmful():
    assert "(harmful)" in finding_text(trap())
    assert trap().severity == HARMFUL
    assert "(harmful)" not in finding_text(Finding("NNG102", "x", "y."))


@pytest.mark.parametrize(
    ("code", "head"),
    [("NNG101", "(harmful)"), ("NNG102", "(advisory: worth a look)"), ("NNG104", "(note: for your information)")],
)
def test_a_severity_is_named_as_fail_level_names_it(code, head):
    assert head in finding_text(Finding(code, "x", "y.")).splitlines()[0]


@pytest.mark.parametrize("mode", ["correct", "correct,NNG102=raise"])
def test_correct_is_not_advised_to_whom_has_it(mode):
    text = finding_text(trap(), Policy.parse(mode))
    assert "NNGUARD=correct\n" not in text
    assert "--disable_tta" in text
    assert f"NNGUARD={mode},NNG101=ignore" in text


@pytest.mark.parametrize("mode", [None, "warn", "strict", "exact"])
def test_correct_is_advised_to_whom_has_it_not(mode):
    assert "Or let nnguard narrow the axes: NNGUARD=correct\n" in finding_text(trap(), mode and Policy.parse(mode))


@pytest.mark.parametrize("width", [40, 60, 80])
def test_paragraphs_keep_to_the_width_and_a_remedy_is_not_broken(width):
    text = finding_text(trap(predict_command="nnUNetv2_predict " + "-i a " * 30), width=width)
    paragraphs = text.split("  Remedy:")[0].splitlines()[1:]
    assert max(map(len, paragraphs)) <= width
    assert "-i a " * 30 in text


@pytest.mark.parametrize("width", range(40, 100))
def test_a_rate_stays_with_its_sign(width):
    finding = Finding("NNG101", "x", "Seen " + ", ".join(f"axis {rate % 3} {rate} % {rate} MB" for rate in range(40)))
    lines = finding_text(finding, width=width).splitlines()
    assert not [line for line in lines if line.lstrip().startswith(("%", "MB"))]
    assert "\x00" not in "".join(lines)
    assert "\xa0" not in "".join(lines)
