"""Claims about ``NNGUARD_FLIPTEST``: what it measures, where it is kept, and what it leaves alone."""

from __future__ import annotations

import json
import random
from pathlib import Path
from types import SimpleNamespace

import msgspec
import numpy
import pytest
import torch

from checkpoints import make_record, save_checkpoint
from nnguard.checkpoint import read_checkpoint
from nnguard.hooks import measuring, trainer
from nnguard.models.belonging import weights_belong
from nnguard.models.folder import open_fold
from nnguard.record import MeasuredDice, MeasuredValidation, Record, RecordCopy
from nnguard.variables import problem_with_fliptest
from trainers import validating_predictor

ENTRY = MeasuredValidation(
    by="NNGUARD_FLIPTEST=2, nnguard 0.1.0",
    written_at="2025-01-02T03:04:05+00:00",
    checkpoint="checkpoint_final.pth",
    cases=2,
    case_names=["a", "b"],
    plain=MeasuredDice(dice=0.94, labels={"left": 0.93, "right": None}),
    tta=MeasuredDice(dice=0.467, labels={"left": 0.2, "right": 0.7}, axes=(0, 1)),
)


@pytest.fixture(autouse=True)
def told_afresh(monkeypatch):
    monkeypatch.setattr(trainer, "_told_of_measure", False)


@pytest.fixture
def wanted(monkeypatch):
    """``wanted("2")`` sets the variable."""
    return lambda text: monkeypatch.setenv(measuring.VARIABLE, text)


def own_validation(base, builds_a_predictor=True, fails=None):
    """A trainer that replaces the validation, as 35 public ones do; without processes, so in a second."""

    class nnUNetTrainerOwnValidation(base):
        def perform_actual_validation(self, save_probabilities=False):
            from nnunetv2.evaluation.evaluate_predictions import compute_metrics, save_summary_json
            from nnunetv2.inference.export_prediction import export_prediction_from_logits
            from nnunetv2.utilities.json_export import recursive_fix_for_json_export

            self.set_deep_supervision_enabled(False)
            self.network.eval()
            predictor = validating_predictor(self) if builds_a_predictor else None
            target = Path(self.output_folder) / "validation"
            target.mkdir(exist_ok=True)
            references = Path(self.preprocessed_dataset_folder_base) / "gt_segmentations"
            cases, dataset = [], self.dataset_class(self.preprocessed_dataset_folder, sorted(self.do_split()[1]))
            for name in dataset.identifiers if builds_a_predictor else ():
                data, _, _, properties = dataset.load_case(name)
                logits = predictor.predict_sliding_window_return_logits(torch.from_numpy(numpy.array(data[:]))).cpu()
                managers = (self.configuration_manager, self.plans_manager, self.dataset_json)
                export_prediction_from_logits(logits, properties, *managers, str(target / name))
                reader = self.plans_manager.image_reader_writer_class()
                files = str(references / f"{name}.png"), str(target / f"{name}.png")
                cases.append(compute_metrics(*files, reader, self.label_manager.foreground_labels))
            if builds_a_predictor:
                summary = {"metric_per_case": cases, "mean": {}, "foreground_mean": {}}
                recursive_fix_for_json_export(summary)
                save_summary_json(summary, str(target / "summary.json"))
            self.set_deep_supervision_enabled(True)
            if fails is not None:
                self.preprocessed_dataset_folder = fails

    return nnUNetTrainerOwnValidation


def log_of(made):
    return Path(made.log_file).read_text()


def files_in(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_cases_are_measured_without_mirroring_and_kept_in_log_checkpoint_and_copy(
    guard, wanted, new_trainer, base, told
):
    wanted("2")
    guard("warn")
    made = new_trainer(own_validation(base))
    made.run_training()
    final = Path(made.output_folder) / "checkpoint_final.pth"
    before = read_checkpoint(str(final)).weights_fingerprint
    made.perform_actual_validation()

    record = read_checkpoint(str(final)).record()
    measured = record.measured_validation()
    assert measured.cases == 2
    assert (measured.state, measured.checkpoint, measured.tta.axes) == ("measured", "checkpoint_final.pth", (0, 1))
    assert set(measured.plain.labels) == {"left", "right"}
    copy = RecordCopy.from_json((Path(made.output_folder) / "nnguard.json").read_bytes())
    assert copy.measured == record.measured
    assert record.mirroring.state == "observed"
    assert read_checkpoint(str(final)).weights_fingerprint == before
    assert weights_belong(open_fold(final)) is True
    assert torch.load(final, weights_only=False)["nnguard"] == record.to_json()
    assert not list(Path(made.output_folder).glob("*.before-nnguard"))
    assert "validated once more without mirroring: " + ", ".join(measured.case_names) in log_of(made)
    assert "kept in checkpoint_final.pth and nnguard.json" in log_of(made)


@pytest.mark.slow
def test_the_figures_are_those_of_nnunets_own_export_and_evaluation(guard, wanted, new_trainer, base):
    wanted("99")
    guard("warn")
    made = new_trainer(own_validation(base))
    made.run_training()
    made.perform_actual_validation()
    summary = json.loads((Path(made.output_folder) / "validation/summary.json").read_text())["metric_per_case"]
    measured = Record.from_json((Path(made.output_folder) / "nnguard.json").read_bytes()).measured_validation()
    assert measured.cases == len(summary) == 4
    mirrored = [sum(case["metrics"][label]["Dice"] for case in summary) / 4 for label in ("1", "2")]
    assert list(measured.tta.labels.values()) == pytest.approx(mirrored)

    # The same validation without mirroring, by nnU-Net's own means.
    made.inference_allowed_mirroring_axes = None
    made.perform_actual_validation()
    summary = json.loads((Path(made.output_folder) / "validation/summary.json").read_text())["metric_per_case"]
    plain = [sum(case["metrics"][label]["Dice"] for case in summary) / 4 for label in ("1", "2")]
    assert list(measured.plain.labels.values()) == pytest.approx(plain)
    assert plain != pytest.approx(mirrored, abs=1e-6)


@pytest.mark.slow
def test_validation_files_random_states_and_network_are_left_as_they_were(
    guard, wanted, new_trainer, base, monkeypatch
):
    guard("warn")
    made = new_trainer(own_validation(base))
    made.run_training()
    states = []
    for text in ("0", "3"):
        wanted(text)
        random.seed(1), numpy.random.seed(1), torch.manual_seed(1)
        made.network.train()
        made.perform_actual_validation()
        decoder = made.network.decoder
        drawn = (random.random(), numpy.random.rand(), torch.rand(1).item())
        states.append((drawn, made.network.training, decoder.deep_supervision, torch.get_num_threads()))
        states.append(files_in(Path(made.output_folder) / "validation"))
    assert states[:2] == states[2:]


@pytest.mark.slow
def test_nobody_is_warned_of_the_predictor_that_nnguard_runs(guard, wanted, new_trainer, base, told):
    wanted("1")
    guard("exact")
    made = new_trainer(own_validation(base))
    made.run_training()
    made.perform_actual_validation()
    assert "validated once more" in log_of(made)
    assert told.codes == []


@pytest.mark.slow
def test_validation_alone_is_measured_too(guard, wanted, new_trainer, base):
    guard("warn")
    first = new_trainer(own_validation(base))
    first.run_training()
    final = Path(first.output_folder) / "checkpoint_final.pth"
    wanted("1")
    again = new_trainer(own_validation(base))
    again.load_checkpoint(str(final))
    again.perform_actual_validation()
    assert read_checkpoint(str(final)).record().measured_validation().cases == 1


@pytest.mark.slow
def test_without_the_variable_nothing_is_measured(guard, new_trainer, base, monkeypatch):
    monkeypatch.delenv(measuring.VARIABLE, raising=False)
    guard("warn")
    made = new_trainer(own_validation(base))
    made.run_training()
    made.perform_actual_validation()
    assert read_checkpoint(str(Path(made.output_folder) / "checkpoint_final.pth")).record().measured is None
    assert "without mirroring" not in log_of(made)


@pytest.mark.parametrize(
    ("builds_a_predictor", "axes", "said"),
    [(False, (0, 1), "builds no nnUNetPredictor"), (True, None, "does not mirror (axes None)")],
)
def test_what_cannot_be_measured_is_said_in_the_log(guard, wanted, new_trainer, base, builds_a_predictor, axes, said):
    wanted("2")
    guard("warn")
    made = new_trainer(own_validation(base, builds_a_predictor))
    made.on_train_start()
    made.inference_allowed_mirroring_axes = axes
    made.save_checkpoint(str(Path(made.output_folder) / "checkpoint_final.pth"))
    made.perform_actual_validation()
    (line,) = [line for line in log_of(made).splitlines() if "NNGUARD_FLIPTEST=2 could not be measured" in line]
    assert said in line
    assert read_checkpoint(str(Path(made.output_folder) / "checkpoint_final.pth")).record().measured is None


def test_distributed_trainings_are_not_measured():
    with pytest.raises(measuring.Obstacle, match="a distributed training"):
        measuring.measured(SimpleNamespace(is_ddp=True), object(), None, 2, 0.0)


@pytest.mark.expects_internal_error
@pytest.mark.slow
def test_a_failure_is_one_event_and_the_validation_is_whole(guard, wanted, new_trainer, base, tmp_path):
    wanted("2")
    guard("strict")
    made = new_trainer(own_validation(base, fails=str(tmp_path / "gone")))
    made.run_training()
    made.perform_actual_validation()
    assert (Path(made.output_folder) / "validation/summary.json").is_file()
    assert log_of(made).count("NNGUARD_FLIPTEST failed; the validation before it is whole") == 1
    assert made.network.decoder.deep_supervision
    assert read_checkpoint(str(Path(made.output_folder) / "checkpoint_final.pth")).record().measured is None


def test_a_value_that_is_no_number_is_one_line_at_once_and_stops_nothing(guard, wanted, new_trainer, base, capsys):
    wanted("x")
    guard("strict")
    made = new_trainer(own_validation(base))
    line = [line for line in capsys.readouterr().err.splitlines() if "NNGUARD_FLIPTEST" in line]
    assert len(line) == 1
    assert "is no number of cases" in line[0]
    made.run_training()
    made.perform_actual_validation()
    new_trainer(own_validation(base))
    assert "NNGUARD_FLIPTEST" not in capsys.readouterr().err


@pytest.mark.parametrize(("text", "sound"), [("4", True), ("0", True), ("", True), ("off", True)])
def test_numbers_and_off_are_understood(text, sound, wanted):
    assert problem_with_fliptest(text) is None
    wanted(text)
    assert measuring.cases_wanted() == (4 if text == "4" else 0)


@pytest.mark.parametrize("text", ["x", "-1", "1.5", "4 cases"])
def test_anything_else_is_not(text, wanted):
    assert repr(text) in problem_with_fliptest(text)
    wanted(text)
    assert measuring.cases_wanted() == 0


def test_fields_of_a_newer_nnguard_and_other_measurements_survive(tmp_path):
    made = json.loads(make_record(measured={"fliptest": {"cases": 8}}).to_json())
    path = save_checkpoint(tmp_path / "checkpoint_final.pth", record=json.dumps({**made, "tomorrow": 1}))
    (tmp_path / "nnguard.json").write_text(json.dumps({**made, "tomorrow": 1, "weights": {}}))
    assert measuring.written_to_files(ENTRY, tmp_path, path) == (["checkpoint_final.pth", "nnguard.json"], [])
    for text in (read_checkpoint(str(path)).record_text, (tmp_path / "nnguard.json").read_text()):
        fields = json.loads(text)
        assert fields["tomorrow"] == 1
        assert fields["measured"] == {"fliptest": {"cases": 8}, "validation": json.loads(msgspec.json.encode(ENTRY))}


def test_a_checkpoint_that_cannot_be_replaced_is_left_and_told(tmp_path):
    path = save_checkpoint(tmp_path / "checkpoint_final.pth", record=make_record())
    (tmp_path / "second_name.pth").hardlink_to(path)
    (tmp_path / "nnguard.json").write_text(make_record().to_json())
    before = path.read_bytes()
    kept, (lost,) = measuring.written_to_files(ENTRY, tmp_path, path)
    assert kept == ["nnguard.json"]
    assert lost.startswith("checkpoint_final.pth was left as it is: ")
    assert path.read_bytes() == before


def test_without_a_record_there_is_nothing_to_add_to(tmp_path):
    path = save_checkpoint(tmp_path / "checkpoint_final.pth")
    kept, lost = measuring.written_to_files(ENTRY, tmp_path, path)
    assert kept == []
    assert "it holds no record" in lost[0]


def test_dice_is_averaged_over_cases_and_then_over_labels_and_a_missing_label_is_left_out():
    cases = {"a": {"1": 0.8, "2": None}, "b": {"1": 0.6, "2": 1.0}}
    mean = measuring.mean_dice(cases, {"1": "left"})
    assert mean.labels == {"left": pytest.approx(0.7), "2": 1.0}
    assert mean.dice == pytest.approx(0.85)


@pytest.mark.parametrize("text", ["{", "[]", '{"metric_per_case": [{}]}', '{"metric_per_case": []}'])
def test_a_summary_that_nnunet_did_not_write_is_an_obstacle(tmp_path, text):
    (tmp_path / "validation").mkdir()
    (tmp_path / "validation/summary.json").write_text(text)
    with pytest.raises(measuring.Obstacle):
        measuring._validated_cases(tmp_path, ".png", 0.0)


def test_a_summary_from_before_this_validation_is_an_obstacle(tmp_path):
    with pytest.raises(measuring.Obstacle, match="left no validation"):
        measuring._validated_cases(tmp_path, ".png", 0.0)
    (tmp_path / "validation").mkdir()
    (tmp_path / "validation/summary.json").write_text("{}")
    with pytest.raises(measuring.Obstacle, match="older than this validation"):
        measuring._validated_cases(tmp_path, ".png", 1e12)


def test_a_measurement_of_another_shape_is_none_and_the_record_is_read():
    record = Record.from_json(make_record(measured={"validation": {"cases": "many"}}).to_json())
    assert record.measured_validation() is None
