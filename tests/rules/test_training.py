"""Claims about a training that starts. Each rule fires, and has a twin that must not."""

import pytest

from nnguard.findings import ADVISORY, HARMFUL, NOTE
from nnguard.rules.checks import check_training
from nnguard.rules.subjects import Training
from tests.support.records import AXIS_0_AND_HALF_TURNS, EVERY_FLIP, NO_FLIP, record_of

SUBJECT = "nnUNetTrainerX, Dataset002_Discs, 2d, fold 0"


def judged(record, **training):
    return check_training(record, Training(subject=SUBJECT, **training))


def codes(findings):
    return sorted(finding.code for finding in findings)


def test_a_trainer_that_mirrors_what_it_declares_is_silent():
    assert judged(record_of(EVERY_FLIP)) == []


def test_a_trainer_that_neither_mirrors_nor_declares_is_silent():
    assert judged(record_of(NO_FLIP, declared=None)) == []


def test_declared_axes_that_training_never_mirrors_are_the_trap():
    (finding,) = judged(record_of(NO_FLIP))
    assert (finding.code, finding.severity) == ("NNG103", HARMFUL)
    assert [flip["axes"] for flip in finding.evidence["flips"]] == [[0], [1], [0, 1]]
    assert "self.inference_allowed_mirroring_axes = None" in finding.remedy


def test_half_turns_do_not_make_the_other_axis_trained():
    (finding,) = judged(record_of(AXIS_0_AND_HALF_TURNS, clean=256))
    assert finding.code == "NNG103"
    assert "too rarely" in finding.message
    assert finding.evidence["safe_axes"] == [0]
    assert "self.inference_allowed_mirroring_axes = (0,)" in finding.remedy


def test_one_finding_lists_unseen_and_rare_flips_together():
    (finding,) = judged(record_of({(0,): 30, (0, 1): 2}, clean=64))
    verdicts = {tuple(flip["axes"]): flip["verdict"] for flip in finding.evidence["flips"]}
    assert verdicts == {(1,): "unseen", (0, 1): "rare"}


def test_the_declared_axis_that_is_mirrored_is_silent_beside_half_turns():
    assert judged(record_of(AXIS_0_AND_HALF_TURNS, declared=(0,), clean=256)) == []


def test_declaring_less_than_is_trained_is_a_note():
    (finding,) = judged(record_of(EVERY_FLIP, declared=None))
    assert (finding.code, finding.severity) == ("NNG104", NOTE)


def test_axes_that_correct_narrowed_are_judged_as_they_are_now():
    assert judged(record_of(NO_FLIP, declared=(0, 1), effective=None, changed_by="correct")) == []


@pytest.mark.parametrize("axes", [(), [], 2, (-1,), (0, 0), (0, 1, 2), "01", (0, None), (True,)])
def test_malformed_axes_are_named_before_the_first_epoch(axes):
    (finding,) = judged(record_of(EVERY_FLIP, declared=axes))
    assert (finding.code, finding.severity) == ("NNG105", HARMFUL)


@pytest.mark.parametrize("axes", [[0, 1], (1, 0), (0, 1)])
def test_order_and_kind_of_sequence_do_not_matter(axes):
    assert judged(record_of(EVERY_FLIP, declared=axes)) == []


def test_a_mirror_that_exchanges_labels_is_not_called_unseen():
    record = record_of(EVERY_FLIP, labels={(1,): "swapped", (0, 1): "swapped"}, permutation={1: 2, 2: 1})
    (finding,) = judged(record)
    assert (finding.code, finding.severity) == ("NNG106", HARMFUL)
    assert "1 becomes 2" in finding.message
    assert "inference_allowed_mirroring_axes = (0,)" in finding.remedy


def test_a_mirror_that_keeps_labels_is_silent():
    assert judged(record_of(EVERY_FLIP, labels={(1,): "kept"})) == []


def test_pending_says_nothing_about_mirroring():
    assert judged(record_of(NO_FLIP, state="pending"), own_train_step="x.Mine") == []


def test_pending_does_not_silence_what_is_sure_already():
    assert codes(judged(record_of(NO_FLIP, declared=(), state="pending"), edited_after_start="a mirror is gone")) == [
        "NNG105",
        "NNG115",
    ]


def test_unknown_is_unverified_and_never_a_mismatch():
    (finding,) = judged(record_of(NO_FLIP, state="unknown", reasons=["the loader is Mine"]))
    assert finding.code == "NNG108"
    assert "the loader is Mine" in finding.seen


def test_an_owners_word_is_never_harmful():
    assert {finding.severity for finding in judged(record_of(stated=(0,)))} == {ADVISORY}


def test_image_flipped_without_its_segmentation_is_told():
    (finding,) = judged(record_of(EVERY_FLIP), apart=16)
    assert (finding.code, finding.severity) == ("NNG114", HARMFUL)
    assert finding.evidence["share"] == 0.25
    assert codes(judged(record_of(EVERY_FLIP), apart=0)) == []


def test_an_edit_after_the_workers_started_is_told():
    (finding,) = judged(record_of(EVERY_FLIP), edited_after_start="MirrorTransform was removed")
    assert finding.code == "NNG115"
    assert "MirrorTransform was removed" in finding.seen


def test_always_flipping_hides_the_plain_view():
    assert "NNG113" in codes(judged(record_of({(0,): 64}, declared=None)))


def test_always_flipping_one_of_several_ways_hides_it_too():
    always_the_first = {(0,): 16, (0, 1): 16, (0, 2): 16, (0, 1, 2): 16}
    assert "NNG113" in codes(judged(record_of(always_the_first, declared=None, dims=3)))


def test_three_coins_that_happen_to_miss_the_plain_view_are_no_finding():
    by_chance = {(0,): 9, (1,): 9, (2,): 9, (0, 1): 9, (0, 2): 9, (1, 2): 9, (0, 1, 2): 10}
    assert judged(record_of({**by_chance, (0,): 4, (1,): 14}, declared=(0, 1, 2), dims=3)) == []


def test_a_verdict_that_is_only_an_estimate_says_so_and_is_advisory():
    (finding,) = judged(record_of({(0,): 28, (1,): 1, (0, 1): 1}))
    assert "judged by its estimate" in finding.seen
    assert (finding.code, finding.severity) == ("NNG103", ADVISORY)
    assert "NNGUARD=correct" not in finding.remedy
    (finding,) = judged(record_of({(0,): 120}, clean=256))
    assert "judged by its estimate" not in finding.seen
    assert (finding.code, finding.severity) == ("NNG103", HARMFUL)
    assert "NNGUARD=correct" in finding.remedy


def test_every_finding_says_what_was_seen_what_it_does_and_what_to_do():
    found = [
        *judged(record_of(NO_FLIP), apart=32, edited_after_start="x"),
        *judged(record_of(EVERY_FLIP, declared=None)),
        *judged(record_of(EVERY_FLIP, declared=())),
        *judged(record_of(NO_FLIP, state="unknown")),
        *judged(record_of({(0,): 64}, declared=None)),
        *judged(record_of(EVERY_FLIP, labels={(1,): "mixed"})),
    ]
    assert len({finding.code for finding in found}) == 8
    for finding in found:
        assert finding.message.endswith("."), finding
        assert finding.message.count("\n") == 0
        assert finding.seen, finding
        assert finding.effect.endswith("."), finding
        assert finding.remedy, finding
        assert finding.subject == SUBJECT


@pytest.mark.parametrize(
    ("axes", "state", "declare"),
    [((0, 0), "observed", "(0,)"), ((), "observed", "None"), (2, "observed", "None"), ((0, 0), "unknown", "None")],
)
def test_the_remedy_for_malformed_axes_declares_what_was_meant_as_far_as_it_is_safe(axes, state, declare):
    findings = judged(record_of(EVERY_FLIP, declared=axes, state=state))
    (finding,) = [one for one in findings if one.code == "NNG105"]
    assert f"self.inference_allowed_mirroring_axes = {declare}\n" in finding.remedy


def test_the_trap_says_which_flips_are_never_shown_and_which_too_rarely():
    (finding,) = judged(record_of({(0,): 30, (0, 1): 2}))
    assert "never shows axis 1 (x, usually left-right), and shows axes 0 and 1 together too rarely" in finding.message
    (finding,) = judged(record_of(NO_FLIP))
    assert "never shows" in finding.message
    assert "too rarely" not in finding.message


def test_withheld_mirroring_is_written_as_nnunet_writes_it():
    (finding,) = judged(record_of(EVERY_FLIP, declared=None))
    assert "the trainer declares None" in finding.seen


@pytest.mark.parametrize(("axes", "kept"), [((0, 2), "(0,)"), ((1, 2), "(1,)"), ((2,), "None")])
def test_of_axes_that_the_data_do_not_have_those_stay_that_training_shows(axes, kept):
    (finding,) = judged(record_of(EVERY_FLIP, declared=axes))
    assert f"self.inference_allowed_mirroring_axes = {kept}\n" in finding.remedy
    assert "Training shows (0, 1) in all" in finding.remedy


def test_nothing_is_advised_that_training_does_not_show():
    (finding,) = judged(record_of(AXIS_0_AND_HALF_TURNS, declared=(1, 2), clean=256))
    assert "self.inference_allowed_mirroring_axes = None\n" in finding.remedy
    assert "Training shows (0,) in all" in finding.remedy
    (finding,) = judged(record_of(NO_FLIP, declared=(0, 2)))
    assert "self.inference_allowed_mirroring_axes = None\n" in finding.remedy
    findings = judged(record_of(EVERY_FLIP, declared=(0, 2), state="unknown"))
    (finding,) = [one for one in findings if one.code == "NNG105"]
    assert "self.inference_allowed_mirroring_axes = None\n" in finding.remedy
    assert "Training shows" not in finding.remedy


@pytest.mark.parametrize(("declared", "kept"), [((0, 2), "(0,)"), ((2,), "None")])
def test_the_trap_is_mended_by_no_more_than_was_declared_and_told_what_else_is_shown(declared, kept):
    (finding,) = judged(record_of(EVERY_FLIP, declared=declared, dims=3))
    assert finding.code == "NNG103"
    assert "declare only what training shows of these axes" in finding.remedy
    assert f"self.inference_allowed_mirroring_axes = {kept}\n" in finding.remedy
    assert "Training shows (0, 1) in all; to declare that is sound, too." in finding.remedy


def test_nothing_more_is_told_where_nothing_more_is_shown():
    (finding,) = judged(record_of(AXIS_0_AND_HALF_TURNS, clean=256))
    assert "In your trainer, declare what training shows:" in finding.remedy
    assert "in all" not in finding.remedy


def test_a_declared_axis_that_training_seldom_mirrors_is_advised_to_be_measured():
    (finding,) = judged(record_of({(0,): 205, (1,): 51, (0, 1): 51}, clean=512))
    assert (finding.code, finding.severity) == ("NNG112", ADVISORY)
    assert judged(record_of({(0,): 205, (1,): 51, (0, 1): 51}, declared=(0,), clean=512))[0].code == "NNG104"
