"""Documents as ``nnguard fliptest -o`` writes them, made for a model folder from verdicts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from nnguard.effect.statistics import CaseScores
from nnguard.flips import flips_of
from nnguard.models.fliptest_document import document_of
from nnguard.models.folder import CHECKPOINT_NAME, FLIPTEST_FILE, open_model


def document(
    model: Path,
    read: tuple[int, ...] = (0,),
    *,
    cases: int = 8,
    labels: bool = True,
    folds: tuple[int | str, ...] | None = None,
    dims: int = 2,
    checkpoint_name: str = CHECKPOINT_NAME,
    **changes: Any,
) -> dict[str, Any]:
    """What a fliptest says of a model whose network reads flips along ``read`` alone; ``changes`` replace keys."""
    scores = []
    for case in range(cases):
        flips = {flip: 0.97 if set(flip) <= set(read) else 0.03 for flip in flips_of(range(dims))}
        by_label = {flip: {1: dice, 2: dice - 0.001 * case} for flip, dice in flips.items()}
        references = {"flipped": by_label, "plain": {1: 0.97, 2: 0.97}, "tta": {1: 0.5, 2: 0.5}} if labels else {}
        scores.append(CaseScores(agreement=by_label, **references))
    made = document_of(open_model(model, folds, checkpoint_name), dims, (0, 1), (0, 1), scores, [])
    return {**json.loads(json.dumps(made)), **changes}


def written(target: Path, content: dict[str, Any] | str) -> Path:
    """The document in a file; in a folder under the name that ``check`` and ``audit`` look for."""
    path = target / FLIPTEST_FILE if target.is_dir() else target
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path
