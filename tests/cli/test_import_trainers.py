"""Claims about ``nnguard audit --import-trainers``: today's class is the weakest evidence, and can harm nobody."""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

import disc_datasets
from checkpoints import DATASET, DEBUG_MIRRORED, DEBUG_PLAIN, PLANS, export, make_record, save_model
from nnguard.cli import reobserving
from nnguard.demo import workspace
from nnguard.models.folder import open_fold
from nnguard.models.reobserved import NamedTraining, Reobserved, training_named

TRAINING = NamedTraining("Dataset002_Discs", "2d", "nnUNetTrainer", "nnUNetPlans", 0)


def save(folder, trainer="nnUNetTrainer", folds=(0, 1), **options):
    return save_model(folder / f"{trainer}__nnUNetPlans__2d", folds, trainer_name=trainer, **options)


@pytest.fixture
def root(tmp_path):
    return tmp_path / "results/Dataset002_Discs"


@pytest.fixture
def shown(monkeypatch):
    """What each trainer shows today; the answer is the list of those that were asked for."""
    asked = []

    def set_to(**by_trainer):
        def answer(training):
            asked.append(training)
            told = by_trainer[training.trainer]
            what = {"failure": told} if isinstance(told, str) else {"record": told}
            return Reobserved(training=training, **what)

        monkeypatch.setattr(reobserving, "reobserved", answer)
        return asked

    return set_to


def row_of(out, name):
    return next(line for line in out.splitlines() if f"/{name}__" in line)


def findings_of(nnguard, root):
    return json.loads(nnguard("audit", root, "--import-trainers", "--format", "json").out)["findings"]


def test_without_being_asked_no_trainer_is_imported(nnguard, root, shown):
    save(root)
    asked = shown()
    assert nnguard("audit", root).status == 0
    assert asked == []


def test_the_trap_is_advice_with_the_weakest_grade(nnguard, root, shown):
    save(root)
    shown(nnUNetTrainer=make_record(mirrored=()))
    done = nnguard("audit", root, "--import-trainers")
    assert done.status == 0
    assert row_of(done.out, "nnUNetTrainer").startswith("advisory")
    assert "trainer's class" in row_of(done.out, "nnUNetTrainer")
    (unseen, _) = [one for one in findings_of(nnguard, root) if one["code"] == "NNG101"]
    assert (unseen["severity"], unseen["evidence"]["grade"]) == ("advisory", "trainer's class")
    assert "as it is now" in unseen["message"]
    assert "the code may have been another" in unseen["evidence"]["seen"]
    assert "nnguard repair" not in unseen["remedy"]


def test_a_class_that_mirrors_is_noted_and_no_clean_bill(nnguard, root, shown):
    save(root)
    shown(nnUNetTrainer=make_record())
    done = nnguard("audit", root, "--import-trainers")
    assert row_of(done.out, "nnUNetTrainer").startswith("note")
    assert "trainer's class says fits" in row_of(done.out, "nnUNetTrainer")
    assert {one["code"] for one in findings_of(nnguard, root)} == {"NNG108"}


def test_what_fails_is_said_in_the_row_and_stops_nothing(nnguard, root, shown):
    save(root)
    save(root, "nnUNetTrainerTrapped", record=make_record(mirrored=()))
    shown(nnUNetTrainer="no data set Dataset002_Discs in /data: is it preprocessed?")
    done = nnguard("audit", root, "--import-trainers")
    assert done.status == 1
    row = row_of(done.out, "nnUNetTrainer")
    assert row.split()[:3] == ["advisory", "NNG108", "nothing"]
    assert "nnUNetTrainer could not be observed again: no data set Dataset002_Discs in /data" in row
    assert row_of(done.out, "nnUNetTrainerTrapped").startswith("harmful")


@pytest.mark.parametrize("state", ["unknown", "pending"])
def test_what_today_does_not_settle_is_unverified(nnguard, root, shown, state):
    save(root)
    shown(nnUNetTrainer=make_record(state=state))
    row = row_of(nnguard("audit", root, "--import-trainers").out, "nnUNetTrainer")
    assert row.split()[:3] == ["advisory", "NNG108", "nothing"]
    assert f"what it shows is {state}" in row


def test_better_evidence_is_not_asked_about(nnguard, root, shown):
    save(root, "Recorded", record=make_record())
    save(root, "Unknown", record=make_record(state="unknown"))
    save(root, "Plain", debug=DEBUG_PLAIN)
    save(root, "Mirrored", debug=DEBUG_MIRRORED)
    asked = shown()
    nnguard("audit", root, "--import-trainers")
    assert asked == []


def test_a_log_and_a_text_that_does_not_settle_it_are_completed(nnguard, root, shown):
    logged = save(root, "Logged", (0,))
    (logged / "fold_0/training_log_2025_1_1_10_00_00.txt").write_text("x: Mean Validation Dice:  0.467\n")
    save(root, "Own", (0,), debug=DEBUG_PLAIN.replace("RemoveLabelTransform", "MyFlip( a = 1 ), RemoveLabelTransform"))
    asked = shown(Logged=make_record(mirrored=()), Own=make_record())
    findings = findings_of(nnguard, root)
    assert sorted(one.trainer for one in asked) == ["Logged", "Own"]
    assert {(one["subject"].split("/")[-3][:3], one["code"]) for one in findings} >= {
        ("Log", "NNG101"),
        ("Own", "NNG108"),
    }
    assert any("0.467" in one["evidence"]["seen"] for one in findings)
    assert {one["evidence"]["grade"] for one in findings} == {"trainer's class"}


def test_each_trainer_is_observed_once_for_all_its_models_and_folds(nnguard, root, shown, tmp_path):
    export(root / "exported.zip", save(root))
    save(root / "copies")
    save(root / "other", "nnUNetTrainerOther", ("all",))
    asked = shown(nnUNetTrainer=make_record(mirrored=()), nnUNetTrainerOther="it is gone")
    done = nnguard("audit", root, "--import-trainers")
    assert sorted(one.trainer for one in asked) == ["nnUNetTrainer", "nnUNetTrainerOther"]
    assert sum("trainer's class" in line for line in done.out.splitlines()) == 3
    assert next(one for one in asked if one.trainer == "nnUNetTrainerOther").fold == "all"


@pytest.mark.parametrize(
    "names",
    [
        {"trainer_name": "--help"},
        {"trainer_name": "os.system"},
        {"trainer_name": None},
        {"plans": {"dataset_name": "../Dataset002_Discs"}},
        {"plans": {"dataset_name": "Dataset002_/../../x"}},
        {"plans": {"plans_name": "../plans"}},
        {"plans": {"plans_name": "-h"}},
        {"configuration": "-tr"},
    ],
)
def test_names_that_are_no_names_go_nowhere(nnguard, root, shown, names):
    plans = {**PLANS, **names.get("plans", {})}
    arguments = {"plans": plans, "configuration": names.get("configuration", "2d"), "fold": 0, "dataset_json": DATASET}
    trainer = names.get("trainer_name", "nnUNetTrainer")
    folder = save_model(root / "model", (0,), trainer_name=trainer, init_args=arguments)
    assert training_named(open_fold(folder / "fold_0/checkpoint_final.pth")) is None
    asked = shown()
    done = nnguard("audit", root, "--import-trainers")
    assert (done.status, asked) == (0, [])
    assert "Its trainer could not be observed again: the checkpoint does not name" in done.out


# -- the process --------------------------------------------------------------------------------------


def process(monkeypatch, code):
    monkeypatch.setattr(reobserving, "PREFLIGHT", (sys.executable, "-c", code))
    return reobserving.reobserved(TRAINING)


def test_a_record_comes_through_whatever_the_findings(monkeypatch):
    text = make_record(mirrored=()).to_json()
    for status in (0, 1):
        told = process(monkeypatch, f"print('{{\"record\": ' + {text!r} + '}}'); raise SystemExit({status})")
        assert told.record == make_record(mirrored=())


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("import sys; print('noise\\nnnguard: there is no trainer class X', file=sys.stderr); sys.exit(2)",
         "there is no trainer class X"),
        ("import os; os.abort()", "crashed (signal 6)"),
        ("import os; os._exit(0)", "without a record (status 0)"),
        ("raise ValueError('own code')", "(status 1): ValueError: own code"),
        ("print('no JSON')", "without a record"),
        ("print('{\"record\": null}')", "without a record"),
        ("print('[' * 100000)", "without a record"),
    ],
)  # fmt: skip
def test_a_process_that_fails_is_a_reason(monkeypatch, code, says):
    told = process(monkeypatch, code)
    assert told.record is None
    assert says in told.failure


def test_a_process_that_hangs_is_ended_with_its_workers(monkeypatch, tmp_path):
    monkeypatch.setattr(reobserving, "LONGEST", 1.0)
    code = (
        "import os, time, pathlib\n"
        f"pathlib.Path({str(tmp_path / 'group')!r}).write_text(str(os.getpid()))\n"
        "os.fork(); time.sleep(100)"
    )
    assert "had not started to train after 1 s" in process(monkeypatch, code).failure
    until = time.monotonic() + 5
    group = int((tmp_path / "group").read_text())
    with pytest.raises(ProcessLookupError):  # noqa: PT012 (a killed worker takes a moment to go)
        while time.monotonic() < until:
            os.killpg(group, 0)
            time.sleep(0.05)


def test_the_guards_settings_do_not_reach_it(monkeypatch, tmp_path):
    monkeypatch.setenv("NNGUARD", "strict")
    monkeypatch.setenv("NNGUARD_LOG", str(tmp_path / "log"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    code = (
        "import os, sys; print(*[n for n in os.environ if n.startswith('NNG')], os.environ['TMPDIR'], file=sys.stderr)"
    )
    told = process(monkeypatch, code)
    assert told.failure.split(": ")[1].startswith(str(tmp_path / "nnguard-trainer-"))


def test_the_folder_one_stands_in_does_not_reach_it(monkeypatch, tmp_path):
    pytest.importorskip("torch")
    (tmp_path / "json.py").write_text("raise SystemExit(9)")
    (tmp_path / "msgspec.py").write_text("raise SystemExit(9)")
    (tmp_path / "nnguard.py").write_text("raise SystemExit(9)")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("nnUNet_preprocessed", raising=False)
    assert "nnUNet_preprocessed is not set" in reobserving.reobserved(TRAINING).failure


# -- real nnU-Net -------------------------------------------------------------------------------------


@pytest.mark.slow
def test_real_trainers_are_observed_and_missing_ones_are_said(tmp_path):
    plans = {**PLANS, "dataset_name": "Dataset552_Discs"}
    arguments = {"plans": plans, "configuration": "2d", "fold": 0, "dataset_json": DATASET}
    for trainer in ("nnUNetTrainerIssue2552", "nnUNetTrainerGone"):
        save(tmp_path / "results", trainer, (0,), init_args=arguments)
    variables = disc_datasets.environment(tmp_path / "results")
    variables["nnUNet_extTrainer"] = str(Path(workspace.__file__).with_name("trainers"))
    before = sorted(tmp_path.rglob("*"))
    done = subprocess.run(
        [sys.executable, "-c", "import sys; from nnguard.cli import main; sys.exit(main())", "audit",
         str(tmp_path / "results"), "--import-trainers", "--format", "json"],
        capture_output=True, text=True, env={**os.environ, **variables, "TMPDIR": str(tmp_path)}, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (len(told["checked"]), told["errors"]) == (2, [])
    by_trainer = {(one["subject"].split("/")[-3].split("__")[0], one["code"]): one for one in told["findings"]}
    assert sorted(by_trainer) == [
        ("nnUNetTrainerGone", "NNG108"),
        ("nnUNetTrainerIssue2552", "NNG101"),
        ("nnUNetTrainerIssue2552", "NNG108"),
    ]
    assert by_trainer["nnUNetTrainerIssue2552", "NNG101"]["severity"] == "advisory"
    assert "there is no trainer class nnUNetTrainerGone" in by_trainer["nnUNetTrainerGone", "NNG108"]["message"]
    assert sorted(tmp_path.rglob("*")) == before
