"""The weights that a predictor will predict with, and what is known of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from ..nnunet import bare_network
from . import live_trainings, origins

NOT_SEEN = "nnguard did not see these weights being loaded, so it knows no checkpoint of them"


class Weights(msgspec.Struct, frozen=True, kw_only=True):
    """One set of weights that will predict, and what is known of its training."""

    origin: origins.Origin
    subject: str
    validation: bool = False


def weights_of(predictor: Any, files: Sequence[str] = (), stray: bool = False) -> list[Weights]:
    """The weights that will predict, each with what is known of its training.

    Args:
        files: the checkpoints that the predictor was initialised from, in the order of its list of parameters.
        stray: whether its network may predict with other weights than those of the list.
    """
    parameters = predictor.list_of_parameters
    if isinstance(parameters, Sequence) and len(parameters):
        named = files if len(files) == len(parameters) else (None,) * len(parameters)
        listed = [_loaded(predictor, state, path) for state, path in zip(parameters, named, strict=True)]
        in_network = [bare_network(predictor.network).state_dict()] if stray else []
        return listed + [_loaded(predictor, state, None) for state in in_network]
    behind = live_trainings.trainer_of(predictor.network)
    if behind is None:
        state = bare_network(predictor.network).state_dict()
        # The file that weights came from says more than which trainer is validating now.
        behind = live_trainings.trainer_validating(predictor.trainer_name) if origins.origin_of(state) is None else None
        if behind is None:
            return [_loaded(predictor, state, None)]
    return [_being_validated(behind)]


def _loaded(predictor: Any, state: Any, path: str | None) -> Weights:
    origin = origins.origin_of(state) if isinstance(state, Mapping) else None
    if origin is None and path is not None:
        origin = origins.origin_in_file(path)
    if origin is None:
        origin = origins.Origin(record=None, no_record=NOT_SEEN)
    name = origin.checkpoint.trainer_name or predictor.trainer_name or "an unnamed trainer"
    return Weights(origin=origin, subject=origin.checkpoint.path or f"weights of {name}")


def _being_validated(behind: Any) -> Weights:
    record = live_trainings.record_of(behind)
    no_record = None if record is not None else "the running trainer was not observed"
    origin = origins.Origin(record=record, no_record=no_record)
    return Weights(origin=origin, subject=live_trainings.subject_of(behind), validation=True)


def loaded_by_hand(predictor: Any, as_it_is: bool) -> tuple | None:
    """A mark of weights that somebody may have loaded into the network itself.

    ``None`` if they do not decide (the list of parameters is loaded over them), if they belong to a live trainer, or if
    they are in that list. If there is a list, only weights count whose file was seen, because a network in half
    precision also holds other numbers than its list.
    """
    network = bare_network(predictor.network)
    parameters = predictor.list_of_parameters
    if network is None or (parameters and not as_it_is) or live_trainings.trainer_of(network) is not None:
        return None
    mark = origins.fingerprint(network.state_dict())
    if not parameters or mark is None:
        return mark
    if not origins.is_known(mark) or mark in map(origins.fingerprint, parameters):
        return None
    return mark
