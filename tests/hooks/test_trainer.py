"""Real trainers under the guard: observed, judged, recorded."""

import json
import multiprocessing
import pickle
import warnings
from pathlib import Path

import pytest

from nnguard import ConfigurationError, ConsistencyWarning, MirroringError, Record
from nnguard.hooks import patching, trainer
from nnguard.models.folder import open_fold
from nnguard.models.provenance import weights_belong
from nnguard.nnunet import bare_network
from tests.support import trainers


def record_in(path):
    import torch

    loaded = torch.load(path, weights_only=False)
    return Record.from_value(loaded["nnguard"]) if "nnguard" in loaded else None


def save(made, name="checkpoint_final.pth"):
    path = Path(made.output_folder) / name
    made.save_checkpoint(str(path))
    return path


def test_strict_refuses_before_the_first_epoch_and_leaves_no_worker(guard, new_trainer, unmirrored):
    guard("strict")
    before = set(multiprocessing.active_children())
    made = new_trainer(unmirrored, workers=1)
    with pytest.raises(MirroringError) as raised:
        made.run_training()
    assert [finding.code for finding in raised.value.findings] == ["NNG103"]
    assert raised.value.__context__ is None
    assert "inference_allowed_mirroring_axes = None" in str(raised.value)
    assert made.current_epoch == 0
    assert set(multiprocessing.active_children()) <= before


@pytest.mark.parametrize("mode", ["warn", "strict", "exact", "correct"])
def test_a_sound_trainer_starts_in_silence(guard, new_trainer, told, mode):
    guard(mode)
    made = new_trainer()
    made.on_train_start()
    assert told.codes == []
    assert made.inference_allowed_mirroring_axes == (0, 1)


def test_warn_trains_on_and_every_checkpoint_carries_the_record(guard, new_trainer, unmirrored, told):
    guard("warn")
    made = new_trainer(unmirrored)
    made.run_training()
    assert told.codes == ["NNG103"]
    for name in ("checkpoint_best.pth", "checkpoint_final.pth"):
        record = record_in(Path(made.output_folder) / name)
        assert record.mirroring.safe_axes == ()
        assert [flip.verdict for flip in record.mirroring.flips] == ["unseen"] * 3
        assert record.segments[-1].steps == 2
        assert record.axes.effective == [0, 1]


def test_correct_narrows_before_anything_is_saved_and_says_who_did_it(guard, new_trainer, unmirrored, told):
    import torch

    guard("correct")
    made = new_trainer(unmirrored)
    made.on_train_start()
    assert made.inference_allowed_mirroring_axes is None
    assert told.codes == ["NNG103"]
    assert "put this right" in told.texts[0]
    checkpoint = torch.load(save(made), weights_only=False)
    assert checkpoint["inference_allowed_mirroring_axes"] is None
    axes = Record.from_value(checkpoint["nnguard"]).axes
    assert (axes.declared, axes.effective, axes.changed_by) == ([0, 1], None, "correct")
    assert axes.changed_at


@pytest.mark.parametrize("axes", [(), [], 2, (-1,), (0, 0), (0, 1, 2)], ids=repr)
def test_malformed_axes_are_refused_at_training_start(guard, new_trainer, base, axes):
    class nnUNetTrainerMalformed(base):
        def get_dataloaders(self):
            loaders = super().get_dataloaders()
            self.inference_allowed_mirroring_axes = axes
            return loaders

    guard("strict")
    with pytest.raises(MirroringError) as raised:
        new_trainer(nnUNetTrainerMalformed).on_train_start()
    assert "NNG105" in [finding.code for finding in raised.value.findings]


@pytest.mark.parametrize("axes", [None, (0,), [1], (1, 0)], ids=repr)
def test_well_formed_axes_are_not(guard, new_trainer, base, axes):
    class nnUNetTrainerWellFormed(base):
        def get_dataloaders(self):
            loaders = super().get_dataloaders()
            self.inference_allowed_mirroring_axes = axes
            return loaders

    guard("strict")
    new_trainer(nnUNetTrainerWellFormed).on_train_start()


def test_axes_set_again_after_training_started_are_refused_once_the_epochs_are_safe(guard, new_trainer, unmirrored):
    guard("strict,NNG103=log")
    made = new_trainer(unmirrored)
    made.inference_allowed_mirroring_axes = None
    made.on_train_start()
    guard("strict")
    made.inference_allowed_mirroring_axes = (1,)
    with pytest.raises(MirroringError):
        save(made)
    assert record_in(Path(made.output_folder) / "checkpoint_final.pth").axes.declared == [1]


def test_correct_narrows_axes_that_were_set_again_before_they_are_saved(guard, new_trainer, unmirrored, told):
    guard("correct")
    made = new_trainer(unmirrored)
    made.inference_allowed_mirroring_axes = None
    made.on_train_start()
    made.inference_allowed_mirroring_axes = (1,)
    axes = record_in(save(made)).axes
    assert (axes.declared, axes.effective, axes.changed_by) == ([1], None, "correct")
    assert told.codes == ["NNG103", "NNG103"]  # for (0, 1), which get_dataloaders declares, and for (1,)


def test_on_train_start_without_super_is_observed_at_the_first_step(guard, new_trainer, unmirrored):
    class nnUNetTrainerOwnStart(unmirrored):
        def on_train_start(self):
            self.initialize()
            self.set_deep_supervision_enabled(self.enable_deep_supervision)
            self.network.train()
            self.dataloader_train, self.dataloader_val = self.get_dataloaders()

    guard("strict")
    with pytest.raises(MirroringError):
        new_trainer(nnUNetTrainerOwnStart).on_train_start()


def test_a_start_that_was_replaced_out_of_sight_is_observed_at_the_first_step(guard, new_trainer, unmirrored):
    guard("strict")
    made = new_trainer(unmirrored)
    made.initialize()
    made.dataloader_train, made.dataloader_val = made.get_dataloaders()
    with pytest.raises(MirroringError):
        made.train_step(next(made.dataloader_train))


def test_a_replaced_save_checkpoint_still_writes_the_record(guard, new_trainer, base):
    import torch

    class nnUNetTrainerOwnSave(base):
        def save_checkpoint(self, filename):
            checkpoint = {
                "network_weights": self.network.state_dict(),
                "init_args": dict(self.my_init_kwargs),
                "trainer_name": type(self).__name__,
                "inference_allowed_mirroring_axes": self.inference_allowed_mirroring_axes,
            }
            with open(filename, "wb") as file:  # noqa: PTH123 - any file-like target
                torch.save(obj=checkpoint, f=file)
            assert "nnguard" not in checkpoint

    guard("warn")
    made = new_trainer(nnUNetTrainerOwnSave)
    made.on_train_start()
    assert record_in(save(made)).trainer.class_.endswith("nnUNetTrainerOwnSave")


def test_a_dict_of_nobodys_training_is_saved_as_it_is(guard, new_trainer, tmp_path):
    import torch

    guard("warn")
    made = new_trainer()
    made.on_train_start()
    foreign = {"network_weights": {}, "init_args": {"fold": 7}, "trainer_name": "nnUNetTrainer"}
    torch.save(foreign, tmp_path / "foreign.pth")
    torch.save(made.network.state_dict(), tmp_path / "weights.pth")
    assert record_in(tmp_path / "foreign.pth") is None
    assert "nnguard" not in torch.load(tmp_path / "weights.pth")


def test_another_trainings_checkpoint_saved_again_keeps_its_own_record(guard, new_trainer, base, unmirrored, tmp_path):
    import torch

    guard("warn,NNG103=log")
    renamed = type("nnUNetTrainer", (unmirrored,), {})
    first = new_trainer(renamed)
    first.on_train_start()
    earlier = save(first)
    guard("off")
    unrecorded = Path(first.output_folder) / "unrecorded.pth"
    first.save_checkpoint(str(unrecorded))
    guard("warn")
    del first
    second = new_trainer(type("nnUNetTrainer", (base,), {}))
    second.on_train_start()
    for path in (earlier, unrecorded):
        stripped = torch.load(path, map_location="cpu", weights_only=False)
        assert stripped["init_args"] == second.my_init_kwargs
        stripped["optimizer_state"] = None
        torch.save(stripped, tmp_path / path.name)
    assert record_in(tmp_path / earlier.name).mirroring.safe_axes == ()
    assert record_in(tmp_path / unrecorded.name) is None


def test_a_training_started_twice_listens_to_its_loss_once(guard, new_trainer, base):
    listeners = []

    class nnUNetTrainerOwnStep(base):
        def train_step(self, batch):
            listeners.append(len(self.loss._forward_pre_hooks))
            return super().train_step(batch)

    guard("warn")
    made = new_trainer(nnUNetTrainerOwnStep)
    made.on_train_start()
    made.train_step(next(made.dataloader_train))
    trainers.shut_down(made)
    made.on_train_start()
    made.train_step(next(made.dataloader_train))
    assert listeners == [1, 1]
    assert not made.loss._forward_pre_hooks


def test_the_network_is_found_inside_any_order_of_wrappers():
    from torch.nn import Identity, Module

    class DistributedDataParallel(Module):
        def __init__(self, module):
            super().__init__()
            self.module = module

    class OptimizedModule(Module):
        def __init__(self, module):
            super().__init__()
            self._orig_mod = module

    inner = Identity()
    for wrapped in (
        inner,
        DistributedDataParallel(inner),
        OptimizedModule(DistributedDataParallel(inner)),
        DistributedDataParallel(OptimizedModule(inner)),
    ):
        assert bare_network(wrapped) is inner


def test_the_record_lies_beside_the_checkpoint_from_the_start_and_follows_each_save(guard, new_trainer):
    guard("warn")
    made = new_trainer()
    made.on_train_start()
    copy = Path(made.output_folder) / "nnguard.json"
    assert Record.from_json(copy.read_text()).segments[-1].steps == 0
    made.network.train()
    made.train_step(next(made.dataloader_train))
    path = save(made)
    assert Record.from_json(copy.read_text()).segments == record_in(path).segments
    assert record_in(path).segments[-1].steps == 1


def test_the_copy_remembers_the_weights_of_each_checkpoint_that_was_saved(guard, new_trainer):
    guard("warn")
    made = new_trainer()
    made.on_train_start()
    path = save(made)
    fold = open_fold(Path(path))
    assert weights_belong(fold) is True
    made.network.train()
    made.train_step(next(made.dataloader_train))
    other = Path(made.output_folder) / "checkpoint_other.pth"
    made.save_checkpoint(str(other))
    assert weights_belong(open_fold(other)) is True
    assert weights_belong(open_fold(Path(path))) is True
    Path(path).write_bytes(other.read_bytes())
    assert weights_belong(open_fold(Path(path))) in (False, None)


def test_the_training_log_has_the_record_and_the_finding(guard, new_trainer, unmirrored, told):
    guard("warn")
    made = new_trainer(unmirrored)
    made.on_train_start()
    log = Path(made.log_file).read_text()
    assert "safe for test-time mirroring: none" in log
    assert "NNG103" in log


def test_the_loggers_config_hears_of_a_fresh_training_only(guard, new_trainer):
    guard("warn")
    made = new_trainer()
    heard = []
    made.logger.update_config = heard.append
    made.on_train_start()
    ours = [config for config in heard if "nnguard" in config]
    assert ours == [{"nnguard": {"declared_axes": "(0, 1)", "effective_axes": "(0, 1)", "safe_axes": "(0, 1)"}}]
    made.current_epoch = 3
    made.on_train_start()
    assert len([config for config in heard if "nnguard" in config]) == 1


def test_a_resume_keeps_the_earlier_segments_and_merges_equal_ones(guard, new_trainer, base, unmirrored, told):
    guard("warn")
    first = new_trainer(base)
    first.run_training()
    path = Path(first.output_folder) / "checkpoint_final.pth"
    resumed = new_trainer(base)
    resumed.load_checkpoint(str(path))
    resumed.num_epochs = 2
    resumed.run_training()
    [segment] = record_in(path).segments
    assert (segment.epoch, segment.steps) == (0, 4)
    changed = new_trainer(unmirrored)
    changed.load_checkpoint(str(path))
    changed.on_train_start()
    changed.network.train()
    changed.train_step(next(changed.dataloader_train))
    record = record_in(save(changed, "checkpoint_latest.pth"))
    assert [segment.steps for segment in record.segments] == [4, 1]
    assert record.mirroring.flip((0,)).rate == pytest.approx(0.8 * segment.mirroring.flip((0,)).rate)


def test_a_resume_without_a_step_changes_no_verdict(guard, new_trainer, base, unmirrored, told):
    guard("warn")
    first = new_trainer(unmirrored)
    first.run_training()
    sound = new_trainer(base)
    sound.load_checkpoint(str(Path(first.output_folder) / "checkpoint_final.pth"))
    sound.on_train_start()
    record = record_in(save(sound))
    assert record.mirroring.safe_axes == ()


def test_a_resume_from_a_checkpoint_without_record_is_unknown(guard, new_trainer):
    guard("off")
    first = new_trainer()
    first.run_training()
    path = Path(first.output_folder) / "checkpoint_final.pth"
    guard("warn")
    resumed = new_trainer()
    resumed.load_checkpoint(str(path))
    resumed.on_train_start()
    assert record_in(save(resumed)).mirroring.state == "unknown"


def test_warnings_go_out_once_a_training(guard, new_trainer, unmirrored, told):
    guard("warn")
    made = new_trainer(unmirrored)
    made.on_train_start()
    made.on_train_start()
    new_trainer(unmirrored).on_train_start()
    assert told.codes == ["NNG103"]
    new_trainer(unmirrored, fold=1).on_train_start()
    assert told.codes == ["NNG103", "NNG103"]


def test_a_warning_shows_the_users_line(guard, new_trainer, unmirrored, told):
    guard("warn")
    new_trainer(unmirrored).on_train_start()
    assert told.warnings[0].filename == __file__


def test_a_consistency_warning_as_error_reaches_the_user_and_no_worker_stays(guard, new_trainer, unmirrored):
    guard("warn")
    before = set(multiprocessing.active_children())
    made = new_trainer(unmirrored, workers=1)
    with warnings.catch_warnings():
        warnings.simplefilter("error", ConsistencyWarning)
        with pytest.raises(ConsistencyWarning):
            made.on_train_start()
    assert set(multiprocessing.active_children()) <= before


def test_an_option_that_python_could_not_read_at_its_start_is_followed(guard, new_trainer, unmirrored, monkeypatch):
    guard("warn")
    for option, raises in (("error::nnguard.ConsistencyWarning", True), ("error::DeprecationWarning", False)):
        monkeypatch.setattr("sys.warnoptions", [option])
        made = new_trainer(unmirrored)
        with warnings.catch_warnings():
            warnings.resetwarnings()
            with pytest.raises(ConsistencyWarning) if raises else pytest.warns(ConsistencyWarning):
                made.on_train_start()


def test_a_blanket_ignore_in_somebodys_code_does_not_hide_the_finding(
    guard, new_trainer, unmirrored, capsys, monkeypatch
):
    monkeypatch.setattr("sys.warnoptions", [])
    guard("warn")
    made = new_trainer(unmirrored)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made.on_train_start()
    assert capsys.readouterr().err.count("NNG103 trainer-allows-untrained-flip") == 1


def test_a_filter_that_names_our_warning_hides_it(guard, new_trainer, unmirrored, capsys, monkeypatch):
    monkeypatch.setattr("sys.warnoptions", [])
    guard("warn")
    made = new_trainer(unmirrored)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConsistencyWarning)
        made.on_train_start()
    assert "NNG103" not in capsys.readouterr().err


def test_init_arguments_are_read_as_unguarded(guard, new_trainer, base):
    class nnUNetTrainerWithArguments(base):
        def __init__(self, plans, configuration, fold, dataset_json, device):
            super().__init__(plans, configuration, fold, dataset_json, device)

    guard("warn")
    assert set(new_trainer(nnUNetTrainerWithArguments).my_init_kwargs) == {
        "plans",
        "configuration",
        "fold",
        "dataset_json",
        "device",
    }


def test_an_unreadable_mode_is_refused_at_the_first_trainer(new_trainer, monkeypatch, capsys):
    from nnguard import arming

    monkeypatch.setenv("NNGUARD", "stict")
    arming.arm()
    assert capsys.readouterr().err.count("\n") == 1
    with pytest.raises(ConfigurationError, match="stict"):
        new_trainer()


@pytest.mark.expects_internal_error
@pytest.mark.parametrize("error", [ValueError("ours"), RecursionError("ours"), MemoryError("ours")], ids=repr)
def test_a_failing_observation_is_recorded_as_unknown_and_training_goes_on(guard, new_trainer, monkeypatch, error):
    def fail(*_arguments):
        raise error

    monkeypatch.setattr("nnguard.probe.observe", fail)
    guard("warn")
    made = new_trainer()
    made.run_training()
    record = record_in(Path(made.output_folder) / "checkpoint_final.pth")
    assert record.mirroring.state == "unknown"


@pytest.mark.expects_internal_error
@pytest.mark.parametrize(
    "error",
    [
        ValueError("ours"),
        *(pytest.param(kind("ours"), marks=pytest.mark.slow) for kind in (RecursionError, MemoryError)),
    ],
    ids=repr,
)
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_fault_of_ours_at_every_place_leaves_a_training_as_it_is(guard, new_trainer, base, when, error):
    def fail(*_arguments):
        raise error

    guard("warn")  # `base` has imported nnU-Net: before that there is no patch that could be made to fail
    for patch in patching.patches():
        setattr(patch, when, fail)
    made = new_trainer()
    made.run_training()
    assert (Path(made.output_folder) / "checkpoint_final.pth").is_file()
    assert {swallowed.kind for swallowed in patching.swallowed} == {type(error).__name__}
    assert {swallowed.place for swallowed in patching.swallowed} >= {
        f"nnUNetTrainer.{name} {when}" for name in ("__init__", "on_train_start", "train_step", "save_checkpoint")
    }


def test_an_interrupt_during_observation_passes(guard, new_trainer, monkeypatch):
    def interrupt(*_arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr("nnguard.probe.observe", interrupt)
    guard("warn")
    with pytest.raises(KeyboardInterrupt):
        new_trainer().on_train_start()


def test_an_edit_behind_the_workers_backs_is_found_and_the_workers_are_believed(guard, new_trainer, base, told):
    class nnUNetTrainerEditsLate(base):
        def get_dataloaders(self):
            loaders = super().get_dataloaders()
            inner = getattr(loaders[0], "generator", None) or loaders[0].data_loader
            steps = inner.transforms.transforms
            steps[:] = [step for step in steps if type(step).__name__ != "MirrorTransform"]
            return loaders

    guard("warn")
    with_workers = new_trainer(nnUNetTrainerEditsLate, workers=1)
    with_workers.on_train_start()
    assert told.codes == ["NNG115"]
    assert trainer.record_of(with_workers).mirroring.safe_axes == (0, 1)
    in_process = new_trainer(nnUNetTrainerEditsLate, workers=0, fold=1)
    in_process.on_train_start()
    assert told.codes == ["NNG115", "NNG103"]
    assert trainer.record_of(in_process).mirroring.safe_axes == ()


def test_a_trainer_class_is_pickled_as_unguarded(guard, base):
    guard("warn")
    assert pickle.loads(pickle.dumps(base)) is base
    assert json.dumps([name for name in vars(base) if patching.is_ours(vars(base)[name])])


@pytest.mark.parametrize(("value", "lines"), [("4", 1), ("off", 0)])
def test_a_variable_that_went_is_told_of_once(guard, new_trainer, base, monkeypatch, capsys, value, lines):
    monkeypatch.setenv("NNGUARD_FLIPTEST", value)
    guard("warn")
    for _ in range(2):
        new_trainer(base).on_train_start()
    assert capsys.readouterr().err.count("does nothing any more") == lines


def test_a_second_rank_is_left_to_the_first_and_writes_nothing(guard, new_trainer, unmirrored):
    guard("strict")
    made = new_trainer(unmirrored)
    made.local_rank = 1
    made.on_train_start()
    assert trainer.record_of(made) is None
    assert not (Path(made.output_folder) / "nnguard.json").exists()
