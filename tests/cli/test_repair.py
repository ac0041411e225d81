"""Claims about ``nnguard repair`` and ``nnguard annotate``."""

import json
import os
import shutil

import pytest
import torch

from checkpoints import make_record, save_checkpoint, save_model
from nnguard.checkpoint import read_checkpoint
from nnguard.record import Record

AXES = "inference_allowed_mirroring_axes"


def content(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def axes_of(path):
    return read_checkpoint(path).declared_axes


def test_the_trap_is_mended_in_every_fold(nnguard, trapped):
    done = nnguard("repair", trapped)
    assert (done.status, done.err) == (0, "")
    for fold in ("fold_0", "fold_1"):
        checkpoint = read_checkpoint(trapped / fold / "checkpoint_final.pth")
        assert checkpoint.declared_axes is None
        assert checkpoint.record().axes.effective is None
        assert checkpoint.record().axes.declared == [0, 1]
        assert checkpoint.record().axes.changed_by == "repair"
    assert nnguard("check", trapped).status == 0
    assert nnguard("check", trapped, "--fail-level", "advisory").status == 0


def test_torch_loads_the_same_tensors_and_the_new_axes(nnguard, trapped):
    path = trapped / "fold_0/checkpoint_final.pth"
    before = torch.load(path, weights_only=False)
    nnguard("repair", path)
    for mmap in (False, True):
        after = torch.load(path, weights_only=False, mmap=mmap)
        assert after[AXES] is None
        assert all(
            torch.equal(after["network_weights"][key], value) for key, value in before["network_weights"].items()
        )


def test_twice_is_once(nnguard, trapped):
    nnguard("repair", trapped)
    before = content(trapped)
    done = nnguard("repair", trapped)
    assert done.status == 0
    assert "nothing to repair" in done.out
    assert content(trapped) == before


def test_a_backup_is_kept_and_not_overwritten(nnguard, trapped):
    path = trapped / "fold_0/checkpoint_final.pth"
    old = path.read_bytes()
    nnguard("repair", path)
    backup = path.with_name(f"{path.name}.before-nnguard")
    assert backup.read_bytes() == old
    assert axes_of(path) is None


def test_no_backup_is_kept_where_none_is_wanted(nnguard, trapped):
    nnguard("repair", trapped, "--no-backup")
    assert not list(trapped.rglob("*.before-nnguard"))


def test_a_dry_run_writes_nothing(nnguard, trapped):
    before = content(trapped)
    done = nnguard("repair", trapped, "--dry-run")
    assert done.status == 0
    assert "(0, 1) -> None" in done.out
    assert content(trapped) == before


def test_a_sound_model_is_left_alone(nnguard, sound):
    before = content(sound)
    assert nnguard("repair", sound).status == 0
    assert content(sound) == before


@pytest.mark.parametrize(
    ("mirrored", "declared", "after"),
    [((0,), (0, 1), (0,)), ((0, 1), (0,), (0,)), ((0, 1), None, None), ((), (1,), None), ((0, 1), (1, 0), (1, 0))],
)
def test_axes_are_narrowed_and_never_widened(nnguard, tmp_path, mirrored, declared, after):
    path = save_checkpoint(tmp_path / "c.pth", axes=declared, record=make_record(mirrored, declared))
    assert nnguard("repair", path).status == 0
    assert axes_of(path) == after


@pytest.mark.parametrize("malformed", [(), [], (0, 0), (-1,), (0, 1, 2), 1])
def test_malformed_axes_become_well_formed(nnguard, tmp_path, malformed):
    path = save_checkpoint(tmp_path / "c.pth", axes=malformed, record=make_record(declared=malformed))
    assert nnguard("repair", path).status == 0
    assert axes_of(path) is None or set(axes_of(path)) <= {0, 1}
    assert nnguard("inspect", path).status == 0


def test_the_folds_of_an_ensemble_get_what_is_safe_for_all(nnguard, tmp_path):
    save_model(tmp_path, (0,), record=make_record())
    save_checkpoint(tmp_path / "fold_1/checkpoint_final.pth", record=make_record((0,)), fold=1)
    assert nnguard("check", tmp_path).status == 1
    nnguard("repair", tmp_path)
    assert [axes_of(tmp_path / fold / "checkpoint_final.pth") for fold in ("fold_0", "fold_1")] == [(0,), (0,)]
    assert nnguard("check", tmp_path).status == 0


def test_every_checkpoint_of_a_fold_is_mended_unless_one_is_named(nnguard, trapped):
    best = save_checkpoint(trapped / "fold_0/checkpoint_best.pth", record=make_record(mirrored=()))
    nnguard("repair", trapped, "-chk", "checkpoint_final.pth")
    assert axes_of(best) == (0, 1)
    nnguard("repair", trapped)
    assert axes_of(best) is None


def test_unknown_fields_of_a_record_survive(nnguard, tmp_path):
    fields = json.loads(make_record(mirrored=()).to_json())
    fields["of_the_future"] = {"kept": [1, 2]}
    fields["axes"]["why"] = "kept too"
    path = save_checkpoint(tmp_path / "c.pth", record=json.dumps(fields))
    nnguard("repair", path)
    after = json.loads(read_checkpoint(path).record_text)
    assert after["of_the_future"] == {"kept": [1, 2]}
    assert after["axes"]["why"] == "kept too"
    assert after["axes"]["effective"] is None


def test_the_copy_beside_the_checkpoint_follows(nnguard, trapped):
    copy = trapped / "fold_0/nnguard.json"
    copy.write_text(make_record(mirrored=()).to_json())
    nnguard("repair", trapped)
    assert Record.from_json(copy.read_text()).axes.effective is None
    assert Record.from_json(copy.read_text()).axes.changed_by == "repair"


@pytest.mark.parametrize("record", [None, "{", "pending", "unknown"])
def test_without_a_verdict_nothing_is_repaired(nnguard, trapped, record):
    if record in ("pending", "unknown"):
        record = make_record(state=record)
    save_checkpoint(trapped / "fold_1/checkpoint_final.pth", record=record)
    before = content(trapped)
    done = nnguard("repair", trapped)
    assert (done.status, done.out, len(done.err.splitlines())) == (2, "", 1)
    assert content(trapped) == before


def test_a_copied_model_is_validated_anew_under_the_name_of_its_plans(nnguard, trapped):
    summary = trapped / "fold_0/validation/summary.json"
    summary.parent.mkdir()
    summary.write_text("{}")
    os.utime(summary, (0, 0))
    copied = trapped.parent.parent / "a copy" / trapped.name
    shutil.copytree(trapped, copied)
    done = nnguard("repair", copied)
    named = json.loads((copied / "plans.json").read_text())["dataset_name"]
    assert f"nnUNetv2_train {named} 2d 0" in done.out
    assert "a copy' 2d" not in done.out


def test_stale_results_are_listed_with_their_commands_until_made_again(nnguard, trapped):
    summary = trapped / "fold_0/validation/summary.json"
    summary.parent.mkdir()
    summary.write_text("{}")
    os.utime(summary, (0, 0))
    (trapped / "crossval_results_folds_0_1").mkdir()
    (trapped / "predicted_next_stage/3d_cascade_fullres").mkdir(parents=True)
    done = nnguard("repair", trapped)
    assert "NNG402" in done.out
    names = "2d 0 -tr nnUNetTrainerNoMirror -p nnUNetPlans"
    assert f"nnUNetv2_train Dataset002_Discs {names} --val\n" in done.out
    assert "nnUNetv2_train Dataset002_Discs 3d_cascade_fullres 0" in done.out
    assert "nnUNetv2_find_best_configuration Dataset002_Discs -c 2d -tr nnUNetTrainerNoMirror" in done.out
    again = json.loads(nnguard("check", trapped, "-f", "0", "--format", "json").out)
    assert "NNG402" in {finding["code"] for finding in again["findings"]}
    os.utime(summary, (4e9, 4e9))
    os.utime(trapped / "crossval_results_folds_0_1", (4e9, 4e9))
    os.utime(trapped / "predicted_next_stage/3d_cascade_fullres", (4e9, 4e9))
    done = json.loads(nnguard("check", trapped, "-f", "0", "--format", "json").out)
    assert "NNG402" not in {finding["code"] for finding in done["findings"]}


def test_validation_is_repeated_with_the_checkpoint_that_made_it(nnguard, trapped):
    save_checkpoint(trapped / "fold_0/checkpoint_best.pth", record=make_record(mirrored=()))
    (trapped / "fold_0/validation").mkdir()
    assert "--val_best" not in nnguard("repair", trapped).out


def test_repair_as_json(nnguard, trapped):
    data = json.loads(nnguard("repair", trapped, "--format", "json").out)
    assert [change["after"] for change in data["changes"]] == [None, None]
    assert all(change["backup"] for change in data["changes"])


# ---------------------------------------------------------------- annotate


def test_a_statement_is_recorded_as_one(nnguard, tmp_path):
    path = save_checkpoint(tmp_path / "fold_2/c.pth")
    done = nnguard("annotate", path, "--mirror-axes", "0,1", "--reason", "I trained it")
    assert (done.status, done.err) == (0, "")
    record = read_checkpoint(path).record()
    assert record.mirroring.state == "declared"
    assert record.mirroring.safe_axes == (0, 1)
    assert "I trained it" in record.mirroring.reasons
    assert (record.spatial_dims, record.transpose_forward, record.configuration) == (2, [0, 1, 2], "2d")
    assert nnguard("inspect", path, "--fail-level", "note").status == 0


def test_a_statement_against_the_axes_is_advice_and_lets_repair_work(nnguard, tmp_path):
    path = save_checkpoint(tmp_path / "c.pth")
    done = nnguard("annotate", path, "--mirror-axes", "none")
    assert "nnguard repair" in done.out
    assert nnguard("inspect", path).status == 0
    assert nnguard("inspect", path, "--fail-level", "advisory").status == 1
    nnguard("repair", path)
    assert axes_of(path) is None
    assert nnguard("inspect", path, "--fail-level", "note").status == 0


def test_the_same_statement_twice_changes_nothing(nnguard, tmp_path):
    path = save_checkpoint(tmp_path / "c.pth")
    nnguard("annotate", path, "--mirror-axes", "0")
    before = content(tmp_path)
    done = nnguard("annotate", path, "--mirror-axes", "0")
    assert "already" in done.out
    assert content(tmp_path) == before


def test_a_statement_can_be_corrected(nnguard, tmp_path):
    path = save_checkpoint(tmp_path / "c.pth")
    nnguard("annotate", path, "--mirror-axes", "0")
    nnguard("annotate", path, "--mirror-axes", "1")
    assert read_checkpoint(path).record().mirroring.safe_axes == (1,)


def test_an_observed_record_is_not_replaced_by_a_statement(nnguard, sound):
    before = content(sound)
    done = nnguard("annotate", sound / "fold_0/checkpoint_final.pth", "--mirror-axes", "none")
    assert done.status == 2
    assert content(sound) == before


def test_an_unknown_record_is_completed_and_keeps_what_it_knew(nnguard, tmp_path):
    path = save_checkpoint(tmp_path / "c.pth", record=make_record(state="unknown"))
    nnguard("annotate", path, "--mirror-axes", "0,1")
    record = read_checkpoint(path).record()
    assert record.mirroring.state == "declared"
    assert record.environment == make_record().environment


@pytest.mark.parametrize("text", ["", "3", "0,0", "-1", "x", "0;1", "0,2"])
def test_axes_that_cannot_be_are_exit_2(nnguard, tmp_path, text):
    path = save_checkpoint(tmp_path / "c.pth")
    before = content(tmp_path)
    assert nnguard("annotate", path, "--mirror-axes", text).status == 2
    assert content(tmp_path) == before


def test_annotating_dry_writes_nothing(nnguard, tmp_path):
    path = save_checkpoint(tmp_path / "c.pth")
    before = content(tmp_path)
    assert nnguard("annotate", path, "--mirror-axes", "0", "--dry-run").status == 0
    assert content(tmp_path) == before
