"""What runs with the version's own Python: ``python -m tests.compat.inside WHAT ARGUMENTS``.

The answer is the last line that it prints. WHAT and ARGUMENTS are one of
``variables RESULTS``, ``ran_on``, ``sweep``, ``loaded CHECKPOINT...``, ``predict MODEL IMAGES TARGET``,
``edited MODEL COPIES``.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

MARK = "compat: "
KINDS = ("2d", "isotropic", "anisotropic")


def variables(results: str) -> dict[str, str]:
    """nnU-Net's variables; the small datasets are made with this version where they are missing."""
    from tests.support import disc_datasets

    return disc_datasets.environment(Path(results))


def ran_on() -> dict[str, str | None]:
    """The versions of what matters."""
    from nnguard.record import Environment

    named = ("nnunetv2", "python", "torch", "batchgenerators", "batchgeneratorsv2")
    known = {name: getattr(Environment.here(), name) for name in named}
    return known | {"numpy": importlib.metadata.version("numpy")}


def sweep() -> dict[str, dict[str, Any]]:
    """Every built-in trainer in three geometries, as it is and with its mirrors dropped."""
    answer = {}
    with tempfile.TemporaryDirectory() as folder:
        # Before nnU-Net is imported: versions until 2.6 read them once.
        os.environ.update(variables(folder))
        from tests.support.built_in_trainers import built_in_trainers, swept

        trainers = [trainer for trainer in built_in_trainers() if not trainer.__module__.endswith(".nnguard_compat")]
        for kind in KINDS:
            start = time.monotonic()
            result = swept(kind, Path(folder), trainers)
            answer[kind] = {**result._asdict(), "seconds": round(time.monotonic() - start)}
    return answer


def loaded(*paths: str) -> dict[str, dict[str, Any]]:
    """What PyTorch loads from checkpoints, once nnguard's reader has agreed with it on each of them."""
    from tests.support.agreement import AXES, assert_agrees
    from tests.support.agreement import loaded as load

    answer = {}
    for path in paths:
        assert_agrees(path)
        checkpoint = load(path)
        answer[path] = {"record": checkpoint.get("nnguard"), "axes": checkpoint[AXES]}
    return answer


def edited(model: str, copies: str) -> dict[str, dict[str, Any]]:
    """What a starting predictor and ``check`` say of ``model`` untouched, and after each edit of one field.

    ``error`` is nnU-Net's own, where it cannot load what was edited.
    """
    from tests.support.edits import edits_of, rewritten

    answer = {"untouched": {"code": None, **_said_of(Path(model))}}
    for name, (file, change) in edits_of(json.loads((Path(model) / "plans.json").read_text())).items():
        folder = Path(copies) / name.replace(" ", "_")
        folder.mkdir(parents=True)
        (folder / "fold_0").symlink_to(Path(model) / "fold_0")
        for other in ("plans.json", "dataset.json"):
            shutil.copy(Path(model) / other, folder / other)
        rewritten(folder / f"{file}.json", change)
        answer[name] = {"code": "NNG201", **_said_of(folder)}
    return answer


def _said_of(folder: Path) -> dict[str, Any]:
    import warnings

    import torch
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

    from nnguard import ConsistencyWarning
    from nnguard.models import check_model
    from tests.support.edits import AMONG_FOLDS, IN_PLANS

    error = None
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            predictor = nnUNetPredictor(device=torch.device("cpu"), allow_tqdm=False)
            predictor.initialize_from_trained_model_folder(str(folder), (0,), "checkpoint_final.pth")
        except Exception as ours:  # noqa: BLE001 - whatever nnU-Net says
            error = repr(ours)
    at_start = {str(one.message).split()[0] for one in caught if one.category is ConsistencyWarning}
    checked = {finding.code for finding in check_model(folder)} & {*IN_PLANS, *AMONG_FOLDS}
    return {"start": sorted(at_start), "check": sorted(checked), "error": error}


def predict(model: str, images: str, target: str) -> int:
    """Predicts in this process, without workers, which older versions' commands cannot do."""
    import torch
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

    predictor = nnUNetPredictor(device=torch.device("cpu"), allow_tqdm=False)
    predictor.initialize_from_trained_model_folder(model, use_folds=(0,), checkpoint_name="checkpoint_final.pth")
    files = predictor.plans_manager.image_reader_writer_class()
    paths = sorted(Path(images).glob("*_0000.png"))
    Path(target).mkdir(parents=True, exist_ok=True)
    for path in paths:
        image, properties = files.read_images([str(path)])
        answer = predictor.predict_single_npy_array(image, properties, None, None, False)
        files.write_seg(answer, str(Path(target) / path.name.replace("_0000", "")), properties)
    return len(paths)


def main() -> None:
    what, *arguments = sys.argv[1:]
    known = {known.__name__: known for known in (variables, ran_on, sweep, loaded, predict, edited)}
    answer: Any = known[what](*arguments)
    print(f"\n{MARK}{json.dumps(answer)}", flush=True)


if __name__ == "__main__":
    main()
