"""Claims about a model folder beside its checkpoint: one finding lists what was edited; untouched, it is silent."""

import copy

import pytest

from nnguard.findings import ADVISORY, HARMFUL, NOTE
from nnguard.rules.inference_settings import resolved_configuration
from nnguard.rules.nng201_folder_differs_from_training import check_settings
from tests.support.checkpoints import DATASET, PLANS

CT_PLANS = copy.deepcopy(PLANS)
CT_PLANS["configurations"]["2d"]["normalization_schemes"] = ["CTNormalization"]
CT_PLANS["foreground_intensity_properties_per_channel"]["0"] = {
    "max": 900.0,
    "mean": 100.0,
    "median": 90.0,
    "min": -50.0,
    "percentile_00_5": -20.0,
    "percentile_99_5": 300.0,
    "std": 20.0,
}


def judged(plans=PLANS, dataset=DATASET, trained_plans=PLANS, trained_dataset=DATASET, configuration="2d"):
    return check_settings("folder", plans, dataset, trained_plans, trained_dataset, configuration)


def edited(source, path, value):
    """A deep copy with one value replaced, or taken out."""
    result = copy.deepcopy(source)
    *parents, last = path
    place = result
    for key in parents:
        place = place[key]
    if value is ...:
        del place[last]
    else:
        place[last] = value
    return result


def configured(key):
    return ("configurations", "2d", key)


def test_an_untouched_folder_is_silent():
    assert judged() == []
    assert judged(copy.deepcopy(CT_PLANS), trained_plans=CT_PLANS) == []


def test_tuples_and_lists_are_the_same_setting_and_so_are_numbers_but_for_rounding():
    assert judged(edited(PLANS, configured("spacing"), (1.0, 1.0))) == []
    assert judged(edited(PLANS, configured("spacing"), [1, 1.0 + 1e-9])) == []
    assert judged(edited(PLANS, configured("spacing"), [1.0, 1.0 + 1e-5])) != []


def test_several_edited_fields_are_one_finding_as_grave_as_the_gravest():
    plans = edited(edited(PLANS, ("image_reader_writer",), "SimpleITKIO"), configured("patch_size"), [32, 32])
    (finding,) = judged(plans, dataset={**DATASET, "file_ending": ".nii.gz"})
    assert finding.severity == HARMFUL
    assert {one["field"]: one["severity"] for one in finding.evidence["differences"]} == {
        "patch_size": HARMFUL,
        "image_reader_writer": ADVISORY,
        "dataset.json: file_ending": ADVISORY,
    }


@pytest.mark.parametrize(
    ("path", "value", "severity"),
    [
        (configured("spacing"), [1.0, 2.0], HARMFUL),
        (configured("normalization_schemes"), ["NoNormalization"], HARMFUL),
        (configured("use_mask_for_norm"), [True], HARMFUL),
        (configured("preprocessor_name"), "MyPreprocessor", HARMFUL),
        (("foreground_intensity_properties_per_channel", "0", "mean"), 7.0, NOTE),
        (configured("patch_size"), [32, 32], HARMFUL),
        (("transpose_forward",), [0, 2, 1], HARMFUL),
        (("transpose_backward",), [0, 2, 1], HARMFUL),
        (("label_manager",), "MyLabelManager", HARMFUL),
        (configured("previous_stage"), "3d_lowres", HARMFUL),
        (configured("resampling_fn_data"), "resample_torch_fornnunet", ADVISORY),
        (configured("resampling_fn_probabilities_kwargs"), {"order": 0}, ADVISORY),
        (configured("resampling_fn_seg_kwargs"), {"order": 0}, NOTE),
        (("image_reader_writer",), "SimpleITKIO", ADVISORY),
        (("configurations", "2d", "architecture", "arch_kwargs", "n_stages"), 5, HARMFUL),
    ],
)
def test_one_edited_field_of_the_plans_is_found_and_as_grave_as_it_is(path, value, severity):
    (finding,) = judged(edited(PLANS, path, value))
    assert (finding.code, finding.severity) == ("NNG201", severity)
    assert path[-1] in finding.message


@pytest.mark.parametrize(
    "path",
    [
        configured("batch_size"),
        configured("data_identifier"),
        configured("median_image_size_in_voxels"),
        configured("batch_dice"),
        ("plans_name",),
        ("experiment_planner_used",),
        ("original_median_shape_after_transp",),
    ],
)
def test_what_inference_does_not_read_may_differ(path):
    assert judged(edited(PLANS, path, "something else")) == []


@pytest.mark.parametrize(
    ("name", "severity"),
    [("mean", HARMFUL), ("std", HARMFUL), ("percentile_00_5", HARMFUL), ("percentile_99_5", HARMFUL), ("max", NOTE)],
)
def test_of_intensity_statistics_those_count_that_the_scheme_reads(name, severity):
    path = ("foreground_intensity_properties_per_channel", "0", name)
    (finding,) = judged(edited(CT_PLANS, path, 1.5), trained_plans=CT_PLANS)
    assert (finding.code, finding.severity) == ("NNG201", severity)


def test_statistics_that_are_not_numbers_equal_themselves():
    path = ("foreground_intensity_properties_per_channel", "0", "mean")
    plans = edited(CT_PLANS, path, float("nan"))
    assert judged(copy.deepcopy(plans), trained_plans=edited(CT_PLANS, path, float("nan"))) == []


def test_a_value_that_moves_to_a_parent_configuration_has_not_changed():
    plans = copy.deepcopy(PLANS)
    plans["configurations"]["parent"] = plans["configurations"]["2d"]
    plans["configurations"]["2d"] = {"inherits_from": "parent", "batch_size": 1}
    assert judged(plans) == []
    plans["configurations"]["parent"] = edited(plans["configurations"]["parent"], ("spacing",), [3.0, 3.0])
    assert [finding.code for finding in judged(plans)] == ["NNG201"]


def test_inheritance_resolves_as_nnunet_resolves_it():
    plans = {
        "configurations": {"a": {"x": 1, "y": 1}, "b": {"inherits_from": "a", "y": 2}, "c": {"inherits_from": "b"}}
    }
    assert resolved_configuration(plans, "c") == {"x": 1, "y": 2}


@pytest.mark.parametrize(
    "plans",
    [
        {"configurations": {"2d": {"inherits_from": "2d"}}},
        {"configurations": {"2d": {"inherits_from": "b"}, "b": {"inherits_from": "2d"}}},
        {"configurations": {"2d": {"inherits_from": ["b"]}}},
        {"configurations": {"2d": []}},
        {"configurations": []},
        {},
        None,
        [],
    ],
)
def test_plans_without_a_usable_configuration_stop_nnunet_and_are_told(plans):
    (finding,) = judged(plans)
    assert (finding.code, finding.severity) == ("NNG201", HARMFUL)
    assert "no usable configuration" in finding.seen


def test_a_checkpoint_without_plans_gives_nothing_to_compare():
    assert judged(trained_plans=None) == []


def with_labels(labels, **more):
    return {**DATASET, "labels": labels, **more}


def test_exchanged_labels_are_harmful_and_their_order_in_the_file_is_not():
    (finding,) = judged(dataset=with_labels({"background": 0, "left": 2, "right": 1}))
    assert (finding.code, finding.severity) == ("NNG201", HARMFUL)
    assert judged(dataset=with_labels({"right": 2, "left": 1, "background": 0})) == []


def test_renamed_labels_are_worth_a_look():
    (finding,) = judged(dataset=with_labels({"background": 0, "L": 1, "R": 2}))
    assert (finding.code, finding.severity) == ("NNG201", ADVISORY)


def test_a_label_that_becomes_the_ignore_label_is_not_just_renamed():
    (finding,) = judged(dataset=with_labels({"background": 0, "left": 1, "ignore": 2}))
    assert (finding.code, finding.severity) == ("NNG201", HARMFUL)


REGIONS = with_labels({"background": 0, "whole": [1, 2], "core": 2}, regions_class_order=[1, 2])


def test_the_order_of_regions_is_the_order_of_channels():
    other = with_labels({"background": 0, "core": 2, "whole": [1, 2]}, regions_class_order=[1, 2])
    (finding,) = judged(dataset=other, trained_dataset=REGIONS)
    assert (finding.code, finding.severity) == ("NNG201", HARMFUL)


@pytest.mark.parametrize(
    "labels",
    [{"background": 0, "whole": [2, 1], "core": 2}, {"whole": [1, 2], "core": 2, "background": 0}],
    ids=["order inside a region", "place of background"],
)
def test_what_nnunet_reads_alike_in_regions_is_no_difference(labels):
    assert judged(dataset=with_labels(labels, regions_class_order=[1, 2]), trained_dataset=REGIONS) == []


def test_the_class_order_counts_for_regions_alone():
    other = {**REGIONS, "regions_class_order": [2, 1]}
    assert [finding.code for finding in judged(dataset=other, trained_dataset=REGIONS)] == ["NNG201"]
    assert judged(dataset={**DATASET, "regions_class_order": [2, 1]}) == []


TWO = {**DATASET, "channel_names": {"0": "T1", "1": "T2"}}


@pytest.mark.parametrize(
    ("names", "severity"),
    [({"0": "T2", "1": "T1"}, HARMFUL), ({"0": "T1"}, HARMFUL), ({"0": "T1w", "1": "T2w"}, ADVISORY)],
)
def test_channels_in_another_order_or_number_are_harmful(names, severity):
    (finding,) = judged(dataset={**DATASET, "channel_names": names}, trained_dataset=TWO)
    assert (finding.code, finding.severity) == ("NNG201", severity)


def test_channels_are_compared_by_number_and_under_either_name():
    other = {key: value for key, value in DATASET.items() if key != "channel_names"}
    assert judged(dataset={**other, "modality": {"1": "T2", "0": "T1"}}, trained_dataset=TWO) == []


def test_another_file_ending_is_worth_a_look():
    (finding,) = judged(dataset={**DATASET, "file_ending": ".nii.gz"})
    assert (finding.code, finding.severity) == ("NNG201", ADVISORY)


def test_a_segmentation_is_resampled_in_a_cascade():
    cascade = edited(PLANS, configured("previous_stage"), "3d_lowres")
    (finding,) = judged(edited(cascade, configured("resampling_fn_seg_kwargs"), {"order": 0}), trained_plans=cascade)
    assert (finding.code, finding.severity) == ("NNG201", ADVISORY)


def old_format(**changes):
    plans = edited(PLANS, configured("architecture"), ...)
    plans["configurations"]["2d"].update({"UNet_class_name": "PlainConvUNet", "unet_max_num_features": 512, **changes})
    return plans


def test_plans_of_old_versions_spell_the_architecture_out():
    assert judged(old_format(), trained_plans=old_format()) == []
    (finding,) = judged(old_format(unet_max_num_features=320), trained_plans=old_format())
    assert (finding.code, finding.severity) == ("NNG201", HARMFUL)


def test_the_same_architecture_in_the_new_way_of_writing_is_nnunets_business():
    assert judged(PLANS, trained_plans=old_format()) == []


def test_a_finding_shows_both_values_and_where_they_are():
    (finding,) = judged(edited(PLANS, configured("spacing"), [1.0, 2.0]))
    assert "trained with [1.0, 1.0], folder has [1.0, 2.0]" in finding.seen
    assert finding.evidence["differences"] == [
        {"field": "spacing", "trained": [1.0, 1.0], "folder": [1.0, 2.0], "severity": "harmful"}
    ]


@pytest.mark.parametrize("odd", [None, [], "text", 3, {"labels": ["a"], "channel_names": ["CT"]}, {"labels": 1}])
def test_an_odd_dataset_gets_an_answer(odd):
    assert {finding.code for finding in judged(dataset=odd)} <= {"NNG201"}
    assert judged(dataset=odd, trained_dataset=copy.deepcopy(odd)) == []


@pytest.mark.parametrize("odd", [None, [], "text", 3, {"0": None}, {"0": 5}])
def test_odd_intensity_statistics_get_an_answer(odd):
    plans = edited(CT_PLANS, ("foreground_intensity_properties_per_channel",), odd)
    assert {finding.code for finding in judged(plans, trained_plans=CT_PLANS)} <= {"NNG201"}
    assert judged(plans, trained_plans=copy.deepcopy(plans)) == []


def test_statistics_that_are_gone_are_no_pass():
    plans = edited(CT_PLANS, ("foreground_intensity_properties_per_channel",), {})
    (finding,) = judged(plans, trained_plans=CT_PLANS)
    assert (finding.code, finding.severity) == ("NNG201", HARMFUL)


def test_regions_that_became_plain_labels_are_harmful():
    (finding,) = judged(dataset=DATASET, trained_dataset=REGIONS)
    assert (finding.code, finding.severity) == ("NNG201", HARMFUL)
    assert "regions_class_order" in finding.message


def nested(depth):
    value = {}
    for _ in range(depth):
        value = {"a": [value]}
    return value


def test_plans_of_a_thousand_levels_get_an_answer():
    path = configured("spacing")
    (finding,) = judged(edited(PLANS, path, nested(400)))
    assert finding.code == "NNG201"
    path = ("configurations", "2d", "architecture")
    plans = edited(PLANS, path, 0)
    plans["configurations"]["2d"]["architecture"] = nested(400)
    assert [finding.code for finding in judged(plans)] == ["NNG201"]
