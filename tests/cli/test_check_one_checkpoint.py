"""Claims about ``nnguard check`` of one checkpoint, which is also called ``nnguard inspect``."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.checkpoints import DEBUG_PLAIN, checkpoint_dict, export, save_checkpoint, save_model
from tests.support.records import record_of

CONTRACT = ["path", "kind", "trainer", "configuration", "fold", "epoch", "declared_axes", "record", "findings"]


def test_a_sound_checkpoint_is_clean(nnguard, sound):
    done = nnguard("inspect", sound / "fold_0/checkpoint_final.pth")
    assert done.status == 0
    assert "no findings" in done.out
    assert "axis 1 (x, usually left-right)" in done.out
    assert done.err == ""


def test_the_trap_is_shown_with_its_remedy(nnguard, trapped):
    done = nnguard("inspect", trapped / "fold_0/checkpoint_final.pth")
    assert done.status == 1
    assert "NNG101" in done.out
    assert "nnguard repair" in done.out


def test_json_has_the_contracts_keys(nnguard, trapped):
    data = json.loads(nnguard("inspect", trapped / "fold_0/checkpoint_final.pth", "--format", "json").out)
    assert [key for key in CONTRACT if key not in data] == []
    assert data["schema_version"] == 1
    assert data["kind"] == "checkpoint"
    assert data["declared_axes"] == [0, 1]
    assert data["record"]["mirroring"]["safe_axes"] == []
    assert [finding["code"] for finding in data["findings"]] == ["NNG101"]


def test_no_record_is_told(nnguard, tmp_path):
    done = nnguard("inspect", save_checkpoint(tmp_path / "checkpoint.pth"))
    assert done.status == 0
    assert "NNG108" in done.out


def test_no_record_fails_at_the_level_of_advice(nnguard, tmp_path):
    path = save_checkpoint(tmp_path / "checkpoint.pth")
    assert nnguard("inspect", path, "--fail-level", "advisory").status == 1


def test_weaker_evidence_is_shown_with_its_grade(nnguard, tmp_path):
    folder = save_model(tmp_path / "model", debug=DEBUG_PLAIN)
    done = nnguard("inspect", folder / "fold_0/checkpoint_final.pth")
    assert done.status == 0
    assert "grade: debug.json" in done.out
    assert "NNG101" in done.out


def test_a_broken_record_is_told_as_broken(nnguard, tmp_path):
    done = nnguard("inspect", save_checkpoint(tmp_path / "checkpoint.pth", record="{"))
    assert "broken" in done.out
    assert "NNG108" in done.out


def test_a_record_file_is_read(nnguard, tmp_path):
    (tmp_path / "nnguard.json").write_text(record_of().to_json())
    done = nnguard("inspect", tmp_path / "nnguard.json")
    assert "not checked: give the checkpoint or the model folder beside it" in done.out
    assert done.status == 0
    assert "safe axes     (0, 1)" in done.out


def test_an_exported_zip_brings_its_debug_json(nnguard, tmp_path):
    archive = export(tmp_path / "model.zip", save_model(tmp_path / "model", debug=DEBUG_PLAIN))
    done = nnguard("check", archive, "--format", "json")
    (unseen,) = [one for one in json.loads(done.out)["findings"] if one["code"] == "NNG101"]
    assert (done.status, unseen["severity"], unseen["evidence"]["grade"]) == (0, "advisory", "debug.json")


def test_text_from_the_file_is_escaped(nnguard, tmp_path):
    evil = "Trainer\x1b[31m\n::error::owned\u202e"
    done = nnguard("inspect", save_checkpoint(tmp_path / "checkpoint.pth", trainer_name=evil))
    assert "\x1b" not in done.out
    assert "\u202e" not in done.out
    assert not any(line.startswith("::error") for line in done.out.splitlines())


@pytest.mark.parametrize("rule", ["NNG101=ignore"])
def test_a_silenced_rule_is_not_shown(nnguard, trapped, monkeypatch, rule):
    path = trapped / "fold_0/checkpoint_final.pth"
    run = nnguard
    monkeypatch.setenv("NNGUARD", f"warn,{rule}")
    done = run("inspect", path)
    assert done.status == 0
    assert "NNG101" not in done.out


def test_inspecting_imports_nothing_heavy(sound):
    code = (
        "import sys; from nnguard.cli import main; main(['inspect', sys.argv[1]]);"
        "print(sorted(set(sys.modules) & set(sys.argv[2:])), file=sys.stderr)"
    )
    heavy = [
        "torch",
        "numpy",
        "rich",
        "structlog",
        "jinja2",
        "matplotlib",
        "fsspec",
        "nnunetv2",
        "wrapt",
        "nnguard.hooks",
        "importlib.metadata",
    ]
    done = subprocess.run(
        [sys.executable, "-c", code, str(sound / "fold_0/checkpoint_final.pth"), *heavy], capture_output=True, text=True
    )
    assert "no findings" in done.stdout
    assert done.stderr == "[]\n"


def test_weights_that_left_their_record_are_told(nnguard, tmp_path):
    from nnguard.hooks.sidecar import saved_weights, write_copy

    record = record_of()
    path = save_checkpoint(tmp_path / "fold_0/checkpoint_final.pth", record=record)
    write_copy(path.parent, record, {path.name: saved_weights(path, record.written_at)})
    done = nnguard("inspect", path, "--fail-level", "advisory")
    assert (done.status, "as saved with this record" in done.out) == (0, True)
    assert json.loads(nnguard("inspect", path, "--format", "json").out)["weights_belong"] is True
    save_checkpoint(path, record=record, network_weights={})
    done = nnguard("inspect", path, "--fail-level", "advisory")
    assert (done.status, "NNG108" in done.out, "CHANGED" in done.out) == (1, True, True)


def test_repair_keeps_weights_and_record_together(nnguard, tmp_path):
    from nnguard.hooks.sidecar import saved_weights, write_copy

    record = record_of(mirrored=())
    path = save_checkpoint(tmp_path / "fold_0/checkpoint_final.pth", record=record)
    write_copy(path.parent, record, {path.name: saved_weights(path, record.written_at)})
    assert nnguard("repair", path).status == 0
    assert json.loads(nnguard("inspect", path, "--format", "json").out)["weights_belong"] is True


def test_a_record_that_measured_its_validation_still_reads_and_nothing_shows_it(nnguard, tmp_path):
    path = save_checkpoint(tmp_path / "a.pth", record=record_of(measured={"validation": {"cases": 4, "by": "x"}}))
    done = nnguard("inspect", path)
    assert ("observed" in done.out, "validation  " in done.out, "broken" in done.out) == (True, False, False)
    told = json.loads(nnguard("inspect", path, "--format", "json").out)
    assert told["record"]["measured"] == {"validation": {"cases": 4, "by": "x"}}


NOT_NNUNETS = {
    "a dictionary": ({"a": 1}, "holds 'a'"),
    "a state dict": ({f"layer.{number}.weight": 0 for number in range(30)}, "and 26 more"),
    "another library's": ({"state_dict": {}, "epoch": 3}, "holds 'state_dict', 'epoch'"),
    "no names": ({1: 2}, "nothing that has a name"),
    "weights alone": ({"network_weights": {"w": 0}}, "weights alone"),
}


@pytest.mark.parametrize(("value", "said"), NOT_NNUNETS.values(), ids=NOT_NNUNETS)
def test_a_torch_file_that_is_not_nnunets_is_no_checkpoint(nnguard, tmp_path, value, said):
    import torch

    path = tmp_path / "model.pth"
    torch.save(value, path)
    before = path.read_bytes()
    for command in (["inspect"], ["repair"], ["compare", path], ["repair", "--state", "none"]):
        done = nnguard(*command, path)
        assert (done.status, done.out, len(done.err.splitlines())) == (2, "", 1), command
        assert said in done.err
        assert "trainer_name" in done.err
    assert path.read_bytes() == before


@pytest.mark.parametrize("missing", ["network_weights", "trainer_name", "init_args"])
def test_a_part_of_a_checkpoint_is_shown_with_what_it_lacks(nnguard, tmp_path, missing):
    import torch

    entries = checkpoint_dict(record=record_of())
    del entries[missing]
    path = tmp_path / "nnunet_checkpoint.pth"
    torch.save(entries, path)
    done = nnguard("inspect", path)
    assert done.status == 0
    assert f"lacks         {missing}" in done.out
    assert "None" not in done.out
    assert json.loads(nnguard("inspect", path, "--format", "json").out)["lacks"] == [missing]


def test_a_whole_checkpoint_lacks_nothing(nnguard, sound):
    path = sound / "fold_0/checkpoint_final.pth"
    assert "  lacks  " not in nnguard("inspect", path).out
    assert json.loads(nnguard("inspect", path, "--format", "json").out)["lacks"] == []


@pytest.mark.parametrize("command", ["check", "audit"])
@pytest.mark.parametrize("kept", [["a"], ["trainer_name", "init_args", "inference_allowed_mirroring_axes"]])
def test_what_nnunet_could_not_load_is_no_pass_in_a_model_folder(nnguard, sound, command, kept):
    import torch

    entries = {"a": 1, **checkpoint_dict(record=record_of())}
    torch.save({key: entries[key] for key in kept}, sound / "fold_1/checkpoint_final.pth")
    done = nnguard(command, sound)
    assert done.status == 2
    assert "lacks network_weights" in " ".join((done.out + done.err).split())


def test_the_fold_of_a_checkpoint_outside_a_fold_folder_is_the_one_that_it_was_trained_as(nnguard, tmp_path):
    path = save_checkpoint(tmp_path / "weights/a.pth", fold=3)
    assert json.loads(nnguard("inspect", path, "--format", "json").out)["fold"] == 3
    path = save_checkpoint(tmp_path / "weights/b.pth", init_args={})
    assert json.loads(nnguard("inspect", path, "--format", "json").out)["fold"] is None
    assert "fold not known" in nnguard("inspect", path).out


@pytest.mark.parametrize("query", ["", "?download=1"])
def test_an_exported_zip_behind_a_url_is_checked(nnguard, trapped, tmp_path, query):
    fsspec = pytest.importorskip("fsspec")
    archive = export(tmp_path / "model.zip", trapped)
    fsspec.filesystem("memory").pipe(f"/inspected/model.zip{query}", archive.read_bytes())
    done = nnguard("check", f"memory://inspected/model.zip{query}", "--format", "json")
    data = json.loads(done.out)
    assert [finding["code"] for finding in data["findings"]] == ["NNG101", "NNG101"]
    assert (done.status, data["checked"][0].startswith(f"memory://inspected/model.zip{query}!")) == (1, True)


def test_a_checkpoint_behind_a_url_is_shown(nnguard, trapped):
    fsspec = pytest.importorskip("fsspec")
    checkpoint = (trapped / "fold_0/checkpoint_final.pth").read_bytes()
    for name in ("a.pth", "without_an_ending"):
        fsspec.filesystem("memory").pipe(f"/inspected/{name}", checkpoint)
        data = json.loads(nnguard("check", f"memory://inspected/{name}", "--format", "json").out)
        assert (data["kind"], data["findings"][0]["code"]) == ("checkpoint", "NNG101")


@pytest.mark.parametrize("columns", ["50", "80"])
def test_rows_that_are_too_long_go_on_below_their_own_text(nnguard, sound, monkeypatch, columns):
    monkeypatch.chdir(sound)
    path = save_checkpoint(Path("a.pth"), record=record_of(state="unknown"))
    for target in (path, "fold_0/checkpoint_final.pth"):
        monkeypatch.delenv("COLUMNS", raising=False)
        whole = nnguard("inspect", target).out
        monkeypatch.setenv("COLUMNS", columns)
        out = nnguard("inspect", target).out
        rows = out[: out.index("NNG108")] if "NNG108" in out else out
        assert max(map(len, rows.splitlines())) <= int(columns)
        assert rows.split() == whole.split()[: len(rows.split())]
    assert "\n" + " " * 16 in out
