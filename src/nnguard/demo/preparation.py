"""Plans and preprocesses a small dataset with nnU-Net's own code, in one process.

``nnUNetv2_plan_and_preprocess`` spawns a pool for each step, and each worker imports torch again: for
twenty small pictures that is nearly all of its time. Run as ``python -m nnguard.demo.preparation``, in an
environment that sets ``nnUNet_raw`` and ``nnUNet_preprocessed``.
"""

from __future__ import annotations

import argparse
import multiprocessing.pool
import os
import sys
from typing import Any


class _ThreadsForProcesses:
    """Replaces ``multiprocessing`` in nnU-Net's modules, so that their pools use a thread instead of processes."""

    def get_context(self, _method: str | None = None) -> _ThreadsForProcesses:
        return self

    def Pool(self, _processes: int | None = None) -> Any:
        # The cases are so small that a second thread would not help.
        return multiprocessing.pool.ThreadPool(1)


def prepare(dataset_ids: list[int], configurations: list[str]) -> None:
    """Writes fingerprint, plans and preprocessed data, as ``nnUNetv2_plan_and_preprocess`` would."""
    from nnunetv2.experiment_planning import plan_and_preprocess_api as api
    from nnunetv2.experiment_planning.dataset_fingerprint import fingerprint_extractor
    from nnunetv2.preprocessing.preprocessors import default_preprocessor

    # The planner passes this number to torch.set_num_threads, which does not accept 0.
    os.environ.update(nnUNet_n_proc_DA="1")
    for module in (fingerprint_extractor, default_preprocessor):
        module.multiprocessing = _ThreadsForProcesses()
    api.extract_fingerprints(dataset_ids, num_processes=1)
    api.plan_experiments(dataset_ids)
    api.preprocess(dataset_ids, configurations=configurations, num_processes=[1] * len(configurations))


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-d", dest="datasets", type=int, nargs="+", required=True)
    parser.add_argument("-c", dest="configurations", nargs="+", default=["2d"])
    options = parser.parse_args(arguments)
    prepare(options.datasets, options.configurations)


if __name__ == "__main__":
    main(sys.argv[1:])
