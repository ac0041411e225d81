"""Claims about ``nnguard repair``, and about what its ``--state`` writes."""

import json
import os

import msgspec
import pytest
import torch

from nnguard.checkpoint import read_checkpoint
from nnguard.hooks.sidecar import saved_weights, write_copy
from nnguard.models.folder import open_fold
from nnguard.models.provenance import weights_belong
from nnguard.record import Record, RecordCopy
from tests.support.checkpoints import export, save_checkpoint, save_model
from tests.support.fliptests import document, written
from tests.support.records import AXIS_0_AND_HALF_TURNS, AXIS_1_BY_ESTIMATE_RARE, record_of

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
    path = save_checkpoint(tmp_path / "c.pth", axes=declared, record=record_of(mirrored=mirrored, declared=declared))
    assert nnguard("repair", path).status == 0
    assert axes_of(path) == after


@pytest.mark.parametrize(
    ("counts", "after"), [(AXIS_1_BY_ESTIMATE_RARE, (0, 1)), (AXIS_0_AND_HALF_TURNS, (0,))], ids=["estimate", "settled"]
)
def test_an_estimate_narrows_nothing_and_what_is_settled_does(nnguard, tmp_path, counts, after):
    path = save_checkpoint(tmp_path / "c.pth", record=record_of(counts, clean=256))
    assert nnguard("repair", path).status == 0
    assert axes_of(path) == after


def test_repair_is_not_advised_where_it_would_change_nothing(nnguard, tmp_path):
    path = save_checkpoint(tmp_path / "c.pth", record=record_of({(0,): 20, (1,): 20}, clean=64))
    done = nnguard("inspect", path)
    assert ("NNG101" in done.out, "nnguard repair" in done.out, "nnguard fliptest" in done.out) == (True, False, True)


@pytest.mark.parametrize("malformed", [(), [], (0, 0), (-1,), (0, 1, 2), 1])
def test_malformed_axes_become_well_formed(nnguard, tmp_path, malformed):
    path = save_checkpoint(tmp_path / "c.pth", axes=malformed, record=record_of(declared=malformed))
    assert nnguard("repair", path).status == 0
    assert axes_of(path) is None or set(axes_of(path)) <= {0, 1}
    assert nnguard("inspect", path).status == 0


def test_the_folds_of_an_ensemble_get_what_is_safe_for_all(nnguard, tmp_path):
    save_model(tmp_path, (0,), record=record_of())
    save_checkpoint(tmp_path / "fold_1/checkpoint_final.pth", record=record_of(mirrored=(0,)), fold=1)
    assert f"nnguard repair {tmp_path}\n" in nnguard("check", tmp_path).out
    alone = nnguard("repair", tmp_path / "fold_0/checkpoint_final.pth", "--dry-run")
    together = nnguard("repair", tmp_path)
    assert "safe for all of them" in together.out
    assert "safe for all of them" not in alone.out
    assert [axes_of(tmp_path / fold / "checkpoint_final.pth") for fold in ("fold_0", "fold_1")] == [(0,), (0,)]
    assert nnguard("check", tmp_path).status == 0


def test_every_checkpoint_of_a_fold_is_mended_unless_one_is_named(nnguard, trapped):
    best = save_checkpoint(trapped / "fold_0/checkpoint_best.pth", record=record_of(mirrored=()))
    nnguard("repair", trapped, "-chk", "checkpoint_final.pth")
    assert axes_of(best) == (0, 1)
    nnguard("repair", trapped)
    assert axes_of(best) is None


def test_unknown_fields_of_a_record_survive(nnguard, tmp_path):
    fields = json.loads(record_of(mirrored=()).to_json())
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
    copy.write_text(record_of(mirrored=()).to_json())
    nnguard("repair", trapped)
    assert Record.from_json(copy.read_text()).axes.effective is None
    assert Record.from_json(copy.read_text()).axes.changed_by == "repair"


# ---------------------------------------------------------------- what cannot be repaired


def without_a_verdict(path, kind):
    record = record_of(state=kind) if kind in ("pending", "unknown") else kind
    return save_checkpoint(path, record=record)


WITHOUT_A_VERDICT = [(None, "has no nnguard record"), ("{", "not the JSON text"), ("pending", "state is pending")]
WITHOUT_A_VERDICT += [("unknown", "state is unknown")]


@pytest.mark.parametrize(("kind", "why"), WITHOUT_A_VERDICT)
@pytest.mark.parametrize("name", ["fold_0/checkpoint_best.pth", "fold_1/checkpoint_final.pth"])
def test_what_there_is_nothing_to_repair_by_is_left_and_named_and_the_others_are_repaired(
    nnguard, trapped, name, kind, why
):
    left = without_a_verdict(trapped / name, kind)
    before = left.read_bytes()
    done = nnguard("repair", trapped)
    assert done.status == 2
    (line,) = done.err.splitlines()
    assert line.startswith(f"nnguard: not repaired: {left}: ")
    assert why in line
    assert left.read_bytes() == before
    repaired = [path for path in trapped.rglob("*.pth") if path != left]
    assert [axes_of(path) for path in repaired] == [None] * len(repaired)
    assert done.out.count("(0, 1) -> None") == len(repaired)
    again = nnguard("repair", trapped)
    assert (again.status, again.out.count("nothing to repair")) == (2, len(repaired))


@pytest.mark.parametrize(("kind", "why"), WITHOUT_A_VERDICT)
def test_one_checkpoint_without_a_verdict_is_one_line(nnguard, trapped, kind, why):
    path = without_a_verdict(trapped / "fold_1/checkpoint_final.pth", kind)
    before = content(trapped)
    done = nnguard("repair", path)
    assert (done.status, done.out, len(done.err.splitlines())) == (2, "", 1)
    assert why in done.err
    assert content(trapped) == before


def test_where_nothing_can_be_repaired_each_checkpoint_has_its_line(nnguard, trapped):
    for fold in ("fold_0", "fold_1"):
        save_checkpoint(trapped / fold / "checkpoint_final.pth")
    before = content(trapped)
    done = nnguard("repair", trapped)
    assert (done.status, done.out, len(done.err.splitlines())) == (2, "", 2)
    assert content(trapped) == before


def test_an_unreadable_checkpoint_and_one_that_cannot_be_written_stop_no_other(nnguard, trapped):
    (trapped / "fold_0/checkpoint_best.pth").write_bytes(b"not a checkpoint")
    linked = trapped / "fold_1/checkpoint_final.pth"
    os.link(linked, trapped / "another name")
    before = linked.read_bytes()
    done = nnguard("repair", trapped, "--format", "json")
    assert done.status == 2
    told = json.loads(done.out)
    assert [change["path"] for change in told["changes"]] == [str(trapped / "fold_0/checkpoint_final.pth")]
    assert {one["path"]: "hard links" in one["reason"] for one in told["not_repaired"]} == {
        str(trapped / "fold_0/checkpoint_best.pth"): False,
        str(linked): True,
    }
    assert linked.read_bytes() == before
    assert axes_of(trapped / "fold_0/checkpoint_final.pth") is None


def test_where_everything_is_repaired_nothing_is_listed_as_left(nnguard, trapped):
    done = nnguard("repair", trapped, "--format", "json")
    assert (done.status, json.loads(done.out)["not_repaired"]) == (0, [])


def test_a_dry_run_lists_what_it_could_not_repair_and_writes_nothing(nnguard, trapped):
    save_checkpoint(trapped / "fold_1/checkpoint_final.pth")
    before = content(trapped)
    done = nnguard("repair", trapped, "--dry-run")
    assert (done.status, len(done.err.splitlines())) == (2, 1)
    assert "(0, 1) -> None (dry run" in done.out
    assert content(trapped) == before


def test_folds_without_a_verdict_do_not_widen_what_is_safe_for_the_others(nnguard, tmp_path):
    save_model(tmp_path, (0,), record=record_of())
    save_checkpoint(tmp_path / "fold_1/checkpoint_final.pth", record=record_of(mirrored=(0,)), fold=1)
    save_checkpoint(tmp_path / "fold_2/checkpoint_final.pth", fold=2)
    assert nnguard("repair", tmp_path).status == 2
    assert [axes_of(tmp_path / f"fold_{fold}/checkpoint_final.pth") for fold in range(3)] == [(0,), (0,), (0, 1)]


# ---------------------------------------------------------------- nnguard.json


def copied(path, record, **more):
    """The copy as nnguard leaves it beside a checkpoint."""
    write_copy(path.parent, record, {path.name: saved_weights(path, record.written_at), **more})
    return path.parent / "nnguard.json"


def without_the_key(path):
    """As load-and-save by a tool that knows nothing of the key."""
    loaded = torch.load(path, weights_only=False)
    del loaded["nnguard"]
    torch.save(loaded, path)


def the_same_but(text, record, *names):
    """Whether a copy says what a record says, and of the names the same as the record's."""
    weights = RecordCopy.from_json(text).weights
    return Record.from_json(text) == record and all(weights[name].written_at == record.written_at for name in names)


def test_a_lost_record_is_put_back_and_the_axes_are_narrowed_by_it(nnguard, trapped):
    path = trapped / "fold_0/checkpoint_final.pth"
    copied(path, record_of(mirrored=()))
    without_the_key(path)
    assert nnguard("check", trapped, "-f", "0").status == 1
    done = nnguard("repair", path)
    assert (done.status, done.err) == (0, "")
    assert "(0, 1) -> None; its record is put back from nnguard.json" in done.out
    record = read_checkpoint(path).record()
    assert record.mirroring == record_of(mirrored=()).mirroring
    assert (record.axes.effective, record.axes.changed_by) == (None, "repair")
    assert the_same_but((path.parent / "nnguard.json").read_text(), record, path.name)
    assert nnguard("check", trapped, "-f", "0", "--fail-level", "note").status == 0
    before = content(trapped)
    assert "nothing to repair" in nnguard("repair", path).out
    assert content(trapped) == before


def test_the_lost_record_of_a_sound_model_is_put_back_as_it_was_and_no_axis_moves(nnguard, sound):
    path = sound / "fold_0/checkpoint_final.pth"
    text = read_checkpoint(path).record_text
    copied(path, record_of())
    without_the_key(path)
    done = nnguard("repair", path)
    assert done.status == 0
    assert "its record is put back from nnguard.json" in done.out
    read = read_checkpoint(path)
    assert (json.loads(read.record_text), read.declared_axes) == (json.loads(text), (0, 1))


def test_a_copy_of_other_weights_is_no_record_to_repair_by(nnguard, trapped):
    path = trapped / "fold_0/checkpoint_final.pth"
    copied(path, record_of(mirrored=()))
    save_checkpoint(path, network_weights={})
    before = content(trapped)
    done = nnguard("repair", path)
    assert (done.status, done.out, len(done.err.splitlines())) == (2, "", 1)
    assert (
        "nnguard.json beside it is not taken for its own: its fingerprint is not that of what the checkpoint now holds"
        in done.err
    )
    assert "--state AXES" in done.err
    assert content(trapped) == before


def test_a_lost_record_is_better_evidence_than_a_statement(nnguard, trapped):
    path = trapped / "fold_0/checkpoint_final.pth"
    copied(path, record_of(mirrored=()))
    without_the_key(path)
    before = content(trapped)
    done = nnguard("repair", path, "--state", "0,1")
    assert done.status == 2
    assert f"nnguard repair {path}" in done.err
    assert content(trapped) == before


def test_the_copy_follows_a_statement_and_still_belongs(nnguard, tmp_path):
    record = record_of(state="unknown")
    path = save_checkpoint(tmp_path / "fold_0/checkpoint_final.pth", record=record)
    other = saved_weights(path, "2024-01-01T00:00:00Z")
    copy = copied(path, record)
    copy.write_text(json.dumps({**json.loads(copy.read_text()), "tomorrow": 1, "weights": weights_and(copy, other)}))
    assert nnguard("repair", path, "--state", "0").status == 0
    stated = read_checkpoint(path).record()
    kept = json.loads(copy.read_text())
    assert kept.pop("tomorrow") == 1
    assert kept["weights"]["checkpoint_best.pth"]["written_at"] == "2024-01-01T00:00:00Z"
    assert the_same_but(json.dumps(kept), stated, path.name)
    assert weights_belong(open_fold(path)) is True
    without_the_key(path)
    assert open_fold(path).record.mirroring == stated.mirroring


def weights_and(copy, other):
    return {**json.loads(copy.read_text())["weights"], "checkpoint_best.pth": msgspec.to_builtins(other)}


def test_the_copy_follows_a_measurement(nnguard, tmp_path):
    model = save_model(tmp_path / "Dataset002_Discs/nnUNetTrainer__nnUNetPlans__2d", record=record_of())
    path = model / "fold_0/checkpoint_final.pth"
    copy = copied(path, record_of())
    file = written(tmp_path / "flips.json", document(model))
    assert nnguard("repair", path, "--from-fliptest", file).status == 0
    record = read_checkpoint(path).record()
    assert record.measured["fliptest"]["cases"] == 8
    assert the_same_but(copy.read_text(), record, path.name)
    assert weights_belong(open_fold(path)) is True


def another_checkpoints(path, copy):
    copy.write_text(json.dumps({**json.loads(copy.read_text()), "written_at": "2026-01-01T00:00:00Z"}))


def of_other_weights(path, copy):
    fields = json.loads(copy.read_text())
    fields["weights"][path.name]["fingerprint"] = "crc32:00000000:3:10368"
    copy.write_text(json.dumps(fields))


@pytest.mark.parametrize("another", [another_checkpoints, of_other_weights])
@pytest.mark.parametrize("command", [["repair"], ["repair", "--state", "none"]])
def test_a_copy_that_is_not_this_checkpoints_stays_as_it_is(nnguard, tmp_path, command, another):
    record = record_of(mirrored=()) if command == ["repair"] else record_of(state="unknown")
    path = save_checkpoint(tmp_path / "fold_0/checkpoint_final.pth", record=record)
    copy = copied(path, record)
    another(path, copy)
    before = copy.read_bytes()
    assert nnguard(command[0], path, *command[1:]).status == 0
    assert copy.read_bytes() == before


def test_a_dry_run_leaves_the_copy(nnguard, trapped):
    copy = copied(trapped / "fold_0/checkpoint_final.pth", record_of(mirrored=()))
    before = copy.read_bytes()
    nnguard("repair", trapped, "--dry-run")
    assert copy.read_bytes() == before


def test_a_repair_that_was_cut_off_before_the_copy_is_finished_by_the_next(nnguard, trapped):
    path = trapped / "fold_0/checkpoint_final.pth"
    copy = copied(path, record_of(mirrored=()))
    before = copy.read_bytes()
    nnguard("repair", path)
    copy.write_bytes(before)
    assert "only its record is brought up to date" in nnguard("repair", path).out
    assert RecordCopy.from_json(copy.read_text()).axes.effective is None


# ---------------------------------------------------------------- results that grew old


def test_stale_results_are_listed_until_made_anew(nnguard, trapped):
    summary = trapped / "fold_0/validation/summary.json"
    summary.parent.mkdir()
    summary.write_text("{}")
    (trapped / "crossval_results_folds_0_1").mkdir()
    (trapped / "predicted_next_stage/3d_cascade_fullres").mkdir(parents=True)
    done = nnguard("repair", trapped)
    assert "NNG402" in done.out
    for words in ("validate fold_0", "train the next stage (3d_cascade_fullres)", "nnUNetv2_find_best_configuration"):
        assert words in " ".join(done.out.split())
    again = json.loads(nnguard("check", trapped, "-f", "0", "--format", "json").out)
    assert "NNG402" in {finding["code"] for finding in again["findings"]}
    summary.write_text('{"foreground_mean": {"Dice": 0.9}}')
    done = json.loads(nnguard("check", trapped, "-f", "0", "--format", "json").out)
    assert "NNG402" not in {finding["code"] for finding in done["findings"]}


def test_repair_as_json(nnguard, trapped):
    data = json.loads(nnguard("repair", trapped, "--format", "json").out)
    assert [change["after"] for change in data["changes"]] == [None, None]
    assert all(change["backup"] for change in data["changes"])


# ---------------------------------------------------------------- stated


def test_a_statement_is_recorded_as_one(nnguard, tmp_path):
    path = save_checkpoint(tmp_path / "fold_2/c.pth")
    done = nnguard("repair", path, "--state", "0,1", "--reason", "I trained it")
    assert (done.status, done.err) == (0, "")
    record = read_checkpoint(path).record()
    assert record.mirroring.state == "declared"
    assert record.mirroring.safe_axes == (0, 1)
    assert "I trained it" in record.mirroring.reasons
    assert (record.spatial_dims, record.transpose_forward, record.configuration) == (2, [0, 1, 2], "2d")
    assert nnguard("inspect", path, "--fail-level", "note").status == 0


def test_a_statement_against_the_axes_is_advice_and_lets_repair_work(nnguard, tmp_path):
    path = save_checkpoint(tmp_path / "c.pth")
    done = nnguard("repair", path, "--state", "none")
    assert "nnguard repair" in done.out
    assert nnguard("inspect", path).status == 0
    assert nnguard("inspect", path, "--fail-level", "advisory").status == 1
    nnguard("repair", path)
    assert axes_of(path) is None
    assert nnguard("inspect", path, "--fail-level", "note").status == 0


def test_the_same_statement_twice_changes_nothing(nnguard, tmp_path):
    path = save_checkpoint(tmp_path / "c.pth")
    nnguard("repair", path, "--state", "0")
    before = content(tmp_path)
    done = nnguard("repair", path, "--state", "0")
    assert "already" in done.out
    assert content(tmp_path) == before


def test_a_statement_can_be_corrected(nnguard, tmp_path):
    path = save_checkpoint(tmp_path / "c.pth")
    nnguard("repair", path, "--state", "0")
    nnguard("repair", path, "--state", "1")
    assert read_checkpoint(path).record().mirroring.safe_axes == (1,)


def test_an_observed_record_is_not_replaced_by_a_statement(nnguard, sound):
    before = content(sound)
    done = nnguard("repair", sound / "fold_0/checkpoint_final.pth", "--state", "none")
    assert done.status == 2
    assert content(sound) == before


def test_an_unknown_record_is_completed_and_keeps_what_it_knew(nnguard, tmp_path):
    path = save_checkpoint(tmp_path / "c.pth", record=record_of(state="unknown"))
    nnguard("repair", path, "--state", "0,1")
    record = read_checkpoint(path).record()
    assert record.mirroring.state == "declared"
    assert record.environment == record_of().environment


@pytest.mark.parametrize("text", ["", "3", "0,0", "-1", "x", "0;1", "0,2"])
def test_axes_that_cannot_be_are_exit_2(nnguard, tmp_path, text):
    path = save_checkpoint(tmp_path / "c.pth")
    before = content(tmp_path)
    assert nnguard("repair", path, "--state", text).status == 2
    assert content(tmp_path) == before


def test_stating_dry_writes_nothing(nnguard, tmp_path):
    path = save_checkpoint(tmp_path / "c.pth")
    before = content(tmp_path)
    assert nnguard("repair", path, "--state", "0", "--dry-run").status == 0
    assert content(tmp_path) == before


def test_a_fold_that_is_asked_for_and_not_there_is_exit_2_and_nothing_is_written(nnguard, trapped):
    before = (trapped / "fold_0/checkpoint_final.pth").read_bytes()
    done = nnguard("repair", trapped, "-f", "0", "7")
    assert (done.status, done.out) == (2, "")
    assert "has no fold 7" in done.err
    assert (trapped / "fold_0/checkpoint_final.pth").read_bytes() == before


def test_what_is_no_model_folder_is_told_as_what_it_is(nnguard, trapped):
    assert "is one fold; give its model folder" in nnguard("repair", trapped / "fold_0").err
    assert "repair takes one model at a time" in nnguard("repair", trapped.parent).err


def test_a_silenced_rule_is_not_shown_after_a_repair(nnguard, trapped, monkeypatch):
    (trapped / "fold_0/validation").mkdir()
    (trapped / "fold_0/validation/summary.json").write_text("{}")
    assert "NNG402" in nnguard("repair", trapped, "--dry-run").out
    monkeypatch.setenv("NNGUARD", "warn,NNG402=ignore")
    assert "NNG402" not in nnguard("repair", trapped, "--dry-run").out


def test_a_model_folder_is_stated_checkpoint_by_checkpoint_and_better_evidence_stays(nnguard, tmp_path):
    model = save_model(tmp_path / "model", (0, 1))
    assert nnguard("repair", model, "--state", "none").status == 0
    for fold in (0, 1):
        path = model / f"fold_{fold}/checkpoint_final.pth"
        assert (read_checkpoint(path).record().mirroring.safe_axes, axes_of(path)) == ((), (0, 1))
    save_checkpoint(model / "fold_1/checkpoint_final.pth", record=record_of(), fold=1)
    done = nnguard("repair", model, "--state", "0", "--format", "json")
    assert (done.status, len(json.loads(done.out)["changes"])) == (2, 1)
    assert "better evidence than a statement" in json.loads(done.out)["not_repaired"][0]["reason"]


# ---------------------------------------------------------------- interrupted


@pytest.mark.parametrize("written", [False, True])
def test_who_interrupts_is_told_which_checkpoints_were_changed(nnguard, trapped, monkeypatch, written):
    from nnguard.cli import repair

    def interrupted(change, **options):
        if "fold_0" in str(change.path) or written:
            write(change, **options)
        if "fold_1" in str(change.path):
            raise KeyboardInterrupt

    write = repair.write
    monkeypatch.setattr(repair, "write", interrupted)
    done = nnguard("repair", trapped)
    first, second = (trapped / fold / "checkpoint_final.pth" for fold in ("fold_0", "fold_1"))
    assert done.status == 2
    assert f"nnguard: changed: {first}: mirroring axes (0, 1) -> None" in done.err
    assert f"changed: {second}" not in done.err
    assert "every checkpoint is whole; the same command again does the rest" in done.err
    assert done.err.rstrip().endswith("nnguard: interrupted")
    assert [axes_of(first), axes_of(second)] == [None, None if written else (0, 1)]


# ---------------------------------------------------------------- what is no record, and what is no checkpoint


@pytest.mark.parametrize("broken", ["no record", "{}", '{"schema": 1}', {"some": "other tool's"}])
def test_what_is_no_record_is_replaced_by_a_statement(nnguard, tmp_path, broken):
    path = save_checkpoint(tmp_path / "fold_0/checkpoint_final.pth", nnguard=broken)
    old = path.read_bytes()
    refused = nnguard("repair", path)
    assert (refused.status, refused.err.count(str(path))) == (2, 2)
    assert f"nnguard repair {path} --state AXES" in refused.err
    done = nnguard("repair", path, "--state", "none")
    assert (done.status, done.err) == (0, "")
    assert "This replaced what was there as its record" in done.out
    assert read_checkpoint(path).record().mirroring.safe_axes == ()
    assert path.with_name(f"{path.name}.before-nnguard").read_bytes() == old
    assert nnguard("repair", path).status == 0


def test_a_newer_nnguards_record_is_not_replaced(nnguard, tmp_path):
    path = save_checkpoint(tmp_path / "c.pth", nnguard='{"schema": 99}')
    before = content(tmp_path)
    for command in (["repair", "--state", "none"], ["repair"]):
        done = nnguard(command[0], path, *command[1:])
        assert (done.status, done.err.count(str(path)), len(done.err.splitlines())) == (2, 1, 1)
        assert "upgrade nnguard" in done.err
        assert "--state" not in done.err
    assert content(tmp_path) == before


def test_a_broken_record_with_an_intact_copy_is_put_back_and_not_talked_over(nnguard, trapped):
    path = trapped / "fold_0/checkpoint_final.pth"
    copied(path, record_of(mirrored=()))
    save_checkpoint(path, nnguard="no record")
    done = nnguard("repair", path, "--state", "0,1")
    assert (done.status, f"nnguard repair {path}" in done.err) == (2, True)
    assert nnguard("repair", path).status == 0
    record = read_checkpoint(path).record()
    assert (record.mirroring.state, axes_of(path)) == ("observed", None)


@pytest.mark.parametrize("command", [["repair"], ["repair", "--state", "none"]])
def test_a_zip_of_models_is_not_written_into_and_it_is_said_what_to_do(nnguard, trapped, tmp_path, command):
    archive = export(tmp_path / "m.zip", trapped)
    before = archive.read_bytes()
    done = nnguard(command[0], archive, *command[1:])
    assert (done.status, done.out, len(done.err.splitlines())) == (2, "", 1)
    assert "is a zip of exported models, which is not written into" in done.err
    assert f"nnUNetv2_install_pretrained_model_from_zip {archive}" in done.err
    assert "member" not in done.err
    assert archive.read_bytes() == before


def test_what_an_owner_stated_is_told_by_the_command_that_there_is(nnguard, tmp_path):
    path = save_checkpoint(tmp_path / "c.pth")
    assert nnguard("repair", path, "--state", "none").status == 0
    assert "(changed by nnguard repair --state)" in " ".join(nnguard("check", path).out.split())
