"""Claims about ``nnguard fliptest``: its text, its one JSON document, its exit status, its picture."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import jsonschema
import numpy as np
import pytest

from nnguard.cli import fliptest
from nnguard.cli.fliptest import gain_words
from nnguard.models.folder import FLIPTEST_FILE
from tests.support.small_models import raw, small_model

SCHEMA = json.loads((Path(__file__).parents[2] / "docs/output.schema.json").read_text())


@pytest.mark.parametrize(
    ("gain", "low", "high", "said"),
    [
        (-0.54, -0.58, -0.5, "costs 0.540 Dice (95 %: 0.500 to 0.580)"),
        (0.02, 0.01, 0.03, "gains 0.020 Dice (95 %: 0.010 to 0.030)"),
        (-0.01, -0.03, 0.005, "costs 0.010 Dice (95 %: from a cost of 0.030 to a gain of 0.005)"),
        (0.01, -0.005, 0.03, "gains 0.010 Dice (95 %: from a cost of 0.005 to a gain of 0.030)"),
        (-0.01, -0.02, 0.0, "costs 0.010 Dice (95 %: 0.000 to 0.020)"),
        (0.0, 0.0, 0.0, "changes Dice by less than 0.001 (95 %: 0.000 to 0.000)"),
        (-0.0004, -0.01, 0.01, "changes Dice by less than 0.001 (95 %: from a cost of 0.010 to a gain of 0.010)"),
        (-0.54, None, None, "costs 0.540 Dice"),
    ],
)
def test_the_interval_counts_what_the_word_counts(gain, low, high, said):
    assert gain_words(gain, low, high) == said


@pytest.fixture(scope="module")
def untrained(tmp_path_factory):
    return small_model("2d", tmp_path_factory.mktemp("untrained"))


def images():
    return raw("2d") / "imagesTs"


def references():
    return raw("2d") / "labelsTs"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["missing", "-i", "{images}"], "does not exist"),
        (["{model}", "-i", "nowhere"], "nowhere: is not a folder"),
        (["{model}", "-i", "{model}"], "no image named NAME_0000.png"),
        (["{model}", "-i", "{images}", "-l", "{model}"], "no labels named discsTs_000.png"),
        (["{model}", "-i", "{images}", "-f", "3"], "fold_3"),
        (["{model}", "-i", "{images}", "-chk", "checkpoint_x.pth"], "no fold_X with a checkpoint_x.pth"),
        (["{model}", "-i", "{images}", "-device", "cuda"], "there is no cuda device here; try -device cpu"),
        (["{model}", "-i", "{images}", "-o", "nowhere/flips.json"], "its folder does not exist"),
        (["{model}", "-i", "{images}", "--picture", "nowhere/flips.png"], "its folder does not exist"),
        (["{model}", "-i", "{images}", "-n", "0"], "0 is not in the range"),
        (["{model}"], "Missing option '-i'"),
    ],
)
def test_what_cannot_be_done_is_told_and_exits_2(nnguard, untrained, monkeypatch, tmp_path, arguments, said):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    places = {"model": str(untrained), "images": str(images())}
    done = nnguard("fliptest", *(argument.format(**places) for argument in arguments))
    assert (done.status, done.out) == (2, "")
    assert said in done.err


def test_an_untrained_network_settles_nothing_and_says_so(nnguard, untrained, tmp_path):
    file = tmp_path / "flips.json"
    done = nnguard("fliptest", untrained, "-i", images(), "-l", references(), "-n", 5, "-device", "cpu", "-o", file)
    assert done.status == 0
    assert "safe axes: unknown" in done.out
    assert done.out.count("unsettled") == 4
    assert "has nothing to lose" in done.out
    refused = nnguard("repair", untrained, "--from-fliptest", file, "--dry-run")
    assert refused.status == 2
    assert "holds no verdict" in refused.err


def test_cases_too_few_are_named_as_the_reason(nnguard, untrained):
    done = nnguard("fliptest", untrained, "-i", images(), "-n", 1, "-device", "cpu")
    assert "1 of the 5 cases that a verdict takes" in done.out


def test_the_guard_is_armed_again_afterwards(nnguard, untrained):
    from nnguard import arming

    before = arming.armed(), arming.policy() and str(arming.policy())
    nnguard("fliptest", untrained, "-i", images(), "-n", 1, "-device", "cpu")
    assert (arming.armed(), arming.policy() and str(arming.policy())) == before


def test_when_no_case_runs_the_reasons_are_given_and_nothing_is_written(nnguard, untrained, tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "images/broken_0000.png").write_bytes(b"no picture")
    file = tmp_path / "flips.json"
    done = nnguard("fliptest", untrained, "-i", tmp_path / "images", "-device", "cpu", "-o", file)
    assert (done.status, done.out) == (2, "")
    assert "broken: " in done.err.splitlines()[-1]
    assert not file.exists()


# ---------------------------------------------------------------- trained networks, in processes of their own


def command(folder, *arguments):
    """The command as a shell would run it; nnU-Net's prints go where they go."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("NNGUARD", "nnUNet"))}
    program = "import sys; from nnguard.cli import main; sys.exit(main())"
    return subprocess.run(
        [sys.executable, "-c", program, *map(str, arguments)],
        capture_output=True,
        text=True,
        env=environment,
        cwd=folder,
        timeout=300,
        check=False,
    )


@pytest.fixture(scope="module")
def never_mirrored(tmp_path_factory):
    """Issue 2552: left and right halves, trained without mirroring, (0, 1) declared."""
    return small_model("2d", tmp_path_factory.mktemp("trap"), steps=200, mirrors=None)


@pytest.mark.parametrize(("shape", "axes"), [((1, 64, 64), "yx"), ((16, 32, 40), "zyx")])
def test_a_picture_shows_the_plain_answer_first_and_outlines_labels_without_a_name(tmp_path, monkeypatch, shape, axes):
    from nnguard.report import contact_sheet

    drawn = []
    monkeypatch.setattr(contact_sheet, "write_contact_sheet", lambda *arguments: drawn.append(arguments))
    plain, flipped = np.zeros(shape, int), np.full(shape, 2)
    answers = SimpleNamespace(
        name="a", image=np.zeros(shape), plain=plain, reference=None, flipped={(1,): flipped}, tta=plain
    )
    document = {
        "model": {"folder": "model"},
        "flips": [{"axes": [1], "verdict": "harmful"}],
        "tta": {"axes": [1], "declared": "(1,)"},
        "label_names": {"1": "left"},
    }
    fliptest._draw(tmp_path / "flips.png", document, answers)
    ((_, _, pictures, axis_names, names),) = drawn
    assert [one.title for one in pictures] == ["plain", "flip {1}: harmful", "mirroring (1,)"]
    assert (pictures[0].image.ndim, "".join(axis_names), names) == (len(axes), axes, {2: "label 2"})


@pytest.mark.slow
def test_issue_2552_axis_0_is_safe_axis_1_harmful_and_mirroring_costs(never_mirrored, tmp_path):
    asked = ["fliptest", never_mirrored, "-i", images(), "-l", references(), "-device", "cpu"]
    done = command(tmp_path, *asked, "--picture", "flips.png", "-o", never_mirrored, "--format", "json")
    assert done.returncode == 1, done.stderr
    document = json.loads(done.stdout)
    jsonschema.validate(document, {**SCHEMA, "anyOf": [{"$ref": "#/$defs/fliptest"}]})
    flips = {tuple(flip["axes"]): flip for flip in document["flips"]}
    assert {axes: flip["verdict"] for axes, flip in flips.items()} == {
        (0,): "safe",
        (1,): "harmful",
        (0, 1): "harmful",
    }
    assert flips[(0,)]["agreement"] > 0.9
    assert flips[(1,)]["agreement"] < 0.15
    assert document["plain"]["dice"] > 0.85
    assert document["tta"]["gain"] < -0.2
    assert document["safe_axes"] == [0]
    assert json.loads((never_mirrored / FLIPTEST_FILE).read_text())["flips"] == document["flips"]
    assert (tmp_path / "flips.png").read_bytes().startswith(b"\x89PNG")
    assert "case 1 of 8" in done.stderr

    told = command(tmp_path, *asked).stdout
    tta = document["tta"]
    assert f"costs {-tta['gain']:.3f} Dice (95 %: {-tta['gain_high']:.3f} to {-tta['gain_low']:.3f})" in told
    assert "Predict with --disable_tta until it is repaired" in told
    assert f"nnguard repair {never_mirrored} --from-fliptest" in told


@pytest.mark.slow
def test_a_default_model_reads_every_flip_and_what_mirroring_gains_is_shown(tmp_path):
    model = small_model("2d", tmp_path / "results", steps=80, whole=True)
    labels = tmp_path / "labels"
    labels.mkdir()
    from skimage import io

    for path in references().glob("*.png"):
        io.imsave(str(labels / path.name), io.imread(path).clip(max=1), check_contrast=False)
    asked = ["fliptest", model, "-i", images(), "-l", labels, "-device", "cpu"]
    document = json.loads(command(tmp_path, *asked, "--format", "json").stdout)
    assert {flip["verdict"] for flip in document["flips"]} == {"safe"}
    assert all(flip["loss_high"] <= 0.05 for flip in document["flips"])
    assert (document["safe_axes"], document["tta"]["verdict"]) == ([0, 1], "safe")
    done = command(tmp_path, *asked)
    assert done.returncode == 0
    assert "test-time mirroring as declared, (0, 1): Dice" in done.stdout
    gain = document["tta"]["gain"]
    said = "changes Dice by less than" if round(gain, 3) == 0 else "gains" if gain > 0 else "costs"
    assert said in done.stdout
    assert "safe axes: (0, 1)" in done.stdout
