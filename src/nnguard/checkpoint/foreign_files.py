"""Says what kind of file a file is that is no checkpoint, and how to get a checkpoint from it."""

from __future__ import annotations

CONVERT = (
    "convert it in an environment with PyTorch, if you trust where it comes from: "
    "python -c \"import torch; torch.save(torch.load('OLD.pth', map_location='cpu', weights_only=False), 'NEW.pth')\""
)
HEAD = 512


def describe(head: bytes, name: str = "") -> str:
    """One sentence about a file that does not begin like a zip archive.

    Args:
        head: its first ``HEAD`` bytes, or all bytes of a shorter file.
        name: its file name.
    """
    suffix = name.lower().rpartition(".")[2]
    if not head:
        return "it is empty: nothing was written, or the disk was full"
    if head.startswith(b"version https://git-lfs"):
        return "it is a Git-LFS pointer, not the file itself: run `git lfs pull` in its repository"
    if suffix == "model" or suffix == "pkl":
        return (
            "it is a pickle, as nnU-Net v1 writes beside its .model files: nnguard reads checkpoints of nnU-Net v2; "
            "v1 itself asserts that mirroring was trained"
        )
    if head.startswith(b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."):
        return f"it has PyTorch's old format (before 1.6, no zip archive); {CONVERT}"
    if head[:1] == b"\x80" and head[1:2] <= b"\x05":
        return f"it is a bare pickle, not a checkpoint of torch.save; {CONVERT}"
    if head[257:262] == b"ustar":
        return f"it is a tar archive (PyTorch's format before 0.1.10, or a packed model: unpack it first); {CONVERT}"
    if head.startswith(b"7z\xbc\xaf\x27\x1c"):
        return "it is a 7z archive: unpack it first, nnguard reads the .pth file inside"
    if head.startswith(b"\x1f\x8b"):
        return "it is a gzip file: unpack it first, nnguard reads the .pth file inside"
    if head.lstrip()[:1] in (b"<", b"{"):
        return "it is text (a web page or JSON), perhaps of a failed download"
    if not head.strip(b"\0"):
        return "it begins with zeros: the write was interrupted, or the disk was full"
    return "it is no zip archive, so no checkpoint that torch.save of PyTorch 1.6 or later writes"
