"""Nothing is known of the training, which is not the same as nothing wrong.

## Why it matters

There is no record of what training showed, or it could not be observed. That is not "nothing
wrong": most public models were trained without nnguard, and some of them carry the trap of NNG101.
nnguard never passes what it does not know.

## Bad

Taking silence for safety:

```
nnUNetv2_predict_from_modelfolder -m somebody_elses_model -i images -o out
```

## Good

```
nnguard check somebody_elses_model              # what weaker evidence says: debug.json
nnguard fliptest somebody_elses_model -i images # what the network itself says
```

## How to mend it

- `nnguard fliptest` compares predictions with and without mirroring on a few of your images.
- `nnguard repair CHECKPOINT --state 0,1` records what its owner knows (`none` for no
  mirroring). It is graded as a statement.
- Until then: `--disable_tta` uses no untrained flip.
- As a note: the checkpoint lost its record (another tool saved it), and is judged by the copy in
  `nnguard.json` beside it, whose fingerprint proves that it belongs to these weights. `nnguard
  repair` puts it back. A copy that nothing ties to the weights is named with the reason, and is
  only weaker evidence.
- A training of your own that could not be observed: the finding gives the reason, for example a
  data loader that is not nnU-Net's.

## How to silence it

```
NNGUARD=warn,NNG108=ignore
```

In `warn` it is only logged; `strict` and `correct` warn, `exact` raises. As a note it is logged in
every mode: enough is known of the model.
"""

from __future__ import annotations

import msgspec

from ..axes import written
from ..findings import ADVISORY, Finding
from ..record import Axes, Record
from . import remedies
from .measurement import evidence_in, measured_words, measurement_of, names_of, why_open
from .precedence import open_flips
from .sentences import predictor_uses
from .subjects import Measurement, Prediction, Training
from .usable_axes import in_use, usable_in_use
from .verdicts import JUDGED, unsound_flips
from .words import GRADES

SEVERITY = ADVISORY


def check_training(record: Record, training: Training) -> list[Finding]:
    """A pending record is no finding: the first steps of the training settle it."""
    return [unverified_training(record, training)] if record.mirroring.state == "unknown" else []


def check_prediction(record: Record | None, prediction: Prediction) -> list[Finding]:
    if in_use(prediction) is msgspec.UNSET:
        return [_unread_axes(prediction)]
    axes = usable_in_use(record, prediction)
    measured = measurement_of(record, prediction)
    if measured is not None:
        flips = open_flips(record, axes or (), measured)
        return [_left_open(record, prediction, measured, axes or (), flips)] if flips else []
    if record is not None and (record.mirroring.state in JUDGED or _shown_all_the_same(record, axes)):
        return []
    return [_unverified(record, prediction)]


def unverified_training(record: Record, training: Training) -> Finding:
    """What training shows could not be observed, or is not settled yet."""
    reasons = record.mirroring.reasons
    return Finding(
        "NNG108",
        training.subject,
        "Whether training mirrors could not be observed.",
        seen=f"{'; '.join(reasons) or 'no reason was recorded'}; the trainer declares {written(record.axes.declared)}",
        effect="nothing is known, which is not the same as nothing wrong: predictions with mirroring are unverified.",
        remedy=(
            "Compare predictions with and without mirroring once the model is trained:\n"
            "    nnguard fliptest MODEL_FOLDER -i IMAGES\n"
            "or state what you know of the checkpoint:\n"
            "    nnguard repair CHECKPOINT --state AXES   (such as 0,1, or none)"
        ),
        evidence={
            "state": record.mirroring.state,
            "reasons": reasons,
            "own_train_step": training.own_train_step,
        },
        setting=written(record.axes.declared),
    )


def _shown_all_the_same(record: Record, axes: Axes | None) -> bool:
    """Whether every flip in use was seen often enough, though others may be unknown: presence needs no more."""
    if not axes or not record.mirroring.plain_rate:
        return False
    return not any(unsound_flips(record, axes).values())


def _unread_axes(prediction: Prediction) -> Finding:
    """The checkpoint's axes are an array or a tensor, which only running the file yields."""
    return Finding(
        "NNG108",
        prediction.subject,
        "The checkpoint keeps its mirroring axes as an array or a tensor, which is not read without running the file.",
        seen="the trainer's inference_allowed_mirroring_axes is neither None nor a tuple or list of numbers",
        effect="nothing is known of the mirroring, which is not the same as nothing wrong.",
        remedy=(
            "Predict under NNGUARD=strict: the guard reads the axes that PyTorch has loaded.\n"
            "In your trainer, declare a tuple: self.inference_allowed_mirroring_axes = (0, 1)"
        ),
    )


def _left_open(
    record: Record | None, prediction: Prediction, measured: Measurement, axes: Axes, flips: list[Axes]
) -> Finding:
    """The flips were measured, and the measurement did not settle them."""
    why = why_open(measured.cases, measured.plain_dice is not None)
    return Finding(
        "NNG108",
        prediction.subject,
        f"Whether the network can read {names_of(flips, record, prediction)} is not known: nnguard fliptest left it "
        f"open ({why}).",
        seen=measured_words(measured, flips, prediction),
        effect="nothing is known of these flips, which is not the same as nothing wrong.",
        remedy=(
            f"Until it is known, predict without mirroring:\n    {remedies.without_mirroring(prediction)}\n"
            "To settle it, test more cases, with labels:\n"
            "    nnguard fliptest MODEL_FOLDER -i IMAGES -l LABELS -n 20 -o MODEL_FOLDER"
        ),
        evidence=evidence_in(measured, flips, axes),
        setting=written(axes),
    )


def _unverified(record: Record | None, prediction: Prediction) -> Finding:
    """There is no record, or one without a verdict."""
    if record is None:
        message = "Whether training mirrored is not known: the checkpoint has no nnguard record."
        why = prediction.no_record or "trained without nnguard"
    else:
        message = f"Whether training mirrored is not known: the record's state is {record.mirroring.state}."
        why = "; ".join(record.mirroring.reasons) or GRADES[record.mirroring.state]
    uses = predictor_uses(prediction)
    mirrors = prediction.use_mirroring and prediction.axes is not None
    return Finding(
        "NNG108",
        prediction.subject,
        message,
        seen="; ".join(part for part in (why, prediction.weaker, uses) if part),
        effect=(
            "nothing is known, which is not the same as nothing wrong."
            if mirrors
            else "nothing is mirrored here, so no untrained flip is used; of the plain view nothing is known."
        ),
        remedy=_settling(prediction),
        evidence={
            "state": record.mirroring.state if record else None,
            "reasons": list(record.mirroring.reasons) if record else [why],
            "weaker": prediction.weaker,
            "axes": written(prediction.axes if prediction.use_mirroring else None),
        },
        setting=uses,
    )


def _settling(prediction: Prediction) -> str:
    """What would settle an unknown. No axes are filled in: those of the checkpoint are what is in doubt."""
    known = prediction.checkpoint_axes is not msgspec.UNSET
    place = remedies.quote(prediction.subject) if known else "CHECKPOINT"
    settle = (
        "compare predictions with and without mirroring:\n"
        f"    nnguard fliptest {remedies.folder_of(prediction)} -i IMAGES\n"
        f"or state what you know of the training, AXES such as 0,1, or none:\n"
        f"    nnguard repair {place} --state AXES"
    )
    if not prediction.use_mirroring or prediction.axes is None:
        return f"To settle it, {settle}"
    return (
        "Until it is known, predict without mirroring (NNGUARD=exact refuses what is unverified all the same):\n"
        f"    {remedies.without_mirroring(prediction)}\nTo settle it, {settle}"
    )
