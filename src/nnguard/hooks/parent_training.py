"""``-pretrained_weights``: a training starts from the weights of another one, and its record names that parent."""

from __future__ import annotations

import os
from types import ModuleType
from typing import Any

import msgspec

from ..nnunet import bare_network
from . import origins
from .identity_map import IdentityMap
from .patching import Coverage, Guard, patch_all_or_nothing

#: The module that defines the function, and the module that imports its name and calls it.
MODULES = {
    "nnunetv2.run.load_pretrained_weights": "load_pretrained_weights",
    "nnunetv2.run.run_training": "load_pretrained_weights",
}

#: bare network -> what is known of the checkpoint whose weights it took over
parents: IdentityMap[dict[str, Any]] = IdentityMap()


def patch(module: ModuleType) -> Coverage:
    """Patches ``load_pretrained_weights`` if this module has it."""
    return patch_all_or_nothing(module, {}, {"load_pretrained_weights": Guard(after=_after_loading)})


def described(origin: origins.Origin) -> dict[str, Any]:
    """A parent as the record keeps it: what the rules need, without the parent's own segments."""
    parent: dict[str, Any] = {"file": os.path.basename(origin.checkpoint.path) or None}  # noqa: PTH119
    record = origin.record
    if record is None:
        return parent | {"trainer": origin.checkpoint.trainer_name, "no_record": origin.no_record}
    kept = ("dataset", "plans", "configuration", "fold", "written_at", "mirroring")
    return parent | {
        "trainer": record.trainer.class_,
        # In the form that a checkpoint gives back, so that the parent of a resumed training is the same.
        **{name: msgspec.json.decode(msgspec.json.encode(getattr(record, name))) for name in kept},
    }


def _after_loading(_module: Any, result: Any, args: tuple, kwargs: dict) -> None:
    given = dict(zip(("network", "fname"), args, strict=False)) | kwargs
    network, source = given.get("network"), given.get("fname")
    if network is None or not isinstance(source, (str, os.PathLike)):
        return
    # nnU-Net decides which of the weights it takes over.
    parents.put(bare_network(network), described(origins.origin_in_file(os.fspath(source))))
