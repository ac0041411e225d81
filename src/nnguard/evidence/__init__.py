"""The training side: from live objects to evidence.

``observe`` is what the hooks and ``nnguard.observe`` call; ``snapshot`` keeps the pipeline that an
augmenter's workers are about to copy, so that an edit made afterwards is told from the truth.
"""

from __future__ import annotations

from .observed import Observation, observe
from .snapshots import Snapshot, snapshot

__all__ = ["Observation", "Snapshot", "observe", "snapshot"]
