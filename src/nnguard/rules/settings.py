"""NNG201-208: what the predictor reads from the model folder against what training read.

nnU-Net's predictor takes plans and dataset from the folder's ``plans.json`` and ``dataset.json``; the
checkpoint's ``init_args`` hold those that training used. Only what inference reads is compared
(nnunetv2 2.8.1: ``predict_from_raw_data``, ``DefaultPreprocessor``, ``export_prediction``,
``LabelManager``): batch size, data identifier, planner, median shapes and the like may differ freely.
``inherits_from`` is resolved first, for a value that moves to a parent configuration has not changed. Nor has one
that was only written otherwise: another order of keys, 1 for 1.0, a tuple for a list, an old name of a field.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from ..findings import ADVISORY, HARMFUL, NOTE, SEVERITIES, Finding

#: Schemes that look at nothing but the image itself. CTNormalization reads four of the seven intensity properties.
SELF_SUFFICIENT_SCHEMES = frozenset(
    {"ZScoreNormalization", "NoNormalization", "RescaleTo01Normalization", "RGBTo01Normalization"}
)
CT_PROPERTIES = ("mean", "std", "percentile_00_5", "percentile_99_5")

#: Plans written before nnunetv2 2.5 spell the architecture out in the configuration itself.
OLD_ARCHITECTURE = (
    "UNet_class_name",
    "UNet_base_num_features",
    "n_conv_per_stage_encoder",
    "n_conv_per_stage_decoder",
    "pool_op_kernel_sizes",
    "conv_kernel_sizes",
    "unet_max_num_features",
)

MISSING = "(not there)"

#: Plans are some six levels deep; a file from elsewhere may be a thousand.
DEEPEST = 50


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """One setting that differs: ``field`` as a person finds it in the file, its two values, how grave it is and why."""

    code: str
    field: str
    trained: Any
    folder: Any
    severity: str
    effect: str


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Plans and dataset as inference reads them: the configuration resolved."""

    plans: Mapping[str, Any]
    configuration: Mapping[str, Any]
    dataset: Mapping[str, Any]


def check_settings(
    subject: str,
    folder_plans: object,
    folder_dataset: object,
    trained_plans: object,
    trained_dataset: object,
    configuration: str,
) -> list[Finding]:
    """Compares a model folder with a checkpoint.

    Args:
        subject: the model folder, for people.
        folder_plans, folder_dataset: the content of ``plans.json`` and ``dataset.json``.
        trained_plans, trained_dataset: ``init_args["plans"]`` and ``init_args["dataset_json"]``; ``None``
            where the checkpoint does not hold them (then nothing is compared).
        configuration: for example ``"3d_fullres"``.

    Returns:
        One finding for each rule at most; its severity is that of its gravest difference.
    """
    trained = settings(trained_plans, trained_dataset, configuration)
    if trained is None:
        return []
    folder = settings(folder_plans, folder_dataset, configuration)
    if folder is None:
        return [unusable(subject, configuration)]
    found = differences(trained, folder)
    return [
        finding(subject, code, [one for one in found if one.code == code]) for code in sorted({d.code for d in found})
    ]


def settings(plans: object, dataset: object, configuration: str) -> Settings | None:
    """``None`` where plans have no such configuration, or are no plans at all."""
    resolved = resolved_configuration(plans, configuration)
    if resolved is None or not isinstance(plans, Mapping):
        return None
    return Settings(plans=plans, configuration=resolved, dataset=dataset if isinstance(dataset, Mapping) else {})


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


def differences(trained: Settings, folder: Settings) -> list[Difference]:
    """Everything that inference reads and that differs, in the order of the rules."""
    found: list[Difference] = []
    for compare in (spacing, normalisation, geometry, labels, channels, resampling, reader, architecture):
        found += compare(trained, folder)
    return found


def spacing(trained: Settings, folder: Settings) -> list[Difference]:
    """NNG201."""
    effect = "images reach the network at another scale than it was trained on"
    return _configured("NNG201", "spacing", trained, folder, HARMFUL, effect)


def normalisation(trained: Settings, folder: Settings) -> list[Difference]:
    """NNG202: schemes, masks, the preprocessor, and the intensity properties that the schemes read."""
    effect = "images reach the network with other intensities than it was trained on"
    found = []
    for field in ("preprocessor_name", "normalization_schemes", "use_mask_for_norm"):
        found += _configured("NNG202", field, trained, folder, HARMFUL, effect)
    ours, theirs = intensity_properties(trained.plans), intensity_properties(folder.plans)
    schemes = trained.configuration.get("normalization_schemes")
    for channel in _keys(ours, theirs):
        mine, other = _entry(ours, channel), _entry(theirs, channel)
        for name in _keys(mine, other):
            read = intensity_is_read(schemes, channel, name)
            found += _compared(
                "NNG202",
                f"foreground_intensity_properties_per_channel[{channel!r}][{name!r}]",
                _entry(mine, name),
                _entry(other, name),
                HARMFUL if read else NOTE,
                effect if read else "none: the normalisation in use does not read it",
            )
    return found


def intensity_properties(plans: Mapping[str, Any]) -> object:
    """Under its own key or that of nnunetv2 before 2.1, as ``PlansManager`` looks for it."""
    if "foreground_intensity_properties_per_channel" in plans:
        return plans["foreground_intensity_properties_per_channel"]
    return plans.get("foreground_intensity_properties_by_modality", {})


def intensity_is_read(schemes: object, channel: object, name: object) -> bool:
    """Whether the channel's scheme reads this property; of an unknown scheme it is assumed."""
    try:
        scheme = schemes[int(str(channel))]  # type: ignore[index]
    except (TypeError, ValueError, LookupError):
        return True
    if scheme == "CTNormalization":
        return name in CT_PROPERTIES
    return scheme not in SELF_SUFFICIENT_SCHEMES


def geometry(trained: Settings, folder: Settings) -> list[Difference]:
    """NNG203."""
    effect = "the network looks through windows of another size than it was trained on"
    found = _configured("NNG203", "patch_size", trained, folder, HARMFUL, effect)
    for field, effect in (
        ("transpose_forward", "the network sees the axes in another order, and mirroring axes mean other directions"),
        ("transpose_backward", "segmentations are written with their axes in another order"),
    ):
        found += _compared("NNG203", field, _entry(trained.plans, field), _entry(folder.plans, field), HARMFUL, effect)
    return found


def labels(trained: Settings, folder: Settings) -> list[Difference]:
    """NNG204: which output channel means what."""
    effect = "segmentations carry other labels than the network was taught"
    found = _compared(
        "NNG204",
        "label_manager",
        trained.plans.get("label_manager", "LabelManager"),
        folder.plans.get("label_manager", "LabelManager"),
        HARMFUL,
        effect,
    )
    mine, other = trained.dataset.get("labels", {}), folder.dataset.get("labels", {})
    if label_list(mine) != label_list(other):
        grave = (
            (ADVISORY, "the numbers stay; only their names differ") if only_renamed(mine, other) else (HARMFUL, effect)
        )
        found.append(_difference("NNG204", "dataset.json: labels", mine, other, *grave))
    if has_regions(mine) or has_regions(other):
        found += _compared(
            "NNG204",
            "dataset.json: regions_class_order",
            trained.dataset.get("regions_class_order"),
            folder.dataset.get("regions_class_order"),
            HARMFUL,
            effect,
        )
    return found


def label_list(labels: object) -> list[tuple[Any, Any]]:
    """Names with values, in nnU-Net's order of output channels: of plain labels by value, of regions as written."""
    if not isinstance(labels, Mapping):
        return []
    entries = [(name, _without_order(plain(value))) for name, value in labels.items()]
    channels = [entry for entry in entries if has_regions(labels) and not _has_no_channel(entry)]
    return channels + sorted((entry for entry in entries if entry not in channels), key=_by_value)


def _without_order(value: Any) -> Any:
    """A region is a set of labels: nnU-Net takes [2, 1] for [1, 2]."""
    numbers = isinstance(value, list) and all(isinstance(item, (int, float)) for item in value)
    return sorted(value) if numbers else value


def _has_no_channel(entry: tuple[Any, Any]) -> bool:
    """Background and ignored voxels have no region's channel, wherever they are written."""
    name, value = entry
    return name == "ignore" or value in (0, [0])


def _by_value(entry: tuple[Any, Any]) -> tuple[bool, float, str, str]:
    name, value = entry
    number = isinstance(value, (int, float))
    return not number, float(value) if number else 0.0, str(value), str(name)


def only_renamed(first: object, second: object) -> bool:
    """Whether the same values carry other names, none of which meant something else before."""
    if [value for _, value in label_list(first)] != [value for _, value in label_list(second)]:
        return False
    shared = set(_keys(first, {})) & set(_keys(second, {}))
    special = {"background", "ignore"} & set(_keys(first, second))
    return special <= shared and all(plain(_entry(first, name)) == plain(_entry(second, name)) for name in shared)


def has_regions(labels: object) -> bool:
    """As ``LabelManager`` decides: any label that is a list of more than one value."""
    values = labels.values() if isinstance(labels, Mapping) else ()
    return any(isinstance(value, (list, tuple)) and len(value) > 1 for value in values)


def channels(trained: Settings, folder: Settings) -> list[Difference]:
    """NNG205. Names do not reach the network, but people order their files by them."""
    mine, other = channel_names(trained.dataset), channel_names(folder.dataset)
    found = []
    if mine != other:
        if len(mine) != len(other):
            grave = (HARMFUL, "the network has another number of input channels: nnU-Net stops, or reads wrong files")
        elif sorted(mine) == sorted(other):
            grave = (HARMFUL, "whoever orders images by these names feeds them to the wrong channels")
        else:
            grave = (ADVISORY, "none while the same images come in the same order: only the names differ")
        found.append(_difference("NNG205", "dataset.json: channel_names", mine, other, *grave))
    stage = "the network expects (or lacks) the previous stage's segmentation among its channels"
    return found + _compared(
        "NNG205",
        "previous_stage",
        trained.configuration.get("previous_stage"),
        folder.configuration.get("previous_stage"),
        HARMFUL,
        stage,
    )


def channel_names(dataset: Mapping[str, Any]) -> list[str]:
    """By channel number; ``modality`` wins where both are there, as in ``determine_num_input_channels``."""
    names = dataset.get("modality", dataset.get("channel_names", {}))
    if not isinstance(names, Mapping):
        return [str(name) for name in names] if isinstance(names, (list, tuple)) else []
    return [str(names[key]) for key in sorted(names, key=lambda key: (len(str(key)), str(key)))]


def resampling(trained: Settings, folder: Settings) -> list[Difference]:
    """NNG206."""
    found = []
    cascaded = trained.configuration.get("previous_stage") is not None
    for what, effect in (
        ("data", "images are resampled in another way than in training"),
        ("probabilities", "network outputs are resampled in another way than in validation"),
        ("seg", "the previous stage's segmentation is resampled in another way than in training"),
    ):
        read = what != "seg" or cascaded
        grave = (ADVISORY, effect) if read else (NOTE, "none: without a previous stage no segmentation is resampled")
        for field in (f"resampling_fn_{what}", f"resampling_fn_{what}_kwargs"):
            found += _configured("NNG206", field, trained, folder, *grave)
    return found


def reader(trained: Settings, folder: Settings) -> list[Difference]:
    """NNG207."""
    effect = "another reader may deliver axes, spacing or intensities otherwise"
    field = "image_reader_writer"
    found = _compared("NNG207", field, _entry(trained.plans, field), _entry(folder.plans, field), ADVISORY, effect)
    ending = "another kind of file is looked for, and written"
    field = "file_ending"
    mine, other = _entry(trained.dataset, field), _entry(folder.dataset, field)
    return found + _compared("NNG207", f"dataset.json: {field}", mine, other, ADVISORY, ending)


def architecture(trained: Settings, folder: Settings) -> list[Difference]:
    """NNG208. Weights of a wrong shape stop nnU-Net; another nonlinearity or stride loads without a word."""
    effect = "the weights are loaded into another network than they were trained in"
    mine, other = trained.configuration, folder.configuration
    if ("architecture" in mine) != ("architecture" in other):
        # The same network in the old and the new way of writing it; comparing them is nnU-Net's business.
        return []
    ours, theirs = _entry(mine, "architecture"), _entry(other, "architecture")
    if "architecture" not in mine:
        ours, theirs = ({key: _entry(part, key) for key in OLD_ARCHITECTURE} for part in (mine, other))
    found = []
    for field, first, second in _flat("architecture", ours, theirs):
        found += _compared("NNG208", field, first, second, HARMFUL, effect)
    return found


def finding(subject: str, code: str, found: list[Difference]) -> Finding:
    """One rule's differences as a finding."""
    worst = max((one.severity for one in found), key=SEVERITIES.index)
    fields = ", ".join(one.field for one in found)
    effects = list(dict.fromkeys(one.effect for one in found))
    shown = "; ".join(
        f"{one.field}: trained with {short(one.trained)}, folder has {short(one.folder)}" for one in found
    )
    return Finding(
        code,
        subject,
        f"The folder's {SUBJECTS[code]} not what training used ({fields}).",
        seen=shown,
        effect="; ".join(effects) + ".",
        remedy=(
            "Put the file back as it was when the model was trained (the checkpoint holds it):\n"
            "    nnguard compare CHECKPOINT MODEL_FOLDER\n"
            "or, if the change is meant, train again with it."
        ),
        evidence={
            "differences": [
                {"field": one.field, "trained": one.trained, "folder": one.folder, "severity": one.severity}
                for one in found
            ]
        },
        severity=worst,
        setting=fields,
    )


SUBJECTS = {
    "NNG201": "target spacing is",
    "NNG202": "normalisation is",
    "NNG203": "patch size or transposes are",
    "NNG204": "labels are",
    "NNG205": "input channels are",
    "NNG206": "resampling is",
    "NNG207": "image reader is",
    "NNG208": "network architecture is",
}


def unusable(subject: str, configuration: str) -> Finding:
    """The folder's plans lack the configuration that the checkpoint was trained with."""
    return Finding(
        "NNG203",
        subject,
        f"The folder's plans.json has no usable configuration {configuration!r}, which training used.",
        seen=f"trained with: {configuration}; the folder's plans do not have it, or it inherits from itself",
        effect="nnU-Net stops when the predictor is initialised.",
        remedy="Put plans.json back as it was when the model was trained.",
        evidence={"configuration": configuration},
    )


def plain(value: Any, depth: int = 0) -> Any:
    """Lists for tuples and arrays all the way down, and one NaN for all: nnU-Net does not tell them apart."""
    if depth > DEEPEST:
        return "(nested too deeply)"
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, (list, tuple)):
        return [plain(item, depth + 1) for item in value]
    if isinstance(value, Mapping):
        return {str(key): plain(item, depth + 1) for key, item in value.items()}
    return "NaN" if isinstance(value, float) and value != value else value


def is_data(value: Any) -> bool:
    """Whether a plain value is all data. What only running code would tell is unknown, and never a difference."""
    if isinstance(value, (list, dict)):
        return all(map(is_data, value.values() if isinstance(value, dict) else value))
    return value is None or isinstance(value, (bool, int, float, str))


def short(value: Any) -> str:
    """A value for a sentence; a whole table is not one."""
    text = repr(plain(value))
    return text if len(text) <= 80 else text[:77] + "..."


def _configured(
    code: str, field: str, trained: Settings, folder: Settings, severity: str, effect: str
) -> list[Difference]:
    mine, other = _entry(trained.configuration, field), _entry(folder.configuration, field)
    return _compared(code, field, mine, other, severity, effect)


def _compared(code: str, field: str, trained: Any, folder: Any, severity: str, effect: str) -> list[Difference]:
    ours, theirs = plain(trained), plain(folder)
    if ours == theirs or not (is_data(ours) and is_data(theirs)):
        return []
    return [_difference(code, field, trained, folder, severity, effect)]


def _difference(code: str, field: str, trained: Any, folder: Any, severity: str, effect: str) -> Difference:
    return Difference(
        code=code, field=field, trained=plain(trained), folder=plain(folder), severity=severity, effect=effect
    )


def _entry(container: object, key: object) -> Any:
    if not isinstance(container, Mapping):
        return MISSING
    return container.get(key, MISSING)


def _keys(first: object, second: object) -> list[Any]:
    """The keys of both, first's order first."""
    keys: dict[Any, None] = {}
    for part in (first, second):
        if isinstance(part, Mapping):
            keys.update(dict.fromkeys(part))
    return list(keys)


def _flat(path: str, first: object, second: object, depth: int = 0) -> list[tuple[str, Any, Any]]:
    """Leaves of two nested mappings side by side."""
    if depth > DEEPEST or not isinstance(first, Mapping) or not isinstance(second, Mapping):
        return [(path, first, second)]
    leaves = []
    for key in _keys(first, second):
        leaves += _flat(f"{path}.{key}", _entry(first, key), _entry(second, key), depth + 1)
    return leaves
