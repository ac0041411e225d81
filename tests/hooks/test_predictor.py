"""Real predictors under the guard: their axes against what their weights were trained to see."""

import copy
import gc
import inspect
import json
import pickle
import shutil
import weakref
from collections import OrderedDict
from multiprocessing.pool import ThreadPool

import numpy as np
import pytest

from nnguard import ConfigurationError, MirroringError
from nnguard.hooks import patching, predictor
from tests.hooks.predictions import CHECKPOINT, IMAGE, PROPERTIES, load, predicted


def load_by_hand(made, folder, *, rebuilt=False, prefix=""):
    """As MONAI and many scripts do: own ``torch.load``, attributes set one by one."""
    import torch
    from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

    checkpoint = torch.load(folder / "fold_0" / CHECKPOINT, map_location="cpu", weights_only=False)
    plans = json.loads((folder / "plans.json").read_text())
    dataset_json = json.loads((folder / "dataset.json").read_text())
    made.plans_manager = PlansManager(plans)
    made.configuration_manager = made.plans_manager.get_configuration("2d")
    made.dataset_json = dataset_json
    made.label_manager = made.plans_manager.get_label_manager(dataset_json)
    made.trainer_name = checkpoint["trainer_name"]
    made.allowed_mirroring_axes = checkpoint["inference_allowed_mirroring_axes"]
    weights = checkpoint["network_weights"]
    if rebuilt:
        weights = OrderedDict((prefix + name, tensor.clone()) for name, tensor in weights.items())
    made.list_of_parameters = [weights]
    made.network = network_of(made)
    return made


def network_of(made):
    from nnunetv2.utilities.get_network_from_plans import get_network_from_plans

    configuration = made.configuration_manager
    return get_network_from_plans(
        configuration.network_arch_class_name,
        configuration.network_arch_init_kwargs,
        configuration.network_arch_init_kwargs_req_import,
        1,
        made.label_manager.num_segmentation_heads,
        deep_supervision=False,
    )


def manual(made, folder, *, parameters, in_network=False):
    """``manual_initialization`` with weights loaded by hand: as a list of parameters, in the network, or both."""
    donor = load_by_hand(copy.copy(made), folder)
    if in_network:
        donor.network.load_state_dict(donor.list_of_parameters[0])
    if not parameters:
        donor.list_of_parameters = None
        gc.collect()
    made.manual_initialization(
        donor.network,
        donor.plans_manager,
        donor.configuration_manager,
        donor.list_of_parameters,
        donor.dataset_json,
        donor.trainer_name,
        donor.allowed_mirroring_axes,
    )
    return made


def test_strict_refuses_when_the_model_is_loaded(guard, new_predictor, model_folders):
    guard("strict")
    with pytest.raises(MirroringError) as raised:
        load(new_predictor(), model_folders["unmirrored"])
    [finding] = raised.value.findings
    assert finding.code == "NNG101"
    assert finding.subject.endswith(f"fold_0/{CHECKPOINT}")
    assert raised.value.__context__ is None


def test_a_sound_model_is_used_in_silence(guard, new_predictor, model_folders, told):
    guard("exact")
    predicted(load(new_predictor(), model_folders["sound"]))
    assert told.codes == []


def test_without_mirroring_a_sound_model_gets_an_advice_and_an_unmirrored_one_nothing(
    guard, new_predictor, model_folders, told
):
    guard("strict")
    predicted(load(new_predictor(use_mirroring=False), model_folders["unmirrored"]))
    assert told.codes == []
    predicted(load(new_predictor(use_mirroring=False), model_folders["sound"]))
    assert told.codes == ["NNG102"]


def test_going_on_after_a_refusal_is_refused_again(guard, new_predictor, model_folders, tmp_path):
    guard("strict")
    made = new_predictor()
    with pytest.raises(MirroringError):
        load(made, model_folders["unmirrored"])
    with pytest.raises(MirroringError):
        predicted(made)
    with pytest.raises(MirroringError):
        made.predict_from_files(str(tmp_path / "in"), str(tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_correct_predicts_as_without_mirroring_and_warns_once(guard, new_predictor, model_folders, told):
    guard("off")
    plain = predicted(load(new_predictor(use_mirroring=False), model_folders["unmirrored"]))
    mirrored = predicted(load(new_predictor(), model_folders["unmirrored"]))
    assert (plain != mirrored).any()
    guard("correct")
    made = load(new_predictor(), model_folders["unmirrored"])
    assert (predicted(made) == plain).all()
    assert made.allowed_mirroring_axes is None
    load(new_predictor(), model_folders["unmirrored"])
    assert told.codes == ["NNG101"]
    assert "put this right" in told.texts[0]


def test_warn_changes_no_voxel(guard, new_predictor, model_folders, told):
    guard("off")
    unguarded = predicted(load(new_predictor(), model_folders["unmirrored"]))
    guard("warn")
    assert (predicted(load(new_predictor(), model_folders["unmirrored"])) == unguarded).all()
    assert told.codes == ["NNG101"]


def test_a_checkpoint_without_record_is_unverified_and_never_a_pass(guard, new_predictor, model_folders, told):
    guard("strict")
    load(new_predictor(), model_folders["unguarded"])
    assert told.codes == ["NNG101"]
    assert "(advisory: worth a look)" in told.texts[0]
    assert "debug.json" in told.texts[0]
    guard("exact")
    with pytest.raises(MirroringError):
        load(new_predictor(), model_folders["unguarded"])


def test_state_belongs_to_an_initialisation(guard, new_predictor, model_folders, told):
    guard("warn")
    made = load(new_predictor(), model_folders["sound"])
    predicted(made)
    load(made, model_folders["unmirrored"])
    assert told.codes == ["NNG101"]
    guard("strict")
    predicted(load(made, model_folders["sound"]))


@pytest.mark.parametrize("axes", [(), [], 2, (-1,), (0, 0), (0, 1, 2)], ids=repr)
@pytest.mark.parametrize("when", ["predict", "patch"])
def test_malformed_axes_set_after_initialising_are_refused_before_predicting(
    guard, new_predictor, model_folders, axes, when
):
    import torch

    guard("strict")
    made = load(new_predictor(), model_folders["sound"])
    made.allowed_mirroring_axes = axes
    use = {
        "predict": lambda: predicted(made),
        "patch": lambda: made._internal_maybe_mirror_and_predict(torch.zeros(1, 1, 64, 64)),
    }
    with pytest.raises(MirroringError) as raised:
        use[when]()
    assert [finding.code for finding in raised.value.findings] == ["NNG105"]


@pytest.mark.parametrize("axes", [(0, 1), [0, 1], (1, 0), np.array([0, 1])], ids=repr)
def test_well_formed_axes_of_any_kind_pass(guard, new_predictor, model_folders, told, axes):
    guard("exact")
    made = load(new_predictor(), model_folders["sound"])
    made.allowed_mirroring_axes = axes
    predicted(made)
    assert told.codes == []


def test_axes_set_for_each_case_are_checked_for_each_case(guard, new_predictor, model_folders, told):
    guard("strict,NNG102=log")
    made = load(new_predictor(use_mirroring=False), model_folders["unmirrored"])
    predicted(made)
    made.use_mirroring = True
    made.allowed_mirroring_axes = None
    predicted(made)
    made.allowed_mirroring_axes = [0]
    with pytest.raises(MirroringError) as raised:
        predicted(made)
    assert "after it was initialised" in raised.value.findings[0].seen


def test_a_list_of_axes_edited_in_place_is_seen_at_the_next_patch(guard, new_predictor, model_folders, told):
    import torch

    guard("warn")
    made = load(new_predictor(), model_folders["sound"])
    made.allowed_mirroring_axes = axes = [0]
    predicted(made)
    guard("strict")
    axes.append(7)
    with pytest.raises(MirroringError):
        made._internal_maybe_mirror_and_predict(torch.zeros(1, 1, 64, 64))


def test_an_ensemble_is_judged_fold_by_fold(guard, new_predictor, model_folders, tmp_path, told):
    folder = tmp_path / "ensemble"
    shutil.copytree(model_folders["sound"], folder)
    shutil.copytree(model_folders["unmirrored"] / "fold_0", folder / "fold_1")
    shutil.copytree(model_folders["unmirrored"] / "fold_0", folder / "fold_2")
    guard("warn")
    load(new_predictor(), folder, (0, 1, 2))
    assert told.codes == ["NNG101", "NNG301"]
    assert "fold_1" in told.texts[0]
    assert "fold_2" in told.texts[0]
    guard("correct")
    made = load(new_predictor(), folder, None)
    assert made.allowed_mirroring_axes is None


@pytest.mark.parametrize("rebuilt", [False, True])
@pytest.mark.parametrize("prefix", ["", "module."])
def test_weights_loaded_by_hand_find_their_record(guard, new_predictor, model_folders, rebuilt, prefix):
    guard("strict")
    made = load_by_hand(new_predictor(), model_folders["unmirrored"], rebuilt=rebuilt, prefix=prefix)
    with pytest.raises(MirroringError) as raised:
        predicted(made)
    assert [finding.code for finding in raised.value.findings] == ["NNG101"]


def test_weights_loaded_into_a_network_by_hand_find_their_record(guard, new_predictor, model_folders):
    guard("strict")
    with pytest.raises(MirroringError) as raised:
        manual(new_predictor(), model_folders["unmirrored"], parameters=False, in_network=True)
    assert [finding.code for finding in raised.value.findings] == ["NNG101"]


def windowed(made):
    import torch

    return made.predict_sliding_window_return_logits(torch.from_numpy(IMAGE))


@pytest.mark.parametrize("parameters", [True, False])
def test_other_weights_loaded_into_a_judged_predictors_network_are_judged(
    guard, new_predictor, model_folders, told, parameters
):
    import torch

    guard("strict")
    made = manual(new_predictor(), model_folders["sound"], parameters=parameters, in_network=True)
    windowed(made)
    assert told.codes == []
    other = torch.load(model_folders["unmirrored"] / "fold_0" / CHECKPOINT, weights_only=False)["network_weights"]
    made.network.load_state_dict(other)
    with pytest.raises(MirroringError) as raised:
        windowed(made)
    assert [finding.code for finding in raised.value.findings] == ["NNG101"]


def test_weights_of_nobody_in_a_judged_predictors_network_are_unverified(guard, new_predictor, model_folders, told):
    import torch

    guard("strict")
    made = manual(new_predictor(), model_folders["sound"], parameters=False, in_network=True)
    with torch.no_grad():
        for parameter in made.network.parameters():
            parameter.add_(0.25)
    windowed(made)
    assert told.codes == ["NNG108"]


def test_weights_that_the_list_is_loaded_over_are_not_judged(guard, new_predictor, model_folders, told):
    import torch

    guard("strict")
    made = manual(new_predictor(), model_folders["sound"], parameters=True, in_network=True)
    other = torch.load(model_folders["unmirrored"] / "fold_0" / CHECKPOINT, weights_only=False)["network_weights"]
    made.network.load_state_dict(other)
    predicted(made)
    assert told.codes == []


@pytest.mark.parametrize("folds", [(0,), (0, 1)])
def test_a_network_in_another_precision_or_with_each_folds_weights_in_turn_is_no_stranger(
    guard, new_predictor, model_folders, tmp_path, told, folds
):
    import torch

    folder = tmp_path / "ensemble"
    shutil.copytree(model_folders["sound"], folder)
    shutil.copytree(model_folders["sound"] / "fold_0", folder / "fold_1")
    guard("exact")
    made = load(new_predictor(), folder, folds)
    made.network.to(torch.bfloat16).float()
    predicted(made)
    predicted(made)
    assert told.codes == []


def test_manual_initialisation_with_parameters_finds_the_record(guard, new_predictor, model_folders):
    guard("strict")
    with pytest.raises(MirroringError):
        manual(new_predictor(), model_folders["unmirrored"], parameters=True)


def test_weights_that_nobody_saw_being_loaded_are_unverified(guard, new_predictor, model_folders, told):
    guard("strict")
    manual(new_predictor(), model_folders["sound"], parameters=False)
    assert told.codes == ["NNG108"]


def test_the_safe_reader_answers_where_torch_load_was_not_seen(guard, new_predictor, model_folders, monkeypatch):
    guard("strict")
    monkeypatch.setattr("nnguard.hooks.torch_io.remember", lambda *_: None)
    monkeypatch.setattr("nnguard.hooks.origins.origin_of", lambda *_: None)
    with pytest.raises(MirroringError) as raised:
        load(new_predictor(), model_folders["unmirrored"])
    assert [finding.code for finding in raised.value.findings] == ["NNG101"]


def test_a_broken_record_is_not_no_record(guard, new_predictor, model_folders, tmp_path, told):
    import torch

    folder = tmp_path / "broken"
    shutil.copytree(model_folders["sound"], folder)
    path = folder / "fold_0" / CHECKPOINT
    checkpoint = torch.load(path, weights_only=False)
    torch.save({**checkpoint, "nnguard": "{"}, path)
    guard("strict")
    load(new_predictor(), folder)
    assert told.codes == ["NNG108"]
    assert "not the JSON text" in told.texts[0]


def test_loading_keeps_no_weights_alive(guard, model_folders):
    import torch

    guard("warn")
    checkpoint = torch.load(model_folders["sound"] / "fold_0" / CHECKPOINT, weights_only=False)
    references = [weakref.ref(checkpoint["network_weights"])]
    references += [weakref.ref(tensor) for tensor in checkpoint["network_weights"].values()]
    del checkpoint
    gc.collect()
    assert not [reference for reference in references if reference() is not None]


def test_the_trainers_own_validation_is_judged_by_its_live_record(guard, new_trainer, new_predictor, unmirrored, told):
    guard("strict,NNG103=log")
    made = new_trainer(unmirrored)
    made.on_train_start()
    with pytest.raises(MirroringError) as raised:
        made.perform_actual_validation()
    [finding] = raised.value.findings
    assert finding.code == "NNG101"
    assert finding.subject.startswith("nnUNetTrainerUnmirrored")
    assert "the trainer" in str(raised.value)


@pytest.mark.parametrize("accident", [ValueError("ours"), RecursionError("ours"), MemoryError("ours")], ids=repr)
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.expects_internal_error
def test_a_fault_of_ours_at_every_place_changes_no_voxel(guard, new_predictor, model_folders, when, accident):
    guard("off")
    unguarded = predicted(load(new_predictor(), model_folders["sound"]))

    def fail(*_arguments):
        raise accident

    guard("warn")
    for patch in patching.patches():
        setattr(patch, when, fail)
    assert (predicted(load(new_predictor(), model_folders["sound"])) == unguarded).all()
    places = {swallowed.place for swallowed in patching.swallowed}
    assert places >= {
        f"nnUNetPredictor.{name} {when}"
        for name in (
            "__init__",
            "initialize_from_trained_model_folder",
            "predict_single_npy_array",
            "_internal_maybe_mirror_and_predict",
        )
    }
    assert f"torch.load {when}" in places


def test_the_hosts_own_error_passes_untouched(guard, new_predictor, model_folders):
    guard("warn")
    made = load(new_predictor(), model_folders["sound"])
    with pytest.raises(Exception) as raised:  # noqa: PT011 - whatever nnU-Net says to an image without a property
        made.predict_single_npy_array(IMAGE, {})
    assert type(raised.value) is KeyError
    assert raised.value.__context__ is None


def test_a_predictor_that_was_never_initialised_gets_nnunets_own_error(guard, new_predictor):
    guard("exact")
    with pytest.raises(AttributeError):
        predicted(new_predictor())


def test_an_unreadable_mode_is_refused_at_the_first_predictor(new_predictor, monkeypatch):
    from nnguard import arming

    monkeypatch.setenv("NNGUARD", "stict")
    arming.arm()
    with pytest.raises(ConfigurationError):
        new_predictor()


def test_a_subclass_that_overrides_the_mirroring_is_checked_at_its_patches(guard, new_predictor, model_folders):
    import torch
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

    class OwnMirroring(nnUNetPredictor):
        @torch.inference_mode()
        def _internal_maybe_mirror_and_predict(self, x):
            return self.network(x)

    guard("strict")
    made = load(new_predictor(OwnMirroring), model_folders["sound"])
    made.allowed_mirroring_axes = (0, 0)
    with pytest.raises(MirroringError):
        made._internal_maybe_mirror_and_predict(torch.zeros(1, 1, 64, 64))


def test_a_forks_extra_keyword_of_the_initialiser_passes(guard, new_predictor, model_folders):
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

    class Fork(nnUNetPredictor):
        def initialize_from_trained_model_folder(
            self, model_training_output_dir, use_folds, checkpoint_name=CHECKPOINT, trainer_class=None
        ):
            super().initialize_from_trained_model_folder(model_training_output_dir, use_folds, checkpoint_name)

    guard("strict")
    with pytest.raises(MirroringError):
        new_predictor(Fork).initialize_from_trained_model_folder(
            str(model_folders["unmirrored"]), use_folds=(0,), trainer_class=int
        )


def monai(new_predictor, folder):
    return load_by_hand(new_predictor(), folder)


def sct(new_predictor, folder):
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

    class Fork(nnUNetPredictor):
        def initialize_from_trained_model_folder(
            self, model_training_output_dir, use_folds, checkpoint_name=CHECKPOINT, trainer_class=None
        ):
            super().initialize_from_trained_model_folder(model_training_output_dir, use_folds, checkpoint_name)

    made = new_predictor(Fork)
    made.initialize_from_trained_model_folder(str(folder), use_folds=(0,), trainer_class=int)
    return made


def by_manual_initialisation(new_predictor, folder):
    return manual(new_predictor(), folder, parameters=True)


def own_mirroring(new_predictor, folder):
    import torch
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

    class OwnMirroring(nnUNetPredictor):
        @torch.inference_mode()
        def _internal_maybe_mirror_and_predict(self, x):
            return (self.network(x) + self.network(x.flip(2)).flip(2)) / 2

    return load(new_predictor(OwnMirroring), folder)


def axes_for_each_case(new_predictor, folder):
    made = load(new_predictor(use_mirroring=False), folder)
    made.use_mirroring, made.allowed_mirroring_axes = True, (0, 1)
    return made


CLIENTS = (monai, sct, by_manual_initialisation, own_mirroring, axes_for_each_case)


@pytest.mark.parametrize("client", CLIENTS, ids=lambda client: client.__name__)
def test_a_client_with_a_sound_model_predicts_what_it_predicts_unguarded(
    guard, new_predictor, model_folders, told, client
):
    guard("off")
    unguarded = predicted(client(new_predictor, model_folders["sound"]))
    guard("exact,NNG102=log")
    assert (predicted(client(new_predictor, model_folders["sound"])) == unguarded).all()
    assert told.codes == []


@pytest.mark.parametrize("client", CLIENTS, ids=lambda client: client.__name__)
def test_a_client_with_an_unmirrored_model_is_refused_before_its_first_patch(
    guard, new_predictor, model_folders, monkeypatch, client
):
    from torch.nn import Conv2d

    guard("strict")
    monkeypatch.setattr(Conv2d, "forward", lambda *_: pytest.fail("a patch was predicted"))
    with pytest.raises(MirroringError) as raised:
        predicted(client(new_predictor, model_folders["unmirrored"]))
    assert [finding.code for finding in raised.value.findings] == ["NNG101"]


def test_predicting_methods_that_a_client_replaced_leave_the_check_at_the_patches(
    guard, new_predictor, model_folders, monkeypatch
):
    import torch
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

    guard("strict")
    made = load(new_predictor(), model_folders["sound"])
    monkeypatch.setattr(
        nnUNetPredictor, "predict_single_npy_array", lambda self, data: self._internal_maybe_mirror_and_predict(data)
    )
    made.allowed_mirroring_axes = (0, 0)
    with pytest.raises(MirroringError):
        made.predict_single_npy_array(torch.zeros(1, 1, 64, 64))


def test_signatures_are_those_of_nnunet(guard, new_predictor):
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

    guard("off")
    plain = {patch: inspect.signature(getattr(nnUNetPredictor, patch)) for patch in NAMES}
    guard("warn")
    assert {patch: inspect.signature(getattr(nnUNetPredictor, patch)) for patch in NAMES} == plain
    made = new_predictor()
    assert next(iter(inspect.signature(made.predict_from_files).parameters)) == "list_of_lists_or_source_folder"
    assert "self" in inspect.signature(nnUNetPredictor.predict_from_files).parameters
    assert inspect.getsource(nnUNetPredictor.predict_from_files).lstrip().startswith("def predict_from_files")
    assert inspect.ismethod(made.predict_from_files)


def test_methods_and_predictors_are_pickled_and_copied(guard, new_predictor, model_folders):
    guard("warn")
    made = load(new_predictor(), model_folders["sound"])
    copied = copy.deepcopy(made)
    assert (predicted(copied) == predicted(made)).all()
    method = pickle.loads(pickle.dumps(made.predict_single_npy_array))
    assert method.__self__ is not made
    assert (method(IMAGE, dict(PROPERTIES)) == predicted(made)).all()
    assert copy.deepcopy(made.predict_from_files).__self__ is not made
    with ThreadPool(1) as pool:
        assert (pool.apply(made.predict_single_npy_array, (IMAGE, dict(PROPERTIES))) == predicted(made)).all()


def test_weights_exchanged_within_the_list_are_judged_again(guard, new_predictor, model_folders):
    guard("strict")
    made = load(new_predictor(), model_folders["sound"])
    made.allowed_mirroring_axes = (0, 1)
    predicted(made)
    guard("warn,NNG101=log")
    other = load(new_predictor(), model_folders["unmirrored"]).list_of_parameters[0]
    guard("strict")
    made.list_of_parameters[0] = other
    with pytest.raises(MirroringError):
        predicted(made)


@pytest.mark.expects_internal_error
def test_a_judgement_that_fails_is_not_tried_again_at_every_patch(guard, new_predictor, model_folders, monkeypatch):
    import torch

    guard("strict")
    made = new_predictor()

    def fail(*_arguments):
        raise ValueError("ours")

    monkeypatch.setattr(predictor, "weights_of", fail)
    load(made, model_folders["sound"])
    for _patch in range(3):
        made._internal_maybe_mirror_and_predict(torch.zeros(1, 1, 64, 64))
    assert [(error.kind, error.count) for error in patching.swallowed] == [("ValueError", 1)]


def test_a_validation_that_failed_lends_its_record_to_no_other_weights(
    guard, new_trainer, new_predictor, base, model_folders
):
    class nnUNetTrainer(base):
        def perform_actual_validation(self, save_probabilities=False):
            raise OSError("the disk is full")

    guard("strict")
    made = new_trainer(nnUNetTrainer)
    made.on_train_start()
    with pytest.raises(OSError, match="disk is full"):
        made.perform_actual_validation()
    with pytest.raises(MirroringError):
        manual(new_predictor(), model_folders["unmirrored"], parameters=False, in_network=True)


def test_a_copied_predictor_is_judged_by_the_weights_it_holds(guard, new_predictor, model_folders, told):
    guard("warn")
    copied = copy.deepcopy(load(new_predictor(), model_folders["unmirrored"]))
    guard("strict")
    with pytest.raises(MirroringError) as raised:
        predicted(copied)
    assert [finding.code for finding in raised.value.findings] == ["NNG101"]


def test_a_forgotten_predictor_leaves_nothing_behind(guard, new_predictor, model_folders):
    guard("warn")
    made = load(new_predictor(), model_folders["sound"])
    key = id(made)
    assert key in predictor._judged.kept
    del made
    gc.collect()
    assert key not in predictor._judged.kept


NAMES = (
    "__init__",
    "initialize_from_trained_model_folder",
    "manual_initialization",
    "_internal_maybe_mirror_and_predict",
    "predict_from_files",
    "predict_logits_from_preprocessed_data",
)
