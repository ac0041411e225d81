"""What lies beside a checkpoint that a live predictor loaded: a fliptest, the copy of a record, weaker evidence."""

from __future__ import annotations

from pathlib import Path

import msgspec

from ..errors import CheckpointError
from ..findings import Finding
from ..models.measured import Candidate, Measured, evidence_for, fliptest_for
from ..rules.subjects import Prediction
from .checkpoints import Origin
from .patching import contained


def with_neighbours(origin: Origin, prediction: Prediction) -> tuple[Prediction, list[Finding]]:
    """The prediction with what was found beside the checkpoint, and what is said of the files themselves (NNG108).

    Costs a look where no fliptest lies in the model folder; where one does, its JSON and the directory of the
    checkpoint's zip are read. Weaker evidence is asked for only where there is no record.
    """
    found: list[Finding] = []
    if origin.path is None:
        return prediction, found
    path = Path(origin.path)
    weaker = contained("reading weaker evidence", weaker_words, path) if origin.record is None else None
    if origin.copied:
        found += contained("telling of a lost record", _lost, prediction.subject) or []
    measured, unused = contained("reading a fliptest", fliptest_of, path, origin, prediction) or (None, [])
    if measured is not None:
        changes = {"measured": measured.measurement, "measured_file": measured.path}
        return msgspec.structs.replace(prediction, weaker=weaker, **changes), found
    # Without a record the file was all that could have told: why it does not is part of "unverified".
    words = [weaker, *(finding.seen for finding in unused if origin.record is None)]
    weaker = "; ".join(word for word in words if word) or None
    return msgspec.structs.replace(prediction, weaker=weaker), found + unused


def fliptest_of(path: Path, origin: Origin, prediction: Prediction) -> tuple[Measured | None, list[Finding]]:
    """What a fliptest in the model folder showed of these weights; a finding where one is there and is not used."""
    if fliptest_for(path) is None:
        return None, []
    from ..checkpoint import weights_fingerprint

    configuration = origin.init_args.get("configuration")
    try:
        fingerprint = weights_fingerprint(path)
    except CheckpointError:  # another format than a zip
        fingerprint = None
    return evidence_for(
        Candidate(
            path=path,
            fold=path.parent.name.removeprefix("fold_"),
            trainer=origin.trainer_name,
            configuration=configuration if isinstance(configuration, str) else None,
            epoch=origin.epoch,
            spatial_dims=prediction.spatial_dims,
            weights=fingerprint,
        )
    )


def weaker_words(path: Path) -> str | None:
    """What else speaks of the training of a checkpoint without a record, in words with its grade."""
    from ..models.belonging import record_kept_for
    from ..models.older import weaker_evidence

    kept = record_kept_for(path)
    found = weaker_evidence(path.parent, kept.problem if kept is not None else None)
    return found.sentence if found is not None else None


def _lost(subject: str) -> list[Finding]:
    from ..models.belonging import lost_record

    return [lost_record(subject)]
