"""Trained with another version of nnunetv2, batchgenerators(v2) or torch.

## Why it matters

- **nnunetv2** changed preprocessing, resampling and export between versions, in small ways. Usually
  results agree; where every voxel counts, use one version.
- **batchgenerators and batchgeneratorsv2** augment. Another version changes nothing at inference; a
  resumed training may augment otherwise.
- **torch** computes with other kernels. Differences are of the order of rounding and seldom change
  a voxel.

## Bad

```
pip install -U nnunetv2      # between training and the study
```

## Good

```
pip install nnunetv2==2.5.1  # as in training; nnguard check CHECKPOINT names it
```

## How to mend it

Install the version that the finding names, or validate again with the new one. Resume trainings in
the environment in which they began.

## How to silence it

```
NNGUARD=warn,NNG501=ignore
```
"""

from __future__ import annotations

from ..findings import NOTE, Finding
from ..record import Environment
from .words import joined

SEVERITY = NOTE

#: Package -> what another version of it may do.
PACKAGES = {
    "nnunetv2": "preprocessing, resampling and export may differ between nnU-Net versions",
    "batchgenerators": "nothing at inference; a resumed training may augment otherwise",
    "batchgeneratorsv2": "nothing at inference; a resumed training may augment otherwise",
    "torch": "numerical differences, seldom visible in a segmentation",
}


def check_versions(subject: str, trained: Environment, here: Environment) -> list[Finding]:
    """Compares the versions of training with those of this process.

    Args:
        subject: the checkpoint, for people.
        trained: from the record.
        here: of this process. A version that is not known on either side is no difference, nor is a local
            one (``2.5.1+cu121`` against ``2.5.1+cpu``).
    """
    pairs = [(package, getattr(trained, package), getattr(here, package)) for package in PACKAGES]
    other = [(package, old, new) for package, old, new in pairs if old and new and public(old) != public(new)]
    if not other:
        return []
    return [
        Finding(
            "NNG501",
            subject,
            f"Trained with another version of {joined(package for package, _, _ in other)}.",
            seen="; ".join(f"trained with {named(name, old)}, here is {named(name, new)}" for name, old, new in other),
            effect="; ".join(dict.fromkeys(PACKAGES[package] for package, _, _ in other)) + ".",
            remedy="For the same results to the last voxel, in an environment of its own: pip install "
            + " ".join(named(package, public(old)).replace(" ", "==") for package, old, _ in other),
            evidence={package: {"trained": old, "here": new} for package, old, new in other},
            setting=", ".join(package for package, _, _ in other),
        )
    ]


def named(package: str, version: str) -> str:
    """``nnunetv2 2.8.1``; of a fork the version itself names the distribution, see ``distributions.version_of``."""
    return version if " " in version else f"{package} {version}"


def public(version: str) -> str:
    """Without the local part of PEP 440."""
    return version.partition("+")[0]
