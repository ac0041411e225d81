"""What ``nnguard demo`` prints of what it measured."""

import json

from click.testing import CliRunner

from nnguard.cli import demo
from nnguard.demo.story import Outcome, Row

ROW = Row(what="test images", command="nnUNetv2_predict -i in", short="nnUNetv2_predict", measured="0.467", dice=0.467)


def run(monkeypatch, *options):
    monkeypatch.setattr(demo, "tell", lambda folder, **_: Outcome(rows=[ROW], seconds=3.0, folder=str(folder)))
    return CliRunner().invoke(demo.command, options)


def test_json_rows_are_data_that_a_program_can_read(monkeypatch):
    answer = json.loads(run(monkeypatch, "--format", "json").stdout)
    assert answer["rows"][0]["dice"] == 0.467
    assert set(answer["rows"][0]) == {"what", "command", "short", "measured", "dice"}


def test_text_rows_are_a_table(monkeypatch):
    assert "test images  0.467  nnUNetv2_predict\n" in run(monkeypatch).stdout
