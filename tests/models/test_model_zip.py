"""Claims about models inside exported zips: judged as they would be once nnU-Net has installed them."""

import json
import zipfile

import pytest

from nnguard.errors import CheckpointError
from nnguard.models import check_model
from nnguard.models.audit import audit_folder
from nnguard.models.model_zip import is_exported, open_exported_models
from nnguard.models.results_tree import find_models
from nnguard.record import AxesHistory
from tests.support.archives import Piece, zipped
from tests.support.checkpoints import (
    DEBUG_MIRRORED,
    DEBUG_PLAIN,
    PLANS,
    export,
    save_checkpoint,
    save_model,
)
from tests.support.records import record_of

DATASET = "results/Dataset002_Discs"
FOLD = "D/m/fold_0/checkpoint_final.pth"


def model(tmp_path, name="nnUNetTrainer__nnUNetPlans__2d", folds=(0, 1), **options):
    return save_model(tmp_path / DATASET / name, folds, **options)


def found(findings):
    return sorted({(finding.code, finding.severity) for finding in findings})


def test_a_zip_is_judged_as_its_folder_is(tmp_path):
    for name, options in {
        "Sound": {"record": record_of()},
        "Trapped": {"record": record_of(mirrored=())},
        "OldTrapped": {"debug": DEBUG_PLAIN},
        "OldSound": {"debug": DEBUG_MIRRORED},
        "Silent": {},
    }.items():
        folder = model(tmp_path, name, **options)
        archive = export(tmp_path / f"{name}.zip", folder)
        assert found(check_model(archive)) == found(check_model(folder)), name
        (inside,), (outside,) = audit_folder(archive), audit_folder(folder)
        assert (inside.grade, inside.facts) == (outside.grade, outside.facts), name
        assert len(inside.checked) == 2


def test_plans_and_dataset_come_from_the_zip(tmp_path):
    folder = model(tmp_path, record=record_of())
    (opened,) = open_exported_models(export(tmp_path / "a.zip", folder))
    assert opened.plans == PLANS
    assert opened.errors == []
    plans = json.loads(json.dumps(PLANS))
    plans["configurations"]["2d"]["spacing"] = [2.0, 2.0]
    (folder / "plans.json").write_text(json.dumps(plans))
    assert found(check_model(export(tmp_path / "b.zip", folder))) == [("NNG201", "harmful")]


def test_a_summary_in_the_zip_is_read(tmp_path):
    folder = model(tmp_path, folds=(0,), record=record_of())
    summary = folder / "fold_0/validation/summary.json"
    summary.parent.mkdir()
    summary.write_text(json.dumps({"foreground_mean": {"Dice": 0.3}}))
    assert found(check_model(export(tmp_path / "a.zip", folder))) == [("NNG401", "advisory")]


def test_results_that_lie_where_one_stands_are_not_the_zips(tmp_path, monkeypatch):
    """Names inside the zip are relative, as those in the results folder are."""
    repaired = AxesHistory(declared=[0, 1], changed_by="repair", changed_at="2099-01-01T00:00:00Z")
    folder = model(tmp_path, folds=(0,), axes=None, record=record_of(axes=repaired))
    (folder / "fold_0/validation").mkdir()
    (folder / "fold_0/validation/summary.json").write_text("{}")
    monkeypatch.chdir(tmp_path / "results")
    assert "NNG402" in {code for code, _ in found(check_model(folder))}
    assert "NNG402" not in {code for code, _ in found(check_model(export(tmp_path / "a.zip", folder)))}


def test_missing_plans_are_a_problem(tmp_path):
    folder = model(tmp_path, record=record_of())
    (folder / "plans.json").unlink()
    with pytest.raises(CheckpointError, match=r"a\.zip!.*plans\.json: does not exist"):
        check_model(export(tmp_path / "a.zip", folder))


def test_several_models_in_one_zip_are_all_judged(tmp_path):
    folders = [model(tmp_path, "Sound", record=record_of()), model(tmp_path, "Trapped", record=record_of(mirrored=()))]
    archive = export(tmp_path / "a.zip", *folders)
    assert [one.folder.name for one in open_exported_models(archive)] == ["Sound", "Trapped"]
    assert {finding.subject.split("/")[-3] for finding in check_model(archive)} == {"Trapped"}
    assert [one.subject.rpartition("/")[2] for one in audit_folder(archive)] == ["Sound", "Trapped"]


def test_folds_are_those_that_nnunet_would_find_or_that_are_asked_for(tmp_path):
    folder = model(tmp_path, folds=(2, 10, "all"), record=record_of())
    archive = export(tmp_path / "a.zip", folder)
    assert [fold.fold for fold in open_exported_models(archive)[0].folds] == [10, 2]
    assert [fold.fold for fold in open_exported_models(archive, ["all"])[0].folds] == ["all"]
    missing = open_exported_models(archive, [2, 7])[0]
    assert "fold_7" in missing.errors[0]
    assert [one.facts["folds"] for one in audit_folder(archive)] == ["10 2", "all"]


def test_what_is_there_instead_is_said(tmp_path):
    folder = model(tmp_path, folds=("all",), record=record_of())
    with pytest.raises(CheckpointError, match="-f all"):
        open_exported_models(export(tmp_path / "a.zip", folder))
    other = model(tmp_path, "Best", checkpoint_name="checkpoint_best.pth")
    archive = export(tmp_path / "b.zip", other, checkpoint_name="checkpoint_best.pth")
    with pytest.raises(CheckpointError, match=r"checkpoint_best\.pth: choose with -chk"):
        open_exported_models(archive)
    assert "checkpoint_final.pth" in audit_folder(archive)[0].skipped


def test_remedies_are_for_the_installed_file(tmp_path):
    archive = export(tmp_path / "a.zip", model(tmp_path, folds=(0,), record=record_of(mirrored=())))
    (finding,) = check_model(archive)
    assert f"nnUNetv2_install_pretrained_model_from_zip {archive}" in finding.remedy
    assert 'nnguard repair "$nnUNet_results"/Dataset002_Discs/nnUNetTrainer__nnUNetPlans__2d/fold_0/' in finding.remedy
    assert "!" not in finding.remedy


def test_a_zip_behind_a_url_is_read(tmp_path):
    fsspec = pytest.importorskip("fsspec")
    archive = export(tmp_path / "a.zip", model(tmp_path, record=record_of(mirrored=())))
    fsspec.filesystem("memory").pipe("/models/a.zip", archive.read_bytes())
    assert found(check_model("memory://models/a.zip")) == [("NNG101", "harmful")]
    (audited,) = audit_folder("memory://models/a.zip")
    assert audited.checked[0].startswith("memory://models/a.zip!Dataset002_Discs/")
    (audited,) = audit_folder("memory://models/none.zip")
    assert "cannot be reached" in audited.errors[0]


def test_an_unreadable_checkpoint_is_an_error_of_its_fold(tmp_path):
    folder = model(tmp_path, record=record_of())
    (folder / "fold_1/checkpoint_final.pth").write_bytes(b"PK\x03\x04")
    archive = export(tmp_path / "a.zip", folder)
    (audited,) = audit_folder(archive)
    assert len(audited.checked) == len(audited.errors) == 1
    assert f"{archive}!" in audited.errors[0]


# -- hostile ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("../m/fold_0/checkpoint_final.pth", "another place"),
        ("/m/fold_0/checkpoint_final.pth", "another place"),
        ("D/./m/fold_0/checkpoint_final.pth", "another place"),
        ("D//m/fold_0/checkpoint_final.pth", "another place"),
        ("C:/m/fold_0/checkpoint_final.pth", "another place"),
        ("D\\m/fold_0/checkpoint_final.pth", "differently"),
        ("D/M/fold_0/checkpoint_final.pth", "two members"),
    ],
)
def test_names_that_unpack_to_elsewhere_or_twice_are_refused(name, says, tmp_path):
    archive = tmp_path / "a.zip"
    archive.write_bytes(zipped([Piece(FOLD, b"x"), Piece(name, b"y")]))
    with pytest.raises(CheckpointError, match=says):
        check_model(archive)
    (audited,) = audit_folder(archive)
    assert len(audited.errors) == 1


def test_a_zip_that_would_grow_is_refused_before_it_does(tmp_path):
    """A hundred checkpoints of a megabyte of zeros each: none is large, all of them are."""
    archive = tmp_path / "a.zip"
    zeros = bytes(1 << 20)
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as exported:
        for number in range(100):
            exported.writestr(f"D/m/fold_{number}/checkpoint_final.pth", zeros)
    with pytest.raises(CheckpointError, match="would grow"):
        check_model(archive)


def test_plans_that_are_too_long_are_not_read(tmp_path):
    archive = export(tmp_path / "a.zip", model(tmp_path, folds=(0,), record=record_of()))
    with zipfile.ZipFile(archive) as before, zipfile.ZipFile(tmp_path / "b.zip", "w", zipfile.ZIP_DEFLATED) as after:
        for name in before.namelist():
            after.writestr(name, bytes(17 << 20) if name.endswith("plans.json") else before.read(name))
    (opened,) = open_exported_models(tmp_path / "b.zip")
    assert "more than the" in opened.errors[0]
    with pytest.raises(CheckpointError, match="more than the"):
        check_model(tmp_path / "b.zip")


def test_nothing_is_unpacked(tmp_path):
    folder = model(tmp_path, record=record_of())
    archive = export(tmp_path / "a.zip", folder)
    before = sorted(tmp_path.rglob("*"))
    audit_folder(archive)
    assert sorted(tmp_path.rglob("*")) == before


# -- in a tree ----------------------------------------------------------------------------------------


def test_zips_are_found_in_a_tree_where_they_are_asked_for(tmp_path):
    folder = model(tmp_path, record=record_of())
    archive = export(tmp_path / "results/shared.ZIP", folder)
    assert list(find_models(tmp_path)) == [folder]
    assert sorted(find_models(tmp_path, with_zips=True)) == sorted([folder, archive])
    assert list(find_models(archive, with_zips=True)) == [archive]


def test_a_zip_of_something_else_is_no_subject_and_a_damaged_one_is_an_error(tmp_path):
    images, damaged, commented = (tmp_path / name for name in ("images.zip", "damaged.zip", "commented.zip"))
    for path in (images, commented):
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("a.png", b"x")
            archive.comment = b"mine" if path == commented else b""
    damaged.write_bytes(images.read_bytes()[:-30])
    assert audit_folder(images) == audit_folder(commented) == []
    assert len(audit_folder(damaged)[0].errors) == 1
    with pytest.raises(CheckpointError, match="no model in it"):
        check_model(images)


def test_what_macos_adds_is_no_model(tmp_path):
    archive = export(tmp_path / "a.zip", model(tmp_path, folds=(0,), record=record_of()))
    with zipfile.ZipFile(archive, "a") as packed:
        packed.writestr("__MACOSX/Dataset002_Discs/m/fold_0/._checkpoint_final.pth", b"x")
        packed.writestr("__MACOSX/Dataset002_Discs/m/fold_0/checkpoint_final.pth", b"x")
    assert len(audit_folder(archive)) == 1


def test_a_folder_may_be_called_as_a_zip_is(tmp_path):
    folder = save_model(tmp_path / "model.zip", record=record_of())
    assert not is_exported(folder)
    assert check_model(folder) == []
    assert not is_exported(save_checkpoint(tmp_path / "x.pth"))
