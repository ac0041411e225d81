"""Claims about a fliptest as evidence: given to ``repair``, found by ``check``."""

import json

import pytest

from nnguard.checkpoint import read_checkpoint
from nnguard.models.folder import FLIPTEST_FILE
from tests.support.checkpoints import save_checkpoint, save_model
from tests.support.fliptests import document, written
from tests.support.records import record_of

FINAL = "fold_0/checkpoint_final.pth"


def content(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def bare(tmp_path):
    """A model without a record that declares (0, 1)."""
    return save_model(tmp_path / "Dataset002_Discs/nnUNetTrainer__nnUNetPlans__2d")


def model_of(tmp_path, record):
    return save_model(tmp_path / "Dataset003_Discs/nnUNetTrainer__nnUNetPlans__2d", record=record)


def declared(model, name=FINAL):
    return read_checkpoint(model / name).declared_axes


def codes(ran):
    return [(one["code"], one["severity"]) for one in json.loads(ran.out)["findings"]]


# ---------------------------------------------------------------- in the record


def put_back(model):
    """The checkpoint as somebody's hand might leave it: its record as it is, and axes (0, 1) once more."""
    save_checkpoint(model / FINAL, record=read_checkpoint(model / FINAL).record())


def test_what_was_observed_stays_and_the_measurement_stands_beside_it(nnguard, tmp_path):
    model = model_of(tmp_path, record_of())
    file = written(tmp_path / "flips.json", document(model))
    assert nnguard("repair", model / FINAL, "--from-fliptest", file).status == 0
    record = read_checkpoint(model / FINAL).record()
    assert (record.mirroring.state, record.mirroring.safe_axes) == ("observed", (0, 1))
    assert record.measured["fliptest"]["safe_axes"] == [0]
    put_back(model)
    assert ("NNG116", "harmful") in codes(nnguard("check", model, "--format", "json"))


def test_a_measurement_in_the_record_is_judged_without_its_file(nnguard, bare, tmp_path):
    file = written(tmp_path / "flips.json", document(bare))
    nnguard("repair", bare / FINAL, "--from-fliptest", file)
    file.unlink()
    put_back(bare)
    ran = nnguard("check", bare, "--format", "json")
    assert (ran.status, ("NNG116", "harmful") in codes(ran)) == (1, True)
    assert nnguard("repair", bare / FINAL).status == 0
    assert declared(bare) == (0,)
    assert nnguard("check", bare, "--fail-level", "advisory").status == 0


def test_repair_goes_by_a_statement_or_by_a_measurement(nnguard, bare):
    done = nnguard("repair", bare / FINAL, "--state", "0", "--from-fliptest", "x")
    assert (done.status, done.out) == (2, "")
    assert "either --state or --from-fliptest" in done.err


# ---------------------------------------------------------------- repair


def test_without_a_record_the_measured_axes_decide(nnguard, bare, tmp_path):
    file = written(tmp_path / "flips.json", document(bare))
    done = nnguard("repair", bare, "--from-fliptest", file)
    assert (done.status, done.err) == (0, "")
    assert "mirroring axes (0, 1) -> (0,)" in done.out
    record = read_checkpoint(bare / FINAL).record()
    assert (declared(bare), record.mirroring.state, record.axes.changed_by) == ((0,), "measured", "repair")
    assert (record.mirroring.safe_axes, record.measured["fliptest"]["cases"]) == ((0,), 8)
    before = content(bare)
    assert "nothing to repair" in nnguard("repair", bare, "--from-fliptest", file).out
    assert content(bare) == before


@pytest.mark.parametrize(
    ("mirrored", "read", "left"),
    [
        ((), (0,), None),  # issue 2552: harmless along axis 0, and never trained
        ((0, 1), (0,), (0,)),  # shown and not learnt
        ((0,), (0, 1), (0,)),
        ((0,), (1,), None),
        ((0, 1), (), None),
        ((0, 1), (0, 1), (0, 1)),
    ],
)
def test_an_observed_training_and_a_measurement_leave_what_both_allow(nnguard, tmp_path, mirrored, read, left):
    model = model_of(tmp_path, record_of(mirrored=mirrored))
    file = written(tmp_path / "flips.json", document(model, read))
    assert nnguard("repair", model, "--from-fliptest", file).status == 0
    assert declared(model) == left
    # Repairing once more, by the record alone, widens nothing.
    assert nnguard("repair", model).status == 0
    assert declared(model) == left


def test_repair_never_widens_what_is_declared(nnguard, tmp_path):
    model = save_model(tmp_path / "Dataset002_Discs/nnUNetTrainer__nnUNetPlans__2d", axes=(0,))
    file = written(tmp_path / "flips.json", document(model, (0, 1)))
    assert "only its record" in nnguard("repair", model, "--from-fliptest", file).out
    assert declared(model) == (0,)
    assert read_checkpoint(model / FINAL).record().measured["fliptest"]["safe_axes"] == [0, 1]
    assert "nothing to repair" in nnguard("repair", model, "--from-fliptest", file).out


def test_a_statement_of_the_owner_gives_way_to_a_measurement(nnguard, bare, tmp_path):
    nnguard("repair", bare / FINAL, "--state", "0,1")
    file = written(tmp_path / "flips.json", document(bare, ()))
    assert nnguard("repair", bare, "--from-fliptest", file).status == 0
    assert declared(bare) is None


@pytest.mark.parametrize("claimed", [[0, 1], [7]])
def test_what_is_safe_follows_from_the_flips_whatever_the_file_claims(nnguard, bare, tmp_path, claimed):
    file = written(tmp_path / "flips.json", document(bare, (0,), safe_axes=claimed))
    assert nnguard("repair", bare, "--from-fliptest", file).status == 0
    assert declared(bare) == (0,)
    assert read_checkpoint(bare / FINAL).record().measured["fliptest"]["safe_axes"] == [0]


def test_flips_that_stay_open_are_not_safe(nnguard, bare, tmp_path):
    file = written(tmp_path / "flips.json", document(bare, labels=False))
    assert nnguard("repair", bare, "--from-fliptest", file).status == 0
    assert declared(bare) == (0,)


def test_what_was_not_tested_is_left_alone_and_named(nnguard, bare, tmp_path):
    file = written(tmp_path / "flips.json", document(bare, folds=(0,)))
    save_checkpoint(bare / "fold_0/checkpoint_best.pth")
    save_checkpoint(bare / "fold_1/checkpoint_final.pth", fold=1)
    done = nnguard("repair", bare, "--from-fliptest", file)
    assert done.status == 0
    for name in ("fold_0/checkpoint_best.pth", "fold_1/checkpoint_final.pth"):
        assert f"{bare / name}: was not tested" in done.out
        assert declared(bare, name) == (0, 1)
    asked = nnguard("repair", bare, "-f", "1", "--from-fliptest", file)
    assert asked.status == 2
    assert "fold 1 was not tested" in asked.err


def test_the_stale_validation_of_a_model_without_a_record_is_named(nnguard, bare, tmp_path):
    (bare / "fold_0/validation").mkdir()
    (bare / "fold_0/validation/summary.json").write_text('{"foreground_mean": {"Dice": 0.4}}')
    file = written(tmp_path / "flips.json", document(bare))
    assert "NNG402" in nnguard("repair", bare, "--from-fliptest", file).out


# ---------------------------------------------------------------- refused


def flawed(model, name):
    sound = document(model)
    if name == "truncated":
        return json.dumps(sound)[:-40]
    if name == "foreign":
        return json.dumps({"findings": []})
    if name == "no json":
        return "\x00\x01"
    changes = {
        "newer": {"schema_version": 2, "flips": "another shape"},
        "another trainer": {"model": {**sound["model"], "trainer": "nnUNetTrainerX"}},
        "another configuration": {"model": {**sound["model"], "configuration": "3d_fullres"}},
        "flips missing": {"flips": sound["flips"][:1]},
        "an unknown verdict": {"flips": [{**flip, "verdict": "fine"} for flip in sound["flips"]]},
        "3D": {"spatial_dims": 3},
        "few cases": {"cases": 2},
    }
    return json.dumps({**sound, **changes[name]})


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("truncated", "is not what nnguard fliptest -o writes"),
        ("foreign", "is not what nnguard fliptest -o writes"),
        ("no json", "is not what nnguard fliptest -o writes"),
        ("newer", "has schema_version 2, and this nnguard reads 1: upgrade nnguard"),
        ("another trainer", "the tested trainer is nnUNetTrainerX"),
        ("another configuration", "the tested configuration is 3d_fullres"),
        ("flips missing", "its flips are not the 3 of 2D data"),
        ("an unknown verdict", "a flip's verdict is none of"),
        ("3D", "its flips are not the 7 of 3D data"),
        ("few cases", "has a verdict on 2 cases, and one takes 5"),
    ],
)
def test_what_is_no_evidence_about_this_model_is_one_line_and_nothing_is_written(nnguard, bare, tmp_path, name, said):
    file = written(tmp_path / "flips.json", flawed(bare, name))
    before = content(bare)
    done = nnguard("repair", bare / FINAL, "--from-fliptest", file)
    assert (done.status, done.out) == (2, "")
    assert said in done.err
    assert len(done.err.splitlines()) == 1
    assert content(bare) == before


def test_other_weights_under_the_same_name_are_refused(nnguard, bare, tmp_path):
    file = written(tmp_path / "flips.json", document(bare))
    other = save_checkpoint(bare / FINAL, network_weights={})
    done = nnguard("repair", other, "--from-fliptest", file)
    assert done.status == 2
    assert "its weights are not those that were tested" in done.err


def test_a_file_that_is_not_there_and_cases_too_few_to_tell(nnguard, bare, tmp_path):
    done = nnguard("repair", bare, "--from-fliptest", tmp_path / "none.json")
    assert (done.status, len(done.err.splitlines())) == (2, 1)
    few = written(tmp_path / "flips.json", document(bare, cases=4))
    done = nnguard("repair", bare, "--from-fliptest", few)
    assert done.status == 2
    assert "its 4 cases settled no flip; a verdict takes 5 cases" in done.err
    assert declared(bare) == (0, 1)


def test_what_a_statement_writes_leaves_the_evidence_about_the_weights(nnguard, bare, tmp_path):
    file = written(tmp_path / "flips.json", document(bare))
    nnguard("repair", bare / FINAL, "--state", "none")
    assert nnguard("repair", bare, "--from-fliptest", file).status == 0


# ---------------------------------------------------------------- check, audit, inspect


def test_a_fliptest_in_the_model_folder_is_found_and_settles_the_unverified(nnguard, bare):
    assert ("NNG108", "advisory") in codes(nnguard("check", bare, "--format", "json"))
    written(bare, document(bare))
    ran = nnguard("check", bare, "--format", "json")
    assert ran.status == 1
    assert codes(ran) == [("NNG116", "harmful")]
    (finding,) = json.loads(ran.out)["findings"]
    assert finding["evidence"]["grade"] == "fliptest"
    assert f"--from-fliptest {bare / FLIPTEST_FILE}" in finding["remedy"]
    assert "costs 0.47 Dice" in finding["evidence"]["effect"]


def test_a_network_that_reads_every_flip_passes_without_a_record(nnguard, bare):
    written(bare, document(bare, (0, 1)))
    assert codes(nnguard("check", bare, "--format", "json")) == []
    assert nnguard("check", bare, "--fail-level", "note").status == 0


def test_without_mirroring_a_measured_model_has_nothing_to_answer_for(nnguard, bare):
    written(bare, document(bare))
    assert nnguard("check", bare, "--disable_tta").status == 0


def test_flips_left_open_are_unverified_and_never_harmful(nnguard, bare):
    written(bare, document(bare, labels=False))
    ran = nnguard("check", bare, "--format", "json")
    assert (ran.status, codes(ran)) == (0, [("NNG108", "advisory")])
    assert "low agreement does not tell which of two answers is wrong" in ran.out


def test_untrained_stays_untrained_however_harmless_it_was_measured(nnguard, tmp_path):
    model = model_of(tmp_path, record_of(mirrored=()))
    written(model, document(model, (0, 1)))
    assert ("NNG101", "harmful") in codes(nnguard("check", model, "--format", "json"))


def test_of_one_flip_only_one_rule_speaks(nnguard, tmp_path):
    model = model_of(tmp_path, record_of(mirrored=()))
    written(model, document(model, ()))
    assert [code for code, _ in codes(nnguard("check", model, "--format", "json"))] == ["NNG101"]


@pytest.mark.parametrize(
    ("name", "trained", "severity"),
    [
        ("truncated", None, "advisory"),
        ("newer", None, "advisory"),
        ("another trainer", None, "advisory"),
        ("another trainer", record_of(mirrored=(0, 1)), "note"),
    ],
    ids=repr,
)
def test_a_file_that_is_not_used_is_said(nnguard, tmp_path, name, trained, severity):
    bare = model_of(tmp_path, trained)
    written(bare, flawed(bare, name))
    found = codes(nnguard("check", bare, "--format", "json"))
    assert ("NNG116", "harmful") not in found
    unverified = [] if trained is not None else [("NNG108", "advisory")]
    assert [one for one in found if one[0] == "NNG108"] == sorted([*unverified, ("NNG108", severity)])


def test_the_audit_shows_what_the_verdict_rests_on(nnguard, bare):
    written(bare, document(bare))
    ran = nnguard("audit", bare.parent)
    assert ran.status == 1
    assert "fliptest" in ran.out
    assert "NNG116" in ran.out
    (bare / FLIPTEST_FILE).unlink()
    assert "fliptest " not in nnguard("audit", bare.parent).out


@pytest.mark.parametrize("kept", ["in the folder", "in the record"])
def test_inspect_shows_what_was_measured(nnguard, bare, tmp_path, kept):
    file = written(bare if kept == "in the folder" else tmp_path / "flips.json", document(bare))
    if kept == "in the record":
        nnguard("repair", bare / FINAL, "--from-fliptest", file)
    shown = nnguard("inspect", bare / FINAL).out
    assert "nnguard fliptest, 8 cases" in shown
    assert "plain Dice 0.970" in shown
    assert "flip (1,)" in shown
    data = json.loads(nnguard("inspect", bare / FINAL, "--format", "json").out)
    assert [flip["verdict"] for flip in data["fliptest"]["flips"]] == ["safe", "harmful", "harmful"]
