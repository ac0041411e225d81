"""One rank of ``test_ranks``: a real trainer on the CPU in a real gloo group. Usage: SCENARIO RANK FOLDER.

nnU-Net moves a distributed trainer to CUDA in its initialiser, so the group is joined, and the network wrapped, after
that.
"""

from __future__ import annotations

import json
import os
import sys
from datetime import timedelta
from pathlib import Path

from tests.support import trainers


def trainer_class(scenario: str) -> type:
    import torch

    base = trainers.trainer_class("nnUNetTrainer")

    class nnUNetTrainerOfARank(base):
        @staticmethod
        def get_training_transforms(patch_size, rotation, scales, mirror_axes, *args, **kwargs):
            if scenario != "same":
                rotation, mirror_axes = (-0.05, 0.05), None
            return base.get_training_transforms(patch_size, rotation, scales, mirror_axes, *args, **kwargs)

        def perform_actual_validation(self, *arguments):
            self.validated_with = self.inference_allowed_mirroring_axes

    class nnUNetTrainerFlipsInStep(nnUNetTrainerOfARank):
        def train_step(self, batch):
            for case in range(len(batch["data"])):
                if torch.rand(1).item() < 0.5:
                    batch["data"][case] = torch.flip(batch["data"][case], [1])
                    for target in batch["target"]:
                        target[case] = torch.flip(target[case], [1])
            return super().train_step(batch)

    return nnUNetTrainerFlipsInStep if scenario == "step" else nnUNetTrainerOfARank


def small(plans):
    configuration = plans["configurations"]["2d"]
    arguments = configuration["architecture"]["arch_kwargs"]
    arguments["features_per_stage"] = [4] * len(arguments["features_per_stage"])
    configuration["batch_size"] = 8


def main(scenario: str, rank: int, folder: Path) -> dict:
    import torch
    import torch.distributed as distributed

    import nnguard  # noqa: F401  arms
    from nnguard.hooks import ranks
    from nnguard.hooks import trainer as hook

    torch.manual_seed(rank)
    results = folder / f"{scenario}{rank}"
    with trainers.nnunet_variables(results, nnUNet_n_proc_DA="0"):
        made = trainers.new_trainer("2d", results, trainer_class(scenario), change_plans=small)
        made.initialize()
        distributed.init_process_group(
            "gloo", init_method=f"file://{folder}/{scenario}", rank=rank, world_size=2, timeout=timedelta(seconds=120)
        )
        made.network = torch.nn.parallel.DistributedDataParallel(made.network, find_unused_parameters=True)
        made.local_rank, made.is_ddp = rank, True
        made.on_train_start()
        made.network.train()
        for _step in range(34 if scenario == "step" else 1):
            made.train_step(next(made.dataloader_train))
        if scenario == "silent" and rank == 0:
            distributed.barrier()
            return {}
        ranks.PATIENCE = 2.0 if scenario == "silent" else 60.0
        made.perform_actual_validation()
        record = hook.record_of(made)
        distributed.barrier()
        return {
            "axes": made.validated_with,
            "state": record.mirroring.state if record is not None else None,
            "copy": (Path(made.output_folder) / "nnguard.json").is_file(),
        }


if __name__ == "__main__":
    scenario, rank, folder = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])
    (folder / f"{scenario}{rank}.json").write_text(json.dumps(main(scenario, rank, folder)))
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)
