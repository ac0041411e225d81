"""One rank of ``test_ranks``: a real trainer on the CPU in a real gloo group. Usage: SCENARIO RANK FOLDER.

nnU-Net moves a distributed trainer to CUDA in its initialiser, so the group is joined after that.
"""

from __future__ import annotations

import json
import os
import sys
from datetime import timedelta
from pathlib import Path

import trainers


def main(scenario: str, rank: int, folder: Path) -> dict:
    import torch
    import torch.distributed as distributed

    import nnguard  # noqa: F401  arms
    from nnguard import InconsistencyError
    from nnguard.hooks import ranks
    from nnguard.hooks import trainer as hook

    torch.manual_seed(rank)
    base = trainers.trainer_class("nnUNetTrainer")

    class nnUNetTrainerOfARank(base):
        @staticmethod
        def get_training_transforms(patch_size, rotation, scales, mirror_axes, *args, **kwargs):
            if scenario == "differ" and rank == 1:
                rotation, mirror_axes = (-0.05, 0.05), None
            if scenario == "step":
                rotation, mirror_axes = (-0.05, 0.05), None
            return base.get_training_transforms(patch_size, rotation, scales, mirror_axes, *args, **kwargs)

    class nnUNetTrainerFlipsInStep(nnUNetTrainerOfARank):
        def train_step(self, batch):
            for case in range(len(batch["data"])):
                if torch.rand(1).item() < 0.5:
                    batch["data"][case] = torch.flip(batch["data"][case], [1])
                    for target in batch["target"]:
                        target[case] = torch.flip(target[case], [1])
            return super().train_step(batch)

    own_steps = {"step": nnUNetTrainerFlipsInStep}
    kind = own_steps.get(scenario, nnUNetTrainerOfARank)

    def small(plans):
        arguments = plans["configurations"]["2d"]["architecture"]["arch_kwargs"]
        arguments["features_per_stage"] = [4] * len(arguments["features_per_stage"])
        plans["configurations"]["2d"]["batch_size"] = 2

    results = folder / f"{scenario}{rank}"
    with trainers.nnunet_variables(results, nnUNet_n_proc_DA="0"):
        made = trainers.new_trainer("2d", results, kind, change_plans=small)
        made.local_rank = rank
        distributed.init_process_group(
            "gloo", init_method=f"file://{folder}/{scenario}", rank=rank, world_size=2, timeout=timedelta(seconds=120)
        )
        if scenario == "absent":
            ranks.PATIENCE = 2.0
            if rank == 1:
                distributed.barrier()
                return {}
        findings: list[str] = []
        try:
            made.on_train_start()
            if scenario in own_steps:
                # As `is_ddp` would have it, which wants CUDA: ranks watch equally many steps.
                hook.training_in_hand(made).witness.patient = True
                made.network.train()
                for _step in range(34):
                    made.train_step(next(made.dataloader_train))
        except InconsistencyError as error:
            findings = sorted(finding.code for finding in error.findings)
        record = hook.record_of(made)
        came = {
            "findings": findings,
            "axes": made.inference_allowed_mirroring_axes,
            "effective": record.axes.effective,
            "copy": (Path(made.output_folder) / "nnguard.json").is_file(),
        }
        if scenario == "step":
            came["safe"] = record.mirroring.safe_axes
            came["rates"] = [flip.rate for flip in record.mirroring.flips]
        distributed.barrier()
        distributed.destroy_process_group()
    return came


if __name__ == "__main__":
    scenario, rank, folder = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])
    (folder / f"{scenario}{rank}.json").write_text(json.dumps(main(scenario, rank, folder)))
    sys.stdout.flush()
    os._exit(0)
