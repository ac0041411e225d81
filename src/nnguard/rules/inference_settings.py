"""What inference reads from plans and dataset, and what it does if that differs from training.

Only what inference reads is compared (nnunetv2 2.8.1: ``predict_from_raw_data``, ``DefaultPreprocessor``,
``export_prediction``, ``LabelManager``): batch size, data identifier, planner, median shapes and the like may differ
freely. ``inherits_from`` is resolved first, because a value that moves to a parent configuration has not changed. A
value that was only written otherwise has not changed either: another order of keys, 1 for 1.0, a tuple for a list, an
old name of a field.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from ..difference import ABSENT, differences
from ..findings import ADVISORY, HARMFUL, NOTE

#: Schemes that look at nothing but the image itself.
SELF_SUFFICIENT_SCHEMES = frozenset(
    {"ZScoreNormalization", "NoNormalization", "RescaleTo01Normalization", "RGBTo01Normalization"}
)
#: Of the seven intensity properties CTNormalization reads the other four.
CT_LEAVES_OUT = ("max", "median", "min")

_INTENSITIES = "images reach the network with other intensities than it was trained on"
_LABELS = "segmentations carry other labels than the network was taught"
_NETWORK = "the weights are loaded into another network than they were trained in"

#: A field of the resolved configuration -> how grave a difference is, and what it does.
CONFIGURATION = {
    "spacing": (HARMFUL, "images reach the network at another scale than it was trained on"),
    "preprocessor_name": (HARMFUL, _INTENSITIES),
    "normalization_schemes": (HARMFUL, _INTENSITIES),
    "use_mask_for_norm": (HARMFUL, _INTENSITIES),
    "patch_size": (HARMFUL, "the network looks through windows of another size than it was trained on"),
    "previous_stage": (HARMFUL, "the network expects (or lacks) the previous stage's segmentation among its channels"),
    "resampling_fn_data": (ADVISORY, "images are resampled in another way than in training"),
    "resampling_fn_probabilities": (ADVISORY, "network outputs are resampled in another way than in validation"),
    "resampling_fn_seg": (ADVISORY, "the previous stage's segmentation is resampled in another way than in training"),
    # Weights of a wrong shape stop nnU-Net; another nonlinearity or stride loads without a word.
    "architecture": (HARMFUL, _NETWORK),
}
CONFIGURATION |= {f"{name}_kwargs": told for name, told in CONFIGURATION.items() if name.startswith("resampling")}

#: Plans written before nnunetv2 2.5 spell the architecture out in the configuration itself.
OLD_ARCHITECTURE = dict.fromkeys(
    (
        "UNet_class_name",
        "UNet_base_num_features",
        "unet_max_num_features",
        "n_conv_per_stage_encoder",
        "n_conv_per_stage_decoder",
        "pool_op_kernel_sizes",
        "conv_kernel_sizes",
    ),
    (HARMFUL, _NETWORK),
)

#: The same for what stands in the plans beside the configurations.
INTENSITY_PROPERTIES = "foreground_intensity_properties_per_channel"
PLANS = {
    INTENSITY_PROPERTIES: (HARMFUL, _INTENSITIES),
    "transpose_forward": (HARMFUL, "the network sees the axes in another order; mirroring axes mean other directions"),
    "transpose_backward": (HARMFUL, "segmentations are written with their axes in another order"),
    "label_manager": (HARMFUL, _LABELS),
    "image_reader_writer": (ADVISORY, "another reader may deliver axes, spacing or intensities otherwise"),
}

#: The same for the dataset's.
DATASET = {
    "labels": (HARMFUL, _LABELS),
    "regions_class_order": (HARMFUL, _LABELS),
    "channel_names": (HARMFUL, "whoever orders images by these names feeds them to the wrong channels"),
    "file_ending": (ADVISORY, "another kind of file is looked for, and written"),
}
FIELDS = CONFIGURATION | OLD_ARCHITECTURE | PLANS | {f"dataset.json: {name}": told for name, told in DATASET.items()}

#: Plans are some six levels deep; a file from elsewhere may be a thousand.
DEEPEST = 50


class Difference(NamedTuple):
    """One setting that differs: ``field`` as a person finds it in the file, its two values, how grave it is and why."""

    field: str
    trained: Any
    folder: Any
    severity: str
    effect: str


def as_read(plans: object, dataset: object, configuration: object) -> dict[str, Any] | None:
    """What inference reads, by the names of ``FIELDS``; ``None`` where plans have no such configuration."""
    resolved = resolved_configuration(plans, configuration)
    if resolved is None or not isinstance(plans, Mapping):
        return None
    dataset = dataset if isinstance(dataset, Mapping) else {}
    labels = dataset.get("labels", {})
    # Under its own key or that of nnunetv2 before 2.1, as PlansManager looks for it.
    intensities = plans.get(INTENSITY_PROPERTIES, plans.get("foreground_intensity_properties_by_modality", {}))
    read = {
        **{name: resolved[name] for name in (*CONFIGURATION, *OLD_ARCHITECTURE) if name in resolved},
        "previous_stage": resolved.get("previous_stage"),
        **{name: plans[name] for name in PLANS if name in plans},
        INTENSITY_PROPERTIES: intensities,
        "label_manager": plans.get("label_manager", "LabelManager"),
        "dataset.json: labels": label_list(labels),
        "dataset.json: regions_class_order": dataset.get("regions_class_order") if has_regions(labels) else None,
        "dataset.json: channel_names": channel_names(dataset),
    }
    if "file_ending" in dataset:
        read["dataset.json: file_ending"] = dataset["file_ending"]
    return {name: plain(value) for name, value in read.items()}


def resolved_configuration(plans: object, name: object) -> dict[str, Any] | None:
    """A configuration with what it inherits, as ``PlansManager`` resolves it; ``None`` where it cannot be."""
    configurations = plans.get("configurations") if isinstance(plans, Mapping) else None
    chain: list[Mapping[str, Any]] = []
    visited = set()
    while isinstance(configurations, Mapping) and isinstance(name, str) and name not in visited:
        visited.add(name)
        configuration = configurations.get(name)
        if not isinstance(configuration, Mapping):
            return None
        chain.append(configuration)
        if "inherits_from" not in configuration:
            return {key: value for part in reversed(chain) for key, value in part.items() if key != "inherits_from"}
        name = configuration["inherits_from"]
    return None


def what_differs(trained: Mapping[str, Any], folder: Mapping[str, Any]) -> list[Difference]:
    """Everything that inference reads and that differs, by what ``as_read`` gave of both sides."""
    left_out: set[str] = set()
    if ("architecture" in trained) != ("architecture" in folder):
        # The same network in the old and the new way of writing it; comparing them is nnU-Net's business.
        left_out = {"architecture", *OLD_ARCHITECTURE}
    changes = [
        (name, *change)
        for name in FIELDS
        if name not in left_out
        for change in differences(name, trained.get(name, ABSENT), folder.get(name, ABSENT))
    ]
    return [
        Difference(key, _told(before), _told(after), *gravity(name, key, before, after, trained))
        for name, key, before, after in changes
        if is_data(before) and is_data(after)
    ]


def _told(value: Any) -> Any:
    return "(not there)" if value is ABSENT else value


def gravity(name: str, key: str, before: Any, after: Any, trained: Mapping[str, Any]) -> tuple[str, str]:
    """How grave a difference is and what it does: as ``FIELDS`` says, but for what depends on the values."""
    if name == INTENSITY_PROPERTIES and not intensity_is_read(trained.get("normalization_schemes"), key):
        return NOTE, "none: the normalisation in use does not read it"
    if name.startswith("resampling_fn_seg") and trained["previous_stage"] is None:
        return NOTE, "none: without a previous stage no segmentation is resampled"
    if name == "dataset.json: labels" and only_renamed(before, after):
        return ADVISORY, "the numbers stay; only their names differ"
    if name == "dataset.json: channel_names" and len(before) == len(after) and sorted(before) != sorted(after):
        return ADVISORY, "none while the same images come in the same order: only the names differ"
    return FIELDS[name]


def intensity_is_read(schemes: object, key: str) -> bool:
    """Whether the channel's scheme reads such properties; of an unknown scheme it is assumed.

    ``key`` ends in ``.CHANNEL.PROPERTY``, or earlier where all of a channel, or of all channels, differs.
    """
    _, channel, name = [*key.split("."), "", ""][:3]
    try:
        scheme = schemes[int(channel)]  # type: ignore[index]
    except (TypeError, ValueError, LookupError):
        return True
    return scheme not in SELF_SUFFICIENT_SCHEMES and (scheme != "CTNormalization" or name not in CT_LEAVES_OUT)


def label_list(labels: object) -> list[tuple[Any, Any]]:
    """Names with values; what has a region's channel in the order of channels, as written, and the rest in one order.

    A region is a set of labels: nnU-Net takes [2, 1] for [1, 2]. Background and ignored voxels have no channel.
    """
    if not isinstance(labels, Mapping):
        return []
    regions = has_regions(labels)
    entries = [(name, sorted(one, key=str) if isinstance(one, list) else one) for name, one in plain(labels).items()]
    channels = [entry for entry in entries if regions and entry[0] != "ignore" and entry[1] not in (0, [0])]
    return channels + sorted((one for one in entries if one not in channels), key=lambda one: (str(one[1]), one[0]))


def only_renamed(first: list[Any], second: list[Any]) -> bool:
    """Whether the same values carry other names, none of which meant something else before."""
    if [value for _, value in first] != [value for _, value in second]:
        return False
    ours, theirs = ({str(name): value for name, value in entries} for entries in (first, second))
    shared = ours.keys() & theirs.keys()
    special = {"background", "ignore"} & (ours.keys() | theirs.keys())
    return special <= shared and all(ours[name] == theirs[name] for name in shared)


def has_regions(labels: object) -> bool:
    """As ``LabelManager`` decides: any label that is a list of more than one value."""
    values = labels.values() if isinstance(labels, Mapping) else ()
    return any(isinstance(value, (list, tuple)) and len(value) > 1 for value in values)


def channel_names(dataset: Mapping[str, Any]) -> list[str]:
    """By channel number; ``modality`` wins where both are there, as in ``determine_num_input_channels``."""
    names = dataset.get("modality", dataset.get("channel_names", {}))
    if not isinstance(names, Mapping):
        return [str(name) for name in names] if isinstance(names, (list, tuple)) else []
    return [str(names[key]) for key in sorted(names, key=lambda key: (len(str(key)), str(key)))]


def plain(value: Any, depth: int = 0) -> Any:
    """Lists for tuples and arrays all the way down, and no deeper than plans are."""
    if depth > DEEPEST:
        return "(nested too deeply)"
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, (list, tuple)):
        return [plain(item, depth + 1) for item in value]
    if isinstance(value, Mapping):
        return {str(key): plain(item, depth + 1) for key, item in value.items()}
    return value


def is_data(value: Any) -> bool:
    """Whether a plain value is all data. What only running code would tell is unknown, and never a difference."""
    if isinstance(value, (list, dict)):
        return all(map(is_data, value.values() if isinstance(value, dict) else value))
    return value is None or value is ABSENT or isinstance(value, (bool, int, float, str))
