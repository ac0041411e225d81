"""Whether two checkpoint files hold the same weights, told from their directories alone."""

from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path


def weights_fingerprint(path: Path) -> str | None:
    """A digest of the stored tensors' sizes and CRCs; what ``repair`` and ``annotate`` write leaves it as it is.

    Returns:
        ``None`` where the file is no zip, or torch stored no CRCs: then nothing tells the weights apart.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
    except (OSError, zipfile.BadZipFile, NotImplementedError):
        return None
    tensors = sorted(
        (member.filename.partition("/data/")[2], member.CRC, member.file_size)
        for member in members
        if "/data/" in member.filename
    )
    if not any(crc for _, crc, _ in tensors):
        return None
    return hashlib.sha256(repr(tensors).encode()).hexdigest()[:32]
