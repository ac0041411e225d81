"""What the demo says that it measured is what lies in the files and in the output."""

import numpy
import pytest

from nnguard.demo import disc_dataset, outcome
from nnguard.findings import Finding
from nnguard.report.text import finding_text

io = pytest.importorskip("skimage.io")


def write(folder, **pictures):
    folder.mkdir(exist_ok=True)
    for name, picture in pictures.items():
        io.imsave(str(folder / f"{name}.png"), picture, check_contrast=False)
    return folder


def halves():
    picture = numpy.zeros((8, 8), dtype=numpy.uint8)
    picture[2:6, 2:4], picture[2:6, 4:6] = disc_dataset.LEFT, disc_dataset.RIGHT
    return picture


def test_the_truth_itself_has_dice_one_and_swapped_halves_have_none(tmp_path):
    truth = write(tmp_path / "truth", a=halves())
    assert outcome.dice(truth, truth) == 1.0
    assert outcome.dice(write(tmp_path / "swapped", a=halves()[:, ::-1]), truth) == 0.0


def test_half_of_one_label_missing_is_counted_for_that_label_alone(tmp_path):
    truth = write(tmp_path / "truth", a=halves())
    cut = halves()
    cut[2:4, 2:4] = 0
    assert outcome.dice(write(tmp_path / "cut", a=cut), truth) == pytest.approx((2 * 4 / (4 + 8) + 1) / 2)


def test_a_case_that_was_not_predicted_is_no_silent_average(tmp_path):
    truth = write(tmp_path / "truth", a=halves(), b=halves())
    with pytest.raises(FileNotFoundError):
        outcome.dice(write(tmp_path / "half", a=halves()), truth)


@pytest.mark.parametrize(
    ("printed", "mean"),
    [
        ("[np.float32(0.96), np.float32(0.94)]", 0.95),
        ("[np.float64(0.5), np.float64(1.0)]", 0.75),
        ("[0.96, 0.94]", 0.95),
        ("[np.float32(2e-05), np.float32(0.0)]", 1e-05),
    ],
)
def test_pseudo_dice_is_read_as_numpy_of_any_version_prints_it(printed, mean):
    output = f"2026-01-01: Pseudo dice [np.float32(0.1), np.float32(0.1)]\n2026-01-01: Pseudo dice {printed} \n"
    assert outcome.pseudo_dice(output) == pytest.approx(mean)


def test_a_pseudo_dice_of_no_label_is_not_left_out_of_the_mean():
    assert numpy.isnan(outcome.pseudo_dice("Pseudo dice [np.float32(0.9), np.float32(nan)]"))


def test_a_training_that_printed_none_has_none():
    with pytest.raises(ValueError, match="no pseudo Dice"):
        outcome.pseudo_dice("Epoch 0\n")


def text_of(code):
    remedy = "Predict without mirroring:\n    nnUNetv2_predict --disable_tta"
    finding = Finding(code, "nnUNetTrainerX", "The predictor mirrors axis 1.", remedy=remedy)
    return finding_text(finding)


def test_each_finding_is_cut_out_whole_from_what_surrounds_it_and_once():
    first, second = text_of("NNG101"), text_of("NNG103")
    output = f"Epoch 0\ntrain.py:7: ConsistencyWarning: {first}\nmore\n{second}\n{first}\nEpoch 1\n"
    assert outcome.findings_in(output) == [first, second]


def test_a_code_in_passing_is_no_finding():
    assert outcome.findings_in("NNG101 was mentioned\nTo silence it: nnguard rule NNG101\n") == []


def test_files_are_the_same_by_bytes_and_by_name(tmp_path):
    one = write(tmp_path / "one", a=halves(), b=halves())
    assert outcome.same_files(one, write(tmp_path / "two", a=halves(), b=halves()))
    assert not outcome.same_files(one, write(tmp_path / "fewer", a=halves()))
    assert not outcome.same_files(one, write(tmp_path / "other", a=halves(), b=halves()[::-1, ::-1]))
