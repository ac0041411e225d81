"""What a run was set to, as far as its files tell: by one name each, so that two runs can be compared."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from typing import Any

import msgspec

from ..axes import normalise, problem_with
from ..difference import Change, differences, transform_setting
from ..fold import Fold, argument_of, configuration_of
from ..nnunet import DEBUG_FILE, WRAPPERS
from ..rules.inference_settings import resolved_configuration
from .file_content import read_beside, read_json
from .pipeline_text import described_mirroring, described_tree

MIRRORED, TEST_TIME, LEARNING_RATE = "mirrored in training", "mirrored at test time", "initial_lr"
PLANS, ATTRIBUTES, AUGMENTATION = "plans", "the trainer's attributes", "augmentation"
#: What a comparison rests on, weakest first.
GRADES = ("checkpoint", "debug.json", "record")

#: What nnU-Net prints of a trainer into ``debug.json`` and is no setting: this run's objects, places, progress
#: and machine, and what is compared under another name.
NO_SETTINGS = frozenset(
    {
        "_best_ema", "configuration_manager", "configuration_name", "cudnn_version", "current_epoch",
        "dataloader_train", "dataloader_val", "dataset_json", "device", "disable_checkpointing", "fold", "gpu_name",
        "grad_scaler", "hostname", "inference_allowed_mirroring_axes", "initial_lr", "is_ddp", "label_manager",
        "local_rank", "log_file", "logger", "my_init_kwargs", "plans_manager", "save_every", "torch_version",
        "was_initialized",
    }
)  # fmt: skip
#: Attributes that name a folder of this machine.
_PLACES = re.compile(r"folder|path|_dir$|_file$|timestamp")
_ADDRESS = re.compile(r"<(?P<name>[\w.]+)(?: object)? at 0x[0-9a-fA-F]+>")
_OPTIMIZER_VALUE = re.compile(r"^\s+(\w+): (.+)$", re.MULTILINE)
#: Switches of PyTorch's that say how an optimiser computes, not what; and the rate, which a schedule moves.
_OPTIMIZER_NOISE = frozenset({"capturable", "differentiable", "foreach", "fused", "initial_lr", "lr", "maximize"})

#: The parts of a dotted key of a described pipeline, classes among them.
_KEYS = re.compile(r"[^.\[\]]+")
_PIPELINES = ("dataloader_train.generator.transforms", "dataloader_train.transform")
#: A configuration prints to some thousand characters.
LONGEST_PRINTED = 1 << 18

#: A plan's entries that a training reads, beside those of its configuration.
PLAN_ENTRIES = ("transpose_forward", "image_reader_writer", "foreground_intensity_properties_per_channel")
DATASET_ENTRIES = ("labels", "regions_class_order", "channel_names", "numTraining")
VERSIONS = ("nnunetv2", "batchgenerators", "batchgeneratorsv2", "torch")


class RunSettings(msgspec.Struct, frozen=True, kw_only=True):
    """One fold's settings.

    Args:
        told: what its files tell: ``PLANS``, what it was trained with of configuration, data set and plans;
            ``ATTRIBUTES`` of the trainer, from ``debug.json``; single values from wherever they are known best, such
            as mirroring, learning rate and versions. What they do not tell is not there.
        tree: the described pipeline of its record, if that has parameters; ``printed``: the one of ``debug.json``, in
            the same shape.
        grade: what most of it rests on: ``record``, ``debug.json`` or ``checkpoint``.
    """

    told: dict[str, Any]
    tree: Any = None
    printed: Any = None
    grade: str


def settings_of(fold: Fold) -> RunSettings:
    """What a readable fold's files tell of its settings."""
    record, debug = fold.record, read_json(read_beside(fold, DEBUG_FILE), dict[str, Any]) or {}
    printed = next((text for key in _PIPELINES if isinstance(text := debug.get(key), str) and text != "None"), None)
    groups = {PLANS: _plans(fold, debug), ATTRIBUTES: _trainer(debug) if debug else None}
    return RunSettings(
        told={
            **{name: group for name, group in groups.items() if group is not None},
            **_mirroring(fold, printed),
            **_learning_rate(fold, debug),
            **_versions(fold, debug),
        },
        tree=record.transforms if record is not None and _has_parameters(record.transforms) else None,
        printed=described_tree(printed) if printed is not None else None,
        grade="record" if record is not None else "debug.json" if debug else "checkpoint",
    )


def _plans(fold: Fold, debug: Mapping[str, Any]) -> dict[str, Any] | None:
    """Names of plans and data set are no settings; a trainer may edit its configuration, which then is the printed."""
    plans, dataset = (
        value if isinstance(value := argument_of(fold, name), Mapping) else {} for name in ("plans", "dataset_json")
    )
    name = configuration_of(fold)
    configuration = _printed_dict(debug.get("configuration_manager")) or resolved_configuration(plans, name)
    if configuration is None:
        return None
    return {
        "configuration": name,
        **{str(key): value for key, value in configuration.items()},
        **{key: plans[key] for key in PLAN_ENTRIES if key in plans},
        **{f"dataset.{key}": dataset[key] for key in DATASET_ENTRIES if key in dataset},
    }


def _printed_dict(text: Any) -> dict[str, Any] | None:
    if not isinstance(text, str) or len(text) > LONGEST_PRINTED:
        return None
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return None
    return value if isinstance(value, dict) and value else None


def _trainer(debug: Mapping[str, Any]) -> dict[str, Any]:
    """The trainer's attributes as printed at training start, own ones included."""
    found: dict[str, Any] = {}
    for name, value in debug.items():
        if name in NO_SETTINGS or "." in name or _PLACES.search(name) or not isinstance(value, str):
            continue
        if name == "optimizer":
            found.update(_optimizer(value))
        elif name != "network" or value not in WRAPPERS:
            # An object that prints its address alone is told by its class.
            found[name] = _ADDRESS.sub(lambda match: match["name"].rpartition(".")[2], value)
    return {name: _number_in(value) for name, value in found.items()}


def _optimizer(text: str) -> dict[str, str]:
    values = dict(_OPTIMIZER_VALUE.findall(text))
    kept = {f"optimizer.{name}": value for name, value in values.items() if name not in _OPTIMIZER_NOISE}
    return {"optimizer": text.partition("(")[0].strip(), **kept}


def _number_in(text: str) -> Any:
    """``"25"`` as 25, so that it equals a plan's; ``"1e-05"`` as 1e-05."""
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _learning_rate(fold: Fold, debug: Mapping[str, Any]) -> dict[str, Any]:
    """As logged in the first epoch, which is what ran; a trainer's attribute may say something else."""
    assert fold.checkpoint is not None
    logged = fold.checkpoint.logging.get("lrs")
    if isinstance(logged, list) and logged and isinstance(logged[0], (int, float)):
        return {LEARNING_RATE: logged[0]}
    value = debug.get(LEARNING_RATE)
    return {LEARNING_RATE: _number_in(value)} if isinstance(value, str) else {}


def _versions(fold: Fold, debug: Mapping[str, Any]) -> dict[str, Any]:
    recorded = msgspec.to_builtins(fold.record.environment) if fold.record is not None else {}
    recorded.setdefault("torch", debug.get("torch_version"))
    told = {name: version for name in VERSIONS if isinstance(version := recorded.get(name), str)}
    # "+cu130" is for which device it was built, and one of the two sources leaves it out.
    return {name: version.partition("+")[0] for name, version in told.items()}


def _mirroring(fold: Fold, printed: str | None) -> dict[str, Any]:
    assert fold.checkpoint is not None
    declared = fold.checkpoint.declared_axes if fold.checkpoint.has_declared_axes else None
    found: dict[str, Any] = {TEST_TIME: declared if problem_with(declared) else list(normalise(declared))}
    trained = mirrored_in_training(fold, printed)
    return found if trained is None else {**found, MIRRORED: trained}


def mirrored_in_training(fold: Fold, printed: str | None) -> list[int] | None:
    """The axes that training flipped, alone, often enough; ``None`` where nothing tells."""
    if fold.record is not None:
        mirroring = fold.record.mirroring
        if mirroring.flips and mirroring.state in ("observed", "measured"):
            return [flip.axes[0] for flip in mirroring.flips if len(flip.axes) == 1 and flip.verdict == "trained"]
        return None if mirroring.safe_axes is None else list(mirroring.safe_axes)
    described = described_mirroring(printed) if printed is not None else None
    return list(described.axes) if described is not None and (described.axes or described.complete) else None


# ---------------------------------------------------------------- what differs


def differing_settings(baseline: RunSettings, run: RunSettings) -> tuple[list[Change], list[str]]:
    """Every changed setting once: what follows from another change that is listed is left out.

    Returns:
        The changes, and in words what could not be compared.

    Raises:
        RecursionError: values are nested too deeply.
    """
    before, after = baseline.told, run.told
    both = [name for name in before if name in after]
    changes = [
        change
        for name in both
        for change in differences("" if name in (PLANS, ATTRIBUTES) else name, before[name], after[name])
    ]
    unknown = [name for name in (PLANS, ATTRIBUTES, MIRRORED, LEARNING_RATE) if name not in both]
    augmentation = _augmentation(baseline, run)
    if augmentation is None:
        unknown.append(AUGMENTATION)
    return _once([*changes, *(augmentation or [])], _mirror_alike(baseline) and _mirror_alike(run)), unknown


def _augmentation(baseline: RunSettings, run: RunSettings) -> list[Change] | None:
    """By the best evidence that both have; ``None`` if there is none that both have."""
    for before, after in ((baseline.tree, run.tree), (baseline.printed, run.printed)):
        if before is not None and after is not None:
            return [
                (transform_setting(key), was, now)
                for key, was, now in differences("", before, after)
                if "where" not in _KEYS.findall(key)
            ]
    return None


def _has_parameters(tree: Any) -> bool:
    """A pipeline that would make the checkpoint noticeably larger is recorded without any."""
    return b'"parameters"' in msgspec.json.encode(tree)


def _mirror_alike(run: RunSettings) -> bool:
    """Whether a run mirrors at test time as in training, so that both are one setting."""
    return MIRRORED in run.told and run.told[MIRRORED] == run.told[TEST_TIME]


def _once(changes: list[Change], mirror_alike: bool) -> list[Change]:
    """Without what follows from another change: the same setting under a second name, or its trace elsewhere."""
    changed = {name for name, _, _ in changes}
    kept: dict[str, list[Change]] = {}
    for change in changes:
        name, origin = change[0], change[0].rpartition(".")[2]
        follows = (
            (origin != name and origin in changed)  # SpatialTransform.patch_size from patch_size
            or (name.startswith("MirrorTransform") and MIRRORED in changed)
            or (name == TEST_TIME and MIRRORED in changed and mirror_alike)
            or (name == "num_input_channels" and "dataset.channel_names" in changed)
            or (name == "network" and any(one.startswith("architecture") for one in changed))
            or (origin == "ds_scales" and any(one.startswith("architecture") for one in changed))
        )
        # batch_size stands in plans and trainer; two transforms of one class may each have changed.
        if not follows and (name not in kept or "Transform" in name):
            kept.setdefault(name, []).append(change)
    return [change for group in kept.values() for change in group]
