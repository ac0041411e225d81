"""What training shows: find the augmentation pipeline, feed it, read flips and labels, and fill a record.

``observe`` is what the hooks and ``nnguard.observe`` call. ``snapshot`` keeps the pipeline that an augmenter's
workers are about to copy, so that a later edit, which does not reach them, is recognised. ``appoint_witness``
watches the first train steps if they may flip too.
"""

from __future__ import annotations

from .observation import Observation, appoint_witness, observe
from .snapshot import Snapshot, snapshot
from .witness import Witness

__all__ = ["Observation", "Snapshot", "Witness", "appoint_witness", "observe", "snapshot"]
