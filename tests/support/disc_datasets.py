"""Small datasets, planned and preprocessed by real nnU-Net, made once per machine and then read only.

They lie in ``.cache/datasets`` under a name that changes with this file, the demo's maker and the
versions of nnU-Net and its image libraries; deleting the folder costs ten seconds at the next run.
"""

from __future__ import annotations

import fcntl
import functools
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nnguard.demo import disc_dataset, preparation
from nnguard.distributions import version_of

CACHE = Path(__file__).resolve().parents[2] / ".cache" / "datasets"


@dataclass(frozen=True)
class Kind:
    """One dataset. ``shape`` is the array's, (z, y, x) or (y, x); unequal sides tell axes apart."""

    number: int
    configuration: str
    shape: tuple[int, ...]
    spacing: tuple[float, ...] = ()
    cases: int = 5
    labels: dict[str, Any] | None = None
    regions_class_order: list[int] | None = None
    channels: dict[str, str] = field(default_factory=lambda: {"0": "grey"})

    @property
    def name(self) -> str:
        return f"Dataset{self.number}_Discs"


#: ``2d`` is the demo's own (square patch, so stock rotation reaches half turns); ``2d_oblong`` rotates by
#: 15 degrees only; ``anisotropic`` gets nnU-Net's dummy 2D augmentation; ``regions`` and ``ignore`` take
#: nnU-Net's other two label pipelines.
KINDS = {
    "2d": Kind(disc_dataset.DATASET_ID, "2d", disc_dataset.SHAPE, cases=disc_dataset.TRAINING_CASES),
    "2d_oblong": Kind(561, "2d", (48, 80)),
    "isotropic": Kind(562, "3d_fullres", (32, 40, 40), (1.0, 1.0, 1.0)),
    "anisotropic": Kind(563, "3d_fullres", (12, 48, 48), (5.0, 1.0, 1.0)),
    "regions": Kind(
        564,
        "2d",
        (64, 64),
        labels={"background": 0, "whole": [1, 2], "right": 2},
        regions_class_order=[1, 2],
    ),
    "ignore": Kind(565, "2d", (64, 64), labels={"background": 0, "left": 1, "right": 2, "ignore": 3}),
    "two_channels": Kind(566, "2d", (64, 64), channels={"0": "grey", "1": "CT"}),
}


@functools.cache
def root() -> Path:
    """The folder with ``raw`` and ``preprocessed`` of all kinds; made, under a lock, where it is missing."""
    CACHE.mkdir(parents=True, exist_ok=True)
    target = CACHE / _key()
    with (CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not target.is_dir():
            making = Path(tempfile.mkdtemp(dir=CACHE))
            _make(making)
            making.rename(target)
    return target


def environment(results: Path) -> dict[str, str]:
    """The variables that nnU-Net reads, for trainings whose output goes to ``results``."""
    return {
        "nnUNet_raw": str(root() / "raw"),
        "nnUNet_preprocessed": str(root() / "preprocessed"),
        "nnUNet_results": str(results),
        "nnUNet_compile": "f",
        "nnUNet_def_n_proc": "1",
        "nnUNet_n_proc_DA": "0",
        "OMP_NUM_THREADS": "1",
        "OMP_WAIT_POLICY": "PASSIVE",
    }


def _key() -> str:
    content = hashlib.sha256()
    for path in (Path(__file__), Path(disc_dataset.__file__), Path(preparation.__file__)):
        content.update(path.read_bytes())
    for package in ("nnunetv2", "numpy", "blosc2", "acvl_utils"):
        content.update(str(version_of(package)).encode())
    return content.hexdigest()[:16]


def _make(folder: Path) -> None:
    raw, preprocessed = folder / "raw", folder / "preprocessed"
    preprocessed.mkdir(parents=True)
    for name, kind in KINDS.items():
        if name == "2d":
            disc_dataset.make(raw)
        else:
            _write_raw(raw / kind.name, kind)
    variables = dict(os.environ, nnUNet_raw=str(raw), nnUNet_preprocessed=str(preprocessed), NNGUARD="off")
    for configuration in ("2d", "3d_fullres"):
        numbers = [str(kind.number) for kind in KINDS.values() if kind.configuration == configuration]
        command = [sys.executable, "-m", preparation.__name__, "-d", *numbers, "-c", configuration]
        done = subprocess.run(command, env=variables, capture_output=True, text=True, check=False)
        if done.returncode:
            shutil.rmtree(folder)
            raise RuntimeError(f"nnU-Net could not prepare the test datasets:\n{done.stdout}\n{done.stderr}")
    for kind in KINDS.values():
        _write_splits(preprocessed / kind.name, kind)


def _write_raw(folder: Path, kind: Kind) -> None:
    import numpy
    import SimpleITK
    from skimage import io

    images, labels = folder / "imagesTr", folder / "labelsTr"
    images.mkdir(parents=True)
    labels.mkdir()
    file_ending = ".png" if len(kind.shape) == 2 else ".nii.gz"

    def write(array: Any, path: Path) -> None:
        if file_ending == ".png":
            io.imsave(str(path), array.clip(0, 255).astype(numpy.uint8), check_contrast=False)
            return
        picture = SimpleITK.GetImageFromArray(array.astype(numpy.float32))
        picture.SetSpacing(kind.spacing[::-1])  # SimpleITK counts (x, y, z)
        SimpleITK.WriteImage(picture, str(path))

    generator = numpy.random.default_rng(kind.number)
    for number in range(kind.cases):
        image, label = disc_dataset.draw(kind.shape, generator)
        if kind.labels and "ignore" in kind.labels:
            label[..., : kind.shape[-2] // 4, :] = kind.labels["ignore"]
        for channel in kind.channels:
            write(image, images / f"discs_{number:03d}_{int(channel):04d}{file_ending}")
        write(label, labels / f"discs_{number:03d}{file_ending}")
    description = {
        "channel_names": kind.channels,
        "labels": kind.labels or {"background": 0, "left": disc_dataset.LEFT, "right": disc_dataset.RIGHT},
        "numTraining": kind.cases,
        "file_ending": file_ending,
    }
    if kind.regions_class_order is not None:
        description["regions_class_order"] = kind.regions_class_order
    (folder / "dataset.json").write_text(json.dumps(description, indent=2))


def _write_splits(folder: Path, kind: Kind) -> None:
    # Before the first trainer does: the folder is shared, and two trainers would write it at once.
    names = sorted(path.name.split(".")[0] for path in (folder / "gt_segmentations").iterdir())
    splits = [{"train": [name for name in names if name not in names[k::5]], "val": names[k::5]} for k in range(5)]
    (folder / "splits_final.json").write_text(json.dumps(splits))
