"""The folder's plans or dataset are not what training used.

## Why it matters

The predictor reads `plans.json` and `dataset.json` of the model folder, not those that training
used. The checkpoint holds those, so that both can be compared. The finding lists every field that
differs, and is as grave as its gravest one:

- **Spacing**: the network sees its objects at another size. Harmful.
- **Normalisation**: another scheme, mask, preprocessor or intensity statistics give the network
  other numbers than it was trained on (nnU-Net's issue #2639). Harmful; a note for statistics that
  the scheme does not read (z-score reads none, CT four of seven).
- **Patch size and transposes**: the network sees another part at once, or the axes in another
  order, so that mirroring axes mean other directions. Harmful.
- **Labels and regions**: the numbers mean something else, and wrong labels look right. Harmful;
  advisory if only names changed and every number kept its meaning.
- **Input channels**: people order images by the names in `dataset.json`. Names in another order
  lead to T1 in T2's channel; another number stops nnU-Net. Harmful; advisory for new names.
- **Architecture**: weights of a wrong shape stop nnU-Net, but another nonlinearity or stride loads
  without a word, and computes something else. Harmful.
- **Resampling functions, image reader, file ending**: edges and thin structures change a little;
  another reader may deliver other axes or intensities. Advisory.

Numbers that differ by rounding alone are equal.

## Bad

```json
"3d_fullres": {"spacing": [1.5, 1.5, 1.5]}
```

edited after a training with `[1.0, 0.8, 0.8]`. Or new plans copied into an old model:

```
nnUNetv2_plan_and_preprocess -d 2   # again, with ten more cases: new intensity statistics
cp .../nnUNetPlans.json .../nnUNetTrainer__nnUNetPlans__3d_fullres/plans.json
```

## Good

A model folder is left as training wrote it. Another setting is a configuration of its own, trained
as such:

```json
"3d_lowspacing": {"inherits_from": "3d_fullres", "data_identifier": "nnUNetPlans_3d_lowspacing",
  "spacing": [1.5, 1.5, 1.5]}
```

## How to mend it

Put the file back as it was. The checkpoint holds what training used: `nnguard compare CHECKPOINT
MODEL_FOLDER` shows both. If the change is meant, the model has to be trained with it.

## How to silence it

```
NNGUARD=warn,NNG201=ignore
```
"""

from __future__ import annotations

from ..findings import HARMFUL, SEVERITIES, Finding
from .inference_settings import Difference, as_read, what_differs

SEVERITY = HARMFUL

# nnU-Net's predictor takes plans and dataset from the folder's ``plans.json`` and ``dataset.json``; the checkpoint's
# ``init_args`` hold those that training used.


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
        One finding at most; its severity is that of its gravest difference.
    """
    trained = as_read(trained_plans, trained_dataset, configuration)
    if trained is None:
        return []
    folder = as_read(folder_plans, folder_dataset, configuration)
    if folder is None:
        missing = Difference(
            field=f"configurations.{configuration}",
            trained="(there)",
            folder="(no usable configuration of this name)",
            severity=HARMFUL,
            effect="nnU-Net stops when the predictor is initialised",
        )
        return [_folder_differs(subject, [missing])]
    found = what_differs(trained, folder)
    return [_folder_differs(subject, found)] if found else []


def _folder_differs(subject: str, found: list[Difference]) -> Finding:
    """All differences as one finding."""
    fields = ", ".join(one.field for one in found)
    shown = "; ".join(
        f"{one.field}: trained with {_short(one.trained)}, folder has {_short(one.folder)}" for one in found
    )
    return Finding(
        "NNG201",
        subject,
        f"The folder's plans or dataset are not what training used ({fields}).",
        seen=shown,
        effect="; ".join(dict.fromkeys(one.effect for one in found)) + ".",
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
        severity=max((one.severity for one in found), key=SEVERITIES.index),
        setting=fields,
    )


def _short(value: object) -> str:
    """A value for a sentence; a whole table is not one."""
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
