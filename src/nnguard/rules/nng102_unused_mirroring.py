"""Training mirrored and the predictor does not, or on fewer axes.

## Why it matters

Validation, the choice of the best configuration and postprocessing were made with mirroring; this
prediction is not. It is sound: every network reads plain images. But its Dice is not the one that
was reported, usually a little lower.

## Bad

```
nnUNetv2_train 2 3d_fullres 0
nnUNetv2_predict -i images -o out -d 2 -c 3d_fullres --disable_tta
```

## Good

```
nnUNetv2_predict -i images -o out -d 2 -c 3d_fullres
```

## How to mend it

Leave out `--disable_tta`, or `use_mirroring=False`. If speed matters more, keep it, and validate
without mirroring too, so that reported numbers are those of the settings in use.

The rule compares with the axes that the checkpoint itself allows. A trainer that withholds
mirroring on purpose is NNG104, and axes that `nnguard` narrowed are no finding at all.

## How to silence it

```
NNGUARD=warn,NNG102=ignore
```
"""

from __future__ import annotations

from ..axes import normalise, problem_with, written
from ..findings import ADVISORY, Finding
from ..flips import flips_of, safe_axes
from ..record import Record
from .sentences import predictor_uses, seen_words
from .subjects import Prediction
from .usable_axes import usable_in_use
from .verdicts import JUDGED, dimensions, evidence_data, evidence_of

SEVERITY = ADVISORY


def check_prediction(record: Record | None, prediction: Prediction) -> list[Finding]:
    """Against what the checkpoint's own axes allow: neither a trainer that withholds nor a repair is news."""
    axes = usable_in_use(record, prediction)
    if record is None or record.mirroring.state not in JUDGED or axes is None:
        return []
    if problem_with(record.axes.effective, dimensions(record.spatial_dims)):
        return []
    expected = safe_axes(evidence_of(record), normalise(record.axes.effective))
    if set(expected) <= set(axes):
        return []
    return [
        Finding(
            "NNG102",
            prediction.subject,
            f"Training mirrored along {written(expected)} and the predictor "
            + (f"uses only {written(axes)}." if axes else "does not mirror."),
            seen=seen_words(record, flips_of(expected), predictor_uses(prediction)),
            effect="the result is sound, but made with other settings than the validation; expect small differences.",
            remedy=(
                "If that is meant (it is faster), nothing. Otherwise leave out --disable_tta, or set\n"
                f"    predictor.use_mirroring, predictor.allowed_mirroring_axes = True, {written(expected)}"
            ),
            evidence=evidence_data(record, flips_of(expected), axes, expected),
            setting=written(axes),
        )
    ]
