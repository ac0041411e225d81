"""Claims about running a network under flips, with networks whose answers are known."""

from __future__ import annotations

import shutil
from inspect import unwrap
from pathlib import Path
from types import FunctionType, SimpleNamespace

import nibabel
import numpy as np
import pytest
import SimpleITK
import torch

from nnguard.effect import views
from nnguard.effect.statistics import mean_of
from nnguard.effect.views import FlipTrial, cases_in
from nnguard.errors import NNGuardError
from nnguard.flips import flips_of
from tests.support.small_models import raw, small_model


class ByBrightness(torch.nn.Module):
    """Label 1 where it is bright: answers every mirrored image with the mirrored answer."""

    def forward(self, image):
        bright = image[:, :1]
        return torch.cat([-bright, bright, torch.full_like(bright, -100)], 1)


class ByPlace(torch.nn.Module):
    """What is bright is label 1 in the first half of one axis, and label 2 in the second: blind to a mirror."""

    def __init__(self, axis):
        super().__init__()
        self.axis = axis

    def forward(self, image):
        bright = image[:, :1]
        size = image.shape[self.axis + 2]
        place = torch.linspace(-1, 1, size).reshape([-1 if axis == self.axis + 2 else 1 for axis in range(image.ndim)])
        return torch.cat([-bright, bright - 50 * (place > 0), bright - 50 * (place <= 0)], 1)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Kind -> an untrained model of it, made when it is first asked for."""
    made = {}

    def get(kind):
        if kind not in made:
            made[kind] = small_model(kind, tmp_path_factory.mktemp(kind))
        return made[kind]

    return get


def trial_of(folder, network=None):
    trial = FlipTrial(folder, [0], "checkpoint_final.pth", "cpu")
    if network is not None:
        trial.predictor.network, trial.predictor.list_of_parameters = network, [{}]
    return trial


def answered(trial, cases, axes=(0, 1)):
    """What ran, and the lines about what did not."""
    ran = [trial.tried(case, axes) for case in cases]
    return [one for one in ran if not isinstance(one, str)], [one for one in ran if isinstance(one, str)]


def training_cases(kind, number=2, ending=None):
    folder = raw(kind)
    ending = ending or (".png" if kind not in ("isotropic", "anisotropic") else ".nii.gz")
    return cases_in(folder / "imagesTr", folder / "labelsTr", ending, number)


def test_a_network_that_mirrors_with_its_image_agrees_with_itself_under_every_flip(folders):
    ran, failed = answered(trial_of(folders("2d"), ByBrightness()), training_cases("2d"))
    assert failed == []
    for answers, scores in ran:
        assert set(scores.agreement) == set(flips_of((0, 1)))
        assert {mean_of(one) for one in scores.agreement.values()} == {1.0}
        assert np.array_equal(answers.tta, answers.plain)


@pytest.mark.parametrize("axis", [0, 1])
def test_a_network_that_goes_by_place_disagrees_under_the_flips_of_that_axis_alone(folders, axis):
    (_, scores), *_ = answered(trial_of(folders("2d"), ByPlace(axis)), training_cases("2d"))[0]
    other = 1 - axis
    assert mean_of(scores.agreement[(other,)]) == 1.0
    assert mean_of(scores.agreement[(axis,)]) < 0.05
    assert mean_of(scores.agreement[(0, 1)]) < 0.05


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_in_3d_there_are_seven_flips_and_each_is_told_from_the_others(folders, axis):
    cases = training_cases("isotropic", 1)
    (_, scores), *_ = answered(trial_of(folders("isotropic"), ByPlace(axis)), cases, (0, 1, 2))[0]
    assert set(scores.agreement) == set(flips_of((0, 1, 2)))
    for flip, seen in scores.agreement.items():
        assert (mean_of(seen) == 1.0) == (axis not in flip)


def test_the_averaged_answer_is_that_of_nnunets_own_predictor(folders):
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

    cases = training_cases("2d", 1)
    trial = trial_of(folders("2d"))
    (answers, _), *_ = answered(trial, cases)[0]
    predictor = nnUNetPredictor(use_mirroring=True, device=torch.device("cpu"), allow_tqdm=False)
    predictor.initialize_from_trained_model_folder(str(folders("2d")), (0,), "checkpoint_final.pth")
    assert tuple(predictor.allowed_mirroring_axes) == (0, 1)
    image, properties = predictor.plans_manager.image_reader_writer_class().read_images(
        [str(path) for path in cases[0].channels]
    )
    own = predictor.predict_single_npy_array(image, properties, None, None, False)
    # nnU-Net averages the views of a patch before it adds them up in half precision; here the sums are averaged.
    assert (answers.tta == own).mean() > 0.99
    assert (answers.plain == own).mean() < 0.97


def test_folds_are_averaged(tmp_path):
    folder = small_model("2d", tmp_path, folds=(0, 1))
    cases = training_cases("2d", 1)

    def plain(*folds):
        trial = FlipTrial(folder, folds, "checkpoint_final.pth", "cpu")
        data, _, _ = trial.predictor.configuration_manager.preprocessor_class(verbose=False).run_case(
            [str(path) for path in cases[0].channels],
            None,
            trial.predictor.plans_manager,
            trial.predictor.configuration_manager,
            trial.predictor.dataset_json,
        )
        return trial._logits(torch.as_tensor(data), ()).float()

    assert torch.allclose(plain(0, 1), (plain(0) + plain(1)) / 2, atol=0.05)
    assert not torch.allclose(plain(0), plain(1), atol=0.05)


def test_regions_are_scored_by_the_labels_that_they_are_made_of(folders):
    trial = trial_of(folders("regions"))
    assert trial.foreground == [1, 2]
    ran, failed = answered(trial, training_cases("regions"))
    assert failed == []
    assert all(set(scores.plain) == {1, 2} for _, scores in ran)


def test_what_is_labelled_ignore_does_not_count(folders):
    cases = training_cases("ignore", 1)
    (answers, scores), *_ = answered(trial_of(folders("ignore"), ByBrightness()), cases)[0]
    counted = answers.reference != 3
    assert not counted.all()
    both = (answers.plain == 1) & (answers.reference == 1)
    size = ((answers.plain == 1) & counted).sum() + (answers.reference == 1).sum()
    assert scores.plain[1] == pytest.approx(2 * both.sum() / size)


# ---------------------------------------------------------------- odd cases


def test_out_of_memory_is_told_and_the_next_case_runs(folders, monkeypatch):
    trial = trial_of(folders("2d"))
    sound, calls = trial._logits, []

    def runs_out(data, flip):
        calls.append(flip)
        if len(calls) == 2:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")
        return sound(data, flip)

    monkeypatch.setattr(trial, "_logits", runs_out)
    ran, failed = answered(trial, training_cases("2d", 2))
    assert len(ran) == 1
    assert len(failed) == 1
    assert "out of memory" in failed[0]


def test_a_missing_channel_is_named(folders, tmp_path):
    images = raw("two_channels") / "imagesTr"
    whole = sorted(images.glob("*_0000.png"))[0]
    case = whole.name.removesuffix("_0000.png")
    shutil.copy(whole, tmp_path / whole.name)
    cases = cases_in(tmp_path, None, ".png", 1)
    assert answered(trial_of(folders("two_channels")), cases)[1] == [
        f"{case}: it has channels [0], and the model was trained on [0, 1]"
    ]
    shutil.copy(images / f"{case}_0001.png", tmp_path)
    assert answered(trial_of(folders("two_channels")), cases_in(tmp_path, None, ".png", 1))[1] == []
    shutil.copy(images / f"{case}_0001.png", tmp_path / f"{case}_0002.png")
    (told,) = answered(trial_of(folders("two_channels")), cases_in(tmp_path, None, ".png", 1))[1]
    assert "it has channels [0, 1, 2], and the model was trained on [0, 1]" in told


def test_an_unreadable_image_is_told_and_the_others_run(folders, tmp_path):
    for number, path in enumerate(sorted((raw("2d") / "imagesTr").glob("*_0000.png"))[:2]):
        shutil.copy(path, tmp_path / f"case{number}_0000.png")
    (tmp_path / "case0_0000.png").write_bytes(b"no picture")
    ran, failed = answered(trial_of(folders("2d")), cases_in(tmp_path, None, ".png", 2))
    assert [answers.name for answers, _ in ran] == ["case1"]
    assert failed[0].startswith("case0: ")


def test_labels_of_another_shape_are_told(folders, tmp_path):
    from skimage import io

    (case,) = training_cases("2d", 1)
    io.imsave(str(tmp_path / case.labels.name), np.zeros((32, 32), np.uint8), check_contrast=False)
    cases = cases_in(case.channels[0].parent, tmp_path, ".png", 100)
    cases = [one for one in cases if one.labels]
    (told,) = answered(trial_of(folders("2d")), cases)[1]
    assert "its labels have shape (1, 32, 32), the image (1, 64, 64)" in told


def write_volume(path, array, spacing):
    image = SimpleITK.GetImageFromArray(array.astype(np.float32))
    image.SetSpacing(spacing)
    SimpleITK.WriteImage(image, str(path))


@pytest.mark.parametrize(("shape", "spacing"), [((1, 40, 40), (1, 1, 5)), ((20, 33, 51), (0.7, 1.3, 2.0))])
def test_a_single_slice_and_another_spacing_come_back_in_their_own_space(folders, tmp_path, shape, spacing):
    generator = np.random.default_rng(3)
    write_volume(tmp_path / "odd_0000.nii.gz", generator.normal(100, 20, shape), spacing)
    ran, failed = answered(
        trial_of(folders("isotropic"), ByBrightness()), cases_in(tmp_path, None, ".nii.gz", 1), (0, 1, 2)
    )
    assert failed == []
    assert ran[0][0].plain.shape == shape
    assert {answer.shape for answer in ran[0][0].flipped.values()} == {shape}


#: A real head of the package's own test data, 33 x 41 x 25 voxels.
ANATOMICAL = Path(nibabel.__file__).with_name("tests") / "data" / "anatomical.nii"


def test_a_real_volume_goes_through(folders, tmp_path):
    nibabel.save(nibabel.load(ANATOMICAL), tmp_path / "head_0000.nii.gz")
    cases = cases_in(tmp_path, None, ".nii.gz", 1)
    ran, failed = answered(trial_of(folders("isotropic"), ByBrightness()), cases, (0, 1, 2))
    assert failed == []
    ((answers, scores),) = ran
    assert answers.plain.shape == answers.image.shape == (25, 41, 33)
    assert 0.02 < (answers.plain == 1).mean() < 0.8
    assert min(mean_of(one) for one in scores.agreement.values()) > 0.97
    ran, _ = answered(trial_of(folders("isotropic"), ByPlace(2)), cases, (0, 1, 2))
    agreement = ran[0][1].agreement
    assert mean_of(agreement[(2,)]) < 0.1 < 0.9 < mean_of(agreement[(0, 1)])


# ---------------------------------------------------------------- which cases


def test_cases_are_spread_over_the_names(tmp_path):
    for number in range(10):
        (tmp_path / f"case_{number}_0000.png").touch()
    assert [case.name for case in cases_in(tmp_path, None, ".png", 5)] == [
        f"case_{number}" for number in (0, 2, 4, 6, 8)
    ]
    assert len(cases_in(tmp_path, None, ".png", 50)) == 10


@pytest.mark.parametrize(
    ("files", "labels", "said"),
    [
        ([], None, "no image named NAME_0000.png"),
        (["case.png", "case_00.png", "case_0000.nii.gz"], None, "no image named NAME_0000.png"),
        (["case_0000.png"], "empty", "no labels named case.png"),
        (["case_0000.png"], "missing", "is not a folder"),
    ],
)
def test_folders_that_hold_no_case_are_refused(tmp_path, files, labels, said):
    (tmp_path / "images").mkdir()
    (tmp_path / "empty").mkdir()
    for name in files:
        (tmp_path / "images" / name).touch()
    with pytest.raises(NNGuardError, match=said):
        cases_in(tmp_path / "images", tmp_path / labels if labels else None, ".png", 4)


def test_a_cascades_second_stage_is_refused(folders, monkeypatch):
    loaded = SimpleNamespace(configuration_manager=SimpleNamespace(previous_stage_name="3d_lowres"))
    monkeypatch.setattr(views, "_load", lambda *arguments: loaded)
    with pytest.raises(NNGuardError, match="test the first stage"):
        trial_of(folders("2d"))


def test_a_model_that_nnunet_cannot_load_is_told(folders, tmp_path):
    broken = shutil.copytree(folders("2d"), tmp_path / "model")
    (broken / "fold_0/checkpoint_final.pth").write_bytes(b"no checkpoint")
    with pytest.raises(NNGuardError, match="nnU-Net cannot load it here"):
        trial_of(broken)


def test_an_nnunet_that_renamed_the_method_of_a_patch_is_told_and_no_flip_counts_as_safe(folders, monkeypatch):
    """The twins are the tests above: the same model and case, with the method under its name."""
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

    name = "_internal_maybe_mirror_and_predict"
    window = unwrap(nnUNetPredictor._internal_predict_sliding_window_return_logits)
    assert name in window.__code__.co_names
    names = tuple("_predict_patch" if word == name else word for word in window.__code__.co_names)
    renamed = FunctionType(window.__code__.replace(co_names=names), window.__globals__)
    renamed.__defaults__ = window.__defaults__
    monkeypatch.setattr(nnUNetPredictor, "_predict_patch", getattr(nnUNetPredictor, name), raising=False)
    monkeypatch.setattr(nnUNetPredictor, window.__name__, renamed)
    ran, failed = answered(trial_of(folders("2d"), ByPlace(0)), training_cases("2d"))
    assert ran == []
    assert len(failed) == 2
    assert all("upgrade nnguard" in line for line in failed)
