"""The predictor uses a flip under which the network was measured to lose Dice.

## Why it matters

`nnguard fliptest` shows a trained network mirrored images and turns its answers back. Under this
flip the answer was worse than the plain one, beyond chance, so test-time mirroring averages good
answers with bad ones. Nobody needs to know how the network was trained to see that. Where a record
says that training did show the flip, it was shown and not learnt: nothing in the images tells the
network which way round they lie, or it was shown too rarely.

## Bad

```
nnguard fliptest MODEL_FOLDER -i images -l labels -o MODEL_FOLDER   # axis 1: harmful
nnUNetv2_predict_from_modelfolder -m MODEL_FOLDER ...               # and mirrored all the same
```

## Good

```
nnguard repair MODEL_FOLDER --from-fliptest MODEL_FOLDER/nnguard-fliptest.json
nnUNetv2_predict_from_modelfolder -m MODEL_FOLDER ...
```

## How to mend it

- This run: `nnUNetv2_predict ... --disable_tta`
- The checkpoint, for everybody: `nnguard repair ... --from-fliptest FILE`. Only axes that were
  measured to be safe stay, and of those only what an observed training showed.
- `NNGUARD=correct` narrows a predictor's axes to the same.
- The same command keeps the measurement in the checkpoint, and it goes where the checkpoint goes.
  In the model folder (`-o MODEL_FOLDER`) `check` and the live guard find it, too.

Evidence that is not about these very weights is not used, and that is said (NNG108).

## How to silence it

```
NNGUARD=warn,NNG116=ignore
```
"""

from __future__ import annotations

from ..axes import written
from ..findings import HARMFUL, Finding
from ..record import Axes, Record
from . import remedies
from .measurement import evidence_in, measured_words, measurement_of, names_of, safe_by_both
from .precedence import unread_flips
from .subjects import Measurement, Prediction
from .usable_axes import usable_in_use
from .verdicts import repaired_axes

SEVERITY = HARMFUL


def check_prediction(record: Record | None, prediction: Prediction) -> list[Finding]:
    measured, axes = measurement_of(record, prediction), usable_in_use(record, prediction)
    if measured is None or axes is None:
        return []
    flips = unread_flips(record, axes, measured)
    if not flips:
        return []
    return [
        Finding(
            "NNG116",
            prediction.subject,
            f"The predictor mirrors {names_of(flips, record, prediction)}, under which the network was measured to "
            "lose Dice.",
            seen=measured_words(measured, flips, prediction),
            effect=_cost(measured, axes),
            remedy=_remedy(record, prediction, measured, axes),
            evidence=evidence_in(measured, flips, axes),
            setting=written(axes),
        )
    ]


def _cost(measured: Measurement, axes: Axes) -> str:
    plain, tta = measured.plain_dice, measured.tta_dice
    if plain is not None and tta is not None and measured.tta_axes == axes and plain > tta:
        return f"on the cases that were tested, this mirroring costs {plain - tta:.2f} Dice."
    return "views that the network cannot read are averaged in: segmentations get worse without any error."


def _remedy(record: Record | None, prediction: Prediction, measured: Measurement, axes: Axes) -> str:
    safe = safe_by_both(record, measured.flips, axes)
    repaired = repaired_axes(record, axes) if record is not None and prediction.measured_file is None else None
    text = remedies.for_prediction(prediction, safe, repaired=repaired)
    if prediction.measured_file is None:
        return text
    mending = f"nnguard repair {remedies.quote(prediction.subject)}"
    return text.replace(mending, f"{mending} --from-fliptest {remedies.quote(prediction.measured_file)}")
