"""The training side: from live objects to evidence.

``observe`` is what the hooks and ``nnguard.observe`` call; ``snapshot`` keeps the pipeline that an
augmenter's workers are about to copy, so that an edit made afterwards is told from the truth;
``appoint_witness`` has the first train steps watched where they may flip too.
"""

from __future__ import annotations

from .observation import Observation, appoint_witness, observe
from .snapshot import Snapshot, snapshot
from .witness import Witness

__all__ = ["Observation", "Snapshot", "Witness", "appoint_witness", "observe", "snapshot"]
