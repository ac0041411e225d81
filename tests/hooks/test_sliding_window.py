"""What is found while nnU-Net's sliding window runs is raised when it has returned: its feeding thread would wait for
ever, and in nnU-Net 2.6.0 to 2.7.0 keep the process alive."""

import threading
from pathlib import Path

import numpy as np
import pytest

from nnguard import MirroringError
from tests.hooks.predictions import PROPERTIES, load

WIDE = np.random.default_rng(0).normal(size=(1, 1, 256, 256)).astype(np.float32)


@pytest.fixture
def changing_predictor(new_predictor):
    """A predictor that sets its axes when its window has begun, where no other check looks any more."""
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

    class ChangingPredictor(nnUNetPredictor):
        set_inside = None
        patches = 0

        def _internal_predict_sliding_window_return_logits(self, *args, **kwargs):
            if self.set_inside is not None:
                self.allowed_mirroring_axes = self.set_inside
            return super()._internal_predict_sliding_window_return_logits(*args, **kwargs)

        def _internal_maybe_mirror_and_predict(self, x):
            self.patches += 1
            return super()._internal_maybe_mirror_and_predict(x)

    return new_predictor(ChangingPredictor)


def unmirrored_without_axes(made, folder):
    made = load(made, folder)
    made.allowed_mirroring_axes = None
    return made


def test_a_refusal_waits_until_every_patch_has_run_and_leaves_no_thread(guard, changing_predictor, model_folders):
    guard("warn,NNG101=log")
    made = unmirrored_without_axes(changing_predictor, model_folders["unmirrored"])
    guard("strict")
    made.predict_single_npy_array(WIDE, dict(PROPERTIES))
    patches, threads = made.patches, threading.active_count()
    assert patches > 4
    made.patches, made.set_inside = 0, (0, 1)
    for _again in range(2):  # whoever goes on regardless is refused again
        made.patches, made.allowed_mirroring_axes = 0, None
        with pytest.raises(MirroringError) as raised:
            made.predict_single_npy_array(WIDE, dict(PROPERTIES))
        assert [finding.code for finding in raised.value.findings] == ["NNG101"]
        assert made.patches == patches
        assert threading.active_count() == threads
    made.set_inside = None
    made.allowed_mirroring_axes = None
    made.predict_single_npy_array(WIDE, dict(PROPERTIES))


def test_no_file_is_written_for_the_refused_case(guard, changing_predictor, model_folders, tmp_path):
    guard("warn,NNG101=log")
    made = unmirrored_without_axes(changing_predictor, model_folders["unmirrored"])
    guard("strict")
    made.set_inside = (0, 1)
    with pytest.raises(MirroringError):
        made.predict_from_list_of_npy_arrays(
            [WIDE], None, [dict(PROPERTIES)], [str(tmp_path / "case")], num_processes=1
        )
    assert not list(Path(tmp_path).glob("case*"))


def test_correct_narrows_inside_the_window(guard, changing_predictor, model_folders, told):
    guard("warn,NNG101=log")
    made = unmirrored_without_axes(changing_predictor, model_folders["unmirrored"])
    plain = made.predict_single_npy_array(WIDE, dict(PROPERTIES))
    guard("correct")
    made.set_inside = (0, 1)
    assert (made.predict_single_npy_array(WIDE, dict(PROPERTIES)) == plain).all()
    assert told.codes == ["NNG101"]


def test_a_refusal_of_a_window_that_failed_is_not_the_next_ones(guard, changing_predictor, model_folders):
    guard("warn,NNG101=log")
    made = unmirrored_without_axes(changing_predictor, model_folders["unmirrored"])
    guard("strict")
    made.set_inside = (0, 7)  # nnU-Net itself stops at these
    with pytest.raises(AssertionError):
        made.predict_single_npy_array(WIDE, dict(PROPERTIES))
    made.set_inside = made.allowed_mirroring_axes = None
    made.predict_single_npy_array(WIDE, dict(PROPERTIES))


def test_a_refusal_survives_a_second_window_inside_the_first(guard, new_predictor, model_folders):
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

    class TwicePredictor(nnUNetPredictor):
        """Predicts twice and averages, as people do with other scales; it mirrors in the first window alone."""

        set_inside = None

        def predict_logits_from_preprocessed_data(self, data):
            self.set_inside = (0, 1)
            first = super().predict_logits_from_preprocessed_data(data)
            self.allowed_mirroring_axes = self.set_inside = None
            return (first + super().predict_logits_from_preprocessed_data(data)) / 2

        def _internal_predict_sliding_window_return_logits(self, *args, **kwargs):
            if self.set_inside is not None:
                self.allowed_mirroring_axes = self.set_inside
            return super()._internal_predict_sliding_window_return_logits(*args, **kwargs)

    guard("warn,NNG101=log")
    made = unmirrored_without_axes(new_predictor(TwicePredictor), model_folders["unmirrored"])
    guard("strict")
    with pytest.raises(MirroringError):
        made.predict_single_npy_array(WIDE, dict(PROPERTIES))
