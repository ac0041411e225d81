"""Claims about the published JSON schemas."""

import json
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest

from nnguard.findings import RULES, Finding
from nnguard.hooks.sidecar import write_copy
from nnguard.record import FILE_NAME, SavedWeights
from nnguard.report.json import findings_document, json_text
from tests.support.records import EVERY_FLIP, NO_FLIP, record_of

ROOT = Path(__file__).parents[1]


def schema(name):
    return json.loads((ROOT / "docs" / name).read_text(encoding="utf-8"))


def accepted(name, value, definition=None):
    root = schema(name)
    if definition:
        root = {"$ref": f"#/$defs/{definition}", "$defs": root["$defs"]}
    return jsonschema.Draft202012Validator(root).is_valid(value)


def test_the_published_schemas_are_up_to_date():
    done = subprocess.run([sys.executable, ROOT / "scripts" / "schemas", "--check"], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, ""), done.stdout + done.stderr


@pytest.mark.parametrize("name", ["record.schema.json", "output.schema.json"])
def test_they_are_schemas(name):
    jsonschema.Draft202012Validator.check_schema(schema(name))


@pytest.mark.parametrize(
    "record",
    [
        record_of(EVERY_FLIP),
        record_of(NO_FLIP, declared=(), state="unknown", reasons=["why"]),
        record_of(NO_FLIP, declared=2, effective=None, changed_by="correct", dims=3),
        record_of(EVERY_FLIP, labels={(0,): "swapped"}, permutation={1: 2, 2: 1}),
        record_of(stated=(0,)),
    ],
)
def test_records_fit_their_schema(record):
    assert accepted("record.schema.json", json.loads(record.to_json()))


def test_what_was_measured_fits_whatever_it_holds_and_no_object_does_not():
    data = json.loads(record_of(EVERY_FLIP, measured={"validation": {"cases": 1}, "fliptest": {"cases": 8}}).to_json())
    assert accepted("record.schema.json", data)
    data["measured"] = "one"
    assert not accepted("record.schema.json", data)


def test_the_copy_beside_a_checkpoint_fits_with_its_fingerprints_and_not_without_their_times(tmp_path):
    record = record_of(EVERY_FLIP)
    (tmp_path / "checkpoint_final.pth").touch()
    saved = SavedWeights(fingerprint="crc32:0:1:4", written_at=record.written_at)
    write_copy(tmp_path, record, {"checkpoint_final.pth": saved})
    data = json.loads((tmp_path / FILE_NAME).read_text())
    assert list(data["weights"]) == ["checkpoint_final.pth"]
    assert accepted("record.schema.json", data)
    del data["weights"]["checkpoint_final.pth"]["written_at"]
    assert not accepted("record.schema.json", data)


def test_a_field_of_tomorrow_fits_too():
    data = json.loads(record_of(EVERY_FLIP).to_json())
    data["tomorrow"] = data["mirroring"]["tomorrow"] = 1
    assert accepted("record.schema.json", data)


@pytest.mark.parametrize(
    ("path", "value"),
    [(["mirroring", "state"], "fine"), (["trainer"], None), (["spatial_dims"], "2"), (["nnguard"], ...)],
)
def test_what_is_no_record_does_not_fit(path, value):
    data = json.loads(record_of(EVERY_FLIP).to_json())
    *parents, last = path
    place = data
    for key in parents:
        place = place[key]
    if value is ...:
        del place[last]
    else:
        place[last] = value
    assert not accepted("record.schema.json", data)


def printed(findings):
    return json.loads(json_text(findings_document(findings, ["m"], ["v1: nnU-Net v1"], ["b: truncated"])))


def test_what_check_and_audit_print_fits():
    findings = [Finding(code, "m", "Wrong.", evidence={"rate": 0.5}) for code in RULES]
    assert accepted("output.schema.json", printed(findings), "findings_document")
    assert accepted("output.schema.json", printed([]))


def test_a_finding_without_its_remedy_does_not_fit():
    document = printed([Finding("NNG101", "m", "Wrong.")])
    del document["findings"][0]["remedy"]
    assert not accepted("output.schema.json", document, "findings_document")
    assert not accepted("output.schema.json", document)
