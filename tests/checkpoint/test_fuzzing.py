"""A short run of what ``scripts/fuzz_checkpoint`` does for as long as one likes."""

import random

import pytest

from tests.checkpoint.fuzzing import check, mutated, seeds
from tests.checkpoint.trainings import saved, trained

ROUNDS = 3_000


@pytest.mark.parametrize("pickle_only", [False, True])
def test_mutated_bytes_give_a_result_or_a_checkpoint_error(pickle_only, tmp_path):
    files, pickles = seeds(saved(tmp_path, trained(), pickle_protocol=protocol).read_bytes() for protocol in (2, 4))
    begin = pickles if pickle_only else files
    seed = random.randrange(1 << 32)
    chance = random.Random(seed)
    read = 0
    for number in range(ROUNDS):
        data = mutated(chance.choice(begin), begin, chance)
        try:
            read += check(data, pickle_only) is not None
        except Exception as error:  # noqa: BLE001 (anything is a failure, and its input has to be shown)
            pytest.fail(f"seed {seed}, round {number}: {error!r} for {data!r}")
    if pickle_only:
        assert read > ROUNDS // 50, "the mutations destroy everything, so they reach nothing"
