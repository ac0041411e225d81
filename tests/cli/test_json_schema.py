"""What the commands print as JSON keeps the contract of ``docs/output.schema.json``."""

import json
from pathlib import Path

import pytest

from tests.support.checkpoints import export, save_checkpoint
from tests.support.records import record_of

SCHEMA = json.loads((Path(__file__).parents[2] / "docs/output.schema.json").read_text())


def valid(document, kind):
    jsonschema = pytest.importorskip("jsonschema")
    jsonschema.validate(document, {**SCHEMA, "anyOf": [{"$ref": f"#/$defs/{kind}"}]})


def test_check_and_audit_print_findings_documents(nnguard, trapped, sound):
    archive = export(sound.parent / "a zip.zip", trapped)
    (sound / "fold_1/checkpoint_final.pth").write_bytes(b"")
    for arguments in (["check", trapped], ["check", sound], ["audit", trapped.parent], ["check", archive]):
        valid(json.loads(nnguard(*arguments, "--format", "json").out), "findings_document")


def test_compare_of_two_things_prints_differences(nnguard, sound, trapped):
    document = json.loads(nnguard("compare", sound, trapped, "--format", "json").out)
    assert document["changes"]
    valid(document, "differences")


def test_inspect_prints_what_it_inspected(nnguard, trapped, tmp_path):
    (tmp_path / "nnguard.json").write_text(record_of().to_json())
    bare = save_checkpoint(tmp_path / "bare.pth", axes=(), trainer_name=7)
    for path in (trapped / "fold_0/checkpoint_final.pth", tmp_path / "nnguard.json", bare):
        valid(json.loads(nnguard("inspect", path, "--format", "json").out), "inspect")
