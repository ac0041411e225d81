"""Text in a model folder is foreign: none makes a reader run for ever."""

import json

import msgspec
import pytest

from nnguard.models.fold_files import weaker_evidence
from nnguard.models.pipeline_text import described_mirroring, described_tree

LONG = 100_000


@pytest.mark.timeout(20)
@pytest.mark.parametrize("opening", ["(", "["])
def test_axes_of_many_digits_in_debug_json_do_not_hang(tmp_path, opening):
    debug = {
        "dataloader_train.generator.transforms": "None",
        "inference_allowed_mirroring_axes": opening + "1" * 120 + "!",
    }
    text = json.dumps(debug)
    assert len(text) < 300
    (tmp_path / "debug.json").write_text(text)
    assert weaker_evidence(tmp_path).declared is msgspec.UNSET


@pytest.mark.parametrize(
    ("text", "axes"),
    [
        ("(0, 1)", (0, 1)),
        ("[0, 1, 2]", (0, 1, 2)),
        ("(2,)", (2,)),
        ("()", ()),
        ("None", None),
        ("(0, 1", msgspec.UNSET),
        ("(0 1)", msgspec.UNSET),
        ("(,)", msgspec.UNSET),
        ("(a,)", msgspec.UNSET),
        ("", msgspec.UNSET),
    ],
)
def test_axes_are_read_as_python_prints_them(tmp_path, text, axes):
    debug = {"dataloader_train.generator.transforms": "None", "inference_allowed_mirroring_axes": text}
    (tmp_path / "debug.json").write_text(json.dumps(debug))
    assert weaker_evidence(tmp_path).declared == axes


WORST = [
    "'" * LONG,
    "'\\" * (LONG // 2),
    '"\\' * (LONG // 2),
    "A" * LONG,
    "Aa( " * (LONG // 4),
    "<a" * (LONG // 2),
    "<function " * (LONG // 10),
    "<a.a at 0x" + "0" * LONG,
    "MirrorTransform( axes = " + "(" * 60 + "axes = [" * (LONG // 8),
    "MirrorTransform( " + "axes=[1," * (LONG // 8) + ")",
    "MirrorTransform( axes = (" + "np.a(" * (LONG // 5) + ")",
    "MirrorTransform( p" + " " * LONG + ")",
    "MirrorTransform( " + "p = " * (LONG // 4) + ")",
    "MirrorTransform( axes = " + "9" * LONG + ")",
    "Compose( [" * 40 + "1," * (LONG // 2) + "])" * 40,
]


@pytest.mark.timeout(20)
@pytest.mark.parametrize("text", WORST, ids=lambda text: repr(text[:24]))
def test_a_pipelines_text_is_read_in_linear_time(text):
    described_mirroring(text)
    described_tree(text)
