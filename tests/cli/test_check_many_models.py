"""Claims about ``nnguard audit``."""

import json
import shutil
import subprocess
import sys

import pytest

from tests.support.checkpoints import DEBUG_MIRRORED, DEBUG_PLAIN, export, save_checkpoint, save_model
from tests.support.records import record_of

MODEL = "{}__nnUNetPlans__2d"


@pytest.fixture
def tree(tmp_path):
    """A results tree with one model of each kind."""
    dataset = tmp_path / "results/Dataset002_Discs"
    save_model(dataset / MODEL.format("Sound"), (0, 1), record=record_of())
    save_model(dataset / MODEL.format("Trapped"), (0,), record=record_of(mirrored=()))
    save_model(dataset / MODEL.format("OldTrapped"), (0,), debug=DEBUG_PLAIN)
    save_model(dataset / MODEL.format("OldSound"), (0,), debug=DEBUG_MIRRORED)
    save_model(dataset / MODEL.format("OldSilent"), (0,))
    (dataset / MODEL.format("Unfinished") / "fold_0").mkdir(parents=True)
    return tmp_path / "results"


@pytest.fixture
def broken(tree):
    folder = save_model(tree / "Dataset003_Broken" / MODEL.format("Broken"), (0,))
    (folder / "fold_0/checkpoint_final.pth").write_bytes(b"PK\x03\x04")
    return folder


def row_of(out, name):
    return next(line for line in out.splitlines() if f"/{MODEL.format(name)}" in line)


def test_each_model_gets_its_verdict_and_its_grade(nnguard, tree):
    done = nnguard("audit", tree)
    assert done.status == 1
    assert row_of(done.out, "Sound").split()[:2] == ["clean", "record"]
    assert row_of(done.out, "Trapped").split()[:3] == ["harmful", "NNG101", "record"]
    assert row_of(done.out, "OldTrapped").startswith("advisory")
    assert "debug.json" in row_of(done.out, "OldTrapped")
    assert row_of(done.out, "OldSound").split()[:3] == ["advisory", "NNG108", "debug.json"]
    assert row_of(done.out, "OldSilent").split()[:3] == ["advisory", "NNG108", "nothing"]
    assert row_of(done.out, "Unfinished").startswith("skipped")


def test_an_unreadable_model_is_listed_counted_and_no_pass(nnguard, tree, broken):
    done = nnguard("audit", tree)
    assert done.status == 2
    assert row_of(done.out, "Broken").startswith("unreadable")
    assert "1 unreadable" in done.out
    assert "harmful" in row_of(done.out, "Trapped")


def test_json_has_everything(nnguard, tree, broken):
    data = json.loads(nnguard("audit", tree, "--format", "json").out)
    assert set(data) == {"schema_version", "findings", "checked", "skipped", "errors", "models"}
    assert len(data["checked"]) == 6
    trapped = next(one for one in data["models"] if MODEL.format("Trapped") == one["model"].rpartition("/")[2])
    assert (trapped["verdict"], trapped["rules"], trapped["evidence"]) == ("harmful", ["NNG101"], "record")
    assert (trapped["axes"], trapped["folds"]) == ("(0, 1)", "0")
    assert "nnguard repair" in trapped["remedy"]
    assert sum(one["verdict"] == "unreadable" for one in data["models"]) == 1
    assert len(data["errors"]) == 1
    assert len(data["skipped"]) == 1


def test_a_narrow_terminal_gets_lines_and_no_ladders(nnguard, tree, monkeypatch):
    monkeypatch.setattr("nnguard.report.console.PIPE_WIDTH", 60)
    narrow = nnguard("audit", tree).out
    assert "harmful NNG101" in narrow
    assert "verdict" not in narrow


def test_a_pipe_gets_the_table(nnguard, tree):
    assert "verdict" in nnguard("audit", tree).out


def test_processes_find_what_one_finds(nnguard, tree, monkeypatch):
    monkeypatch.setattr("nnguard.cli.check_many_models.WORTH_PROCESSES", 0)
    alone = nnguard("audit", tree, "--jobs", "1", "--format", "json")
    together = nnguard("audit", tree, "--jobs", "2", "--format", "json")
    assert alone == together


def test_a_list_names_the_models(nnguard, tree, tmp_path):
    listing = tmp_path / "models.txt"
    folder = tree / "Dataset002_Discs" / MODEL.format("Trapped")
    listing.write_text(f"# mine\n\n{folder}\n")
    data = json.loads(nnguard("audit", "--list", listing, "--format", "json").out)
    assert data["checked"] == [str(folder / "fold_0/checkpoint_final.pth")]


def test_a_listed_folder_that_is_missing_is_an_error(nnguard, tree, tmp_path):
    listing = tmp_path / "models.txt"
    listing.write_text(f"{tmp_path / 'nowhere'}\n")
    done = nnguard("audit", "--list", listing)
    assert done.status == 2
    assert "nowhere" in done.out + done.err


def test_root_and_list_are_one_too_many(nnguard, tree, tmp_path):
    assert nnguard("audit", tree, "--list", tmp_path / "x").status == 2
    assert nnguard("audit").status == 2


def test_a_tree_of_unfinished_models_is_no_pass(nnguard, tmp_path):
    (tmp_path / "Dataset002/model/fold_0").mkdir(parents=True)
    assert nnguard("audit", tmp_path).status == 2


def test_fold_all_is_an_ensemble_of_its_own(nnguard, tree):
    folder = tree / "Dataset002_Discs" / MODEL.format("Sound")
    save_checkpoint(folder / "fold_all/checkpoint_final.pth", record=record_of(mirrored=()), fold="all")
    out = nnguard("audit", tree).out
    assert next(line for line in out.splitlines() if "Sound__nnUNetPlans__2d/fold_all" in line).startswith("harmful")


def test_the_page_is_one_self_contained_file(nnguard, tree, tmp_path):
    page = tmp_path / "audit.html"
    done = nnguard("audit", tree, "--format", "html", "-o", page)
    assert (done.status, done.out) == (1, "")
    text = page.read_text()
    assert "Trapped__nnUNetPlans__2d" in text
    assert "http://" not in text.replace("http://www.w3.org", "")


def test_a_page_that_cannot_be_written_is_one_line(nnguard, tree, tmp_path):
    done = nnguard("audit", tree, "--format", "html", "-o", tmp_path / "nowhere/audit.html")
    assert done.status == 2
    assert len(done.err.splitlines()) == 1


def test_links_in_a_circle_end(nnguard, tree):
    (tree / "again").symlink_to(tree)
    data = json.loads(nnguard("audit", tree, "--format", "json").out)
    assert len(data["checked"]) == 6


def test_a_linked_model_is_found(nnguard, tree, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "model").symlink_to(tree / "Dataset002_Discs" / MODEL.format("Trapped"))
    assert nnguard("audit", elsewhere).status == 1


def test_exported_zips_below_root_are_models_and_may_be_listed(nnguard, tree, tmp_path):
    folder = tree / "Dataset002_Discs" / MODEL.format("Trapped")
    archive = export(tree / "from_a_colleague.zip", folder)
    (tree / "damaged.zip").write_bytes(archive.read_bytes()[:-100])
    done = nnguard("audit", tree)
    assert done.status == 2
    row = next(line for line in done.out.splitlines() if "from_a_colleague.zip!" in line)
    assert row.split()[:3] == ["harmful", "NNG101", "record"]
    assert next(line for line in done.out.splitlines() if "damaged.zip" in line).startswith("unreadable")
    (tmp_path / "models.txt").write_text(f"{archive}\n")
    assert nnguard("audit", "--list", tmp_path / "models.txt").status == nnguard("audit", archive).status == 1


def test_a_model_folder_is_a_tree_of_its_own(nnguard, sound):
    assert nnguard("audit", sound).status == 0


def test_many_models_in_processes_of_their_own(sound, tmp_path):
    """The console script, whole, with workers."""
    root = tmp_path / "many"
    for number in range(20):
        shutil.copytree(sound, root / f"Dataset{number:03}" / sound.name)
    code = "import sys; from nnguard.cli import main; sys.exit(main())"
    done = subprocess.run([sys.executable, "-c", code, "audit", root, "--jobs", "2"], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert "20 models: 20 clean" in done.stdout


def test_a_list_that_names_nothing_is_not_called_a_folder(nnguard, tmp_path):
    (tmp_path / "list").write_text("# nothing\n\n")
    done = nnguard("audit", "--list", tmp_path / "list")
    assert (done.status, done.out) == (2, "")
    assert "list: names no model folder" in done.err
