"""How often the probe's verdicts are wrong, and what harm a rarely shown flip does: for docs/calibration.md.

Run it as ``python benchmarks/calibration.py simulated [REPEATS]``, ``... verdicts [REPEATS]`` or
``... harm [CUE SEEDS [P ...]]``; each prints a table in Markdown. The first draws from dice under the probe's own
stopping rule. The second probes a pipeline that mirrors axis 0 with p = 0.5 and axis 1 with p, with other seeds at
each repeat. The third trains nnU-Net on the two-disc data under the same mirrors and predicts with and without
test-time mirroring.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
import tempfile
import warnings
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

os.environ["NNGUARD"] = "off"
sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.support import trainers

CHANCES = (0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0)
REPEATS = 200
SIMULATED = (0.02, 0.05, 0.07, 0.08, 0.09, 0.1, 0.11, 0.12, 0.15, 0.2, 0.3, 0.5, 1.0)
#: Harm is measured closer around the threshold, and several times, for one training is one sample.
HARM_CHANCES = (0.0, 0.02, 0.05, 0.06, 0.07, 0.08, 0.09, 0.1, 0.2, 0.3, 0.5, 1.0)
SEEDS = 3
#: Of one harm training: with these, p = 0.5, the hardest to learn, reaches a Dice of 0.9 with the cue.
STEPS, CASES_A_STEP, CUE = 300, 8, 3.0


def main() -> int:
    part, *values = sys.argv[1:] or ["verdicts"]
    warnings.simplefilter("ignore")
    if part == "simulated":
        simulated(int(values[0]) if values else 4000)
    elif part == "verdicts":
        verdicts(int(values[0]) if values else REPEATS)
    else:
        cue, seeds, *chances = map(float, values or [CUE, SEEDS])
        harm(cue, int(seeds), chances or HARM_CHANCES)
    return 0


# ---------------------------------------------------------------- the stopping rule alone


def simulated(repeats: int) -> None:
    """As ``verdicts``, with dice in place of a pipeline: thousands of repeats, at the probe's own looks."""
    import functools

    import numpy as np

    from nnguard import flips
    from nnguard.probe import orientation_probe as probing

    # The same few counts come again and again.
    probing.side_of_ratio = functools.cache(flips.side_of_ratio)
    interval = functools.cache(flips.interval)
    random = np.random.default_rng(0)
    print(f"{repeats} repeats each; axes (0, 1) declared.\n")
    print("| p | ratio | truth | wrong on {1} | settled wrongly | draws | unsettled | in interval | least, any flip |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    for chance in SIMULATED:
        truth = true_rates(chance)
        judged, wrongly, draws, unsettled = Counter[str](), 0, 0, 0
        covered = Counter[tuple[int, ...]]()
        for _ in range(repeats):
            tally = dice_until_settled(random, truth, probing)
            alpha = flips.alpha_at(tally.draws)
            side = probing.side_of_ratio(tally.counts[(1,)], tally.counts[()], alpha=alpha)
            verdict = flips.verdict_of((1,), tally.counts)
            judged[verdict] += 1
            right = "above" if flips.verdict_of((1,), truth) == "trained" else "below"
            wrongly += side not in (right, "unsettled")
            unsettled += side == "unsettled"
            draws += tally.draws
            for flip, rate in truth.items():
                low, high = interval(tally.counts[flip], tally.clean, alpha)
                covered[flip] += low <= rate <= high
        expected = flips.verdict_of((1,), truth)
        wrong = {verdict: count for verdict, count in judged.items() if verdict != expected}
        told = ", ".join(f"{verdict} {count / repeats:.1%}" for verdict, count in sorted(wrong.items())) or "0 %"
        ratio = f"{truth[(1,)] / truth[()]:.3f}" if truth[()] else "never plain"
        print(
            f"| {chance} | {ratio} | {expected} | {told} | {wrongly / repeats:.1%} | {draws / repeats:.0f} | "
            f"{unsettled / repeats:.1%} | {covered[(1,)] / repeats:.1%} | {min(covered.values()) / repeats:.1%} |",
            flush=True,
        )
    ordinary(random, repeats, probing)


def ordinary(random: Any, repeats: int, probing: Any) -> None:
    """Mean draws of ordinary pipelines, and what they were when every look spent 5 %."""
    from nnguard import flips

    print("\n| mirrored with p = 0.5 | draws | were each look to spend 5 % |")
    print("| --- | --- | --- |")
    for dims, mirrored in ((2, ()), (2, (0,)), (2, (0, 1)), (3, (0, 1, 2))):
        shown = [(), *flips.flips_of(mirrored)]
        truth = {flip: float(flip in shown) / len(shown) for flip in [(), *flips.flips_of(range(dims))]}
        means = []
        for spend in (flips.alpha_at, lambda _draws: flips.ALPHA):
            probing.alpha_at = spend
            means.append(sum(dice_until_settled(random, truth, probing).draws for _ in range(repeats)) / repeats)
        probing.alpha_at = flips.alpha_at
        print(f"| {mirrored or 'none'}, {dims}D | {means[0]:.1f} | {means[1]:.1f} |", flush=True)


def dice_until_settled(random: Any, truth: dict[tuple[int, ...], float], probing: Any) -> Any:
    from nnguard import flips

    tally, wanted = probing.Tally(), [flip for flip in truth if flip]
    while tally.draws < flips.MOST_DRAWS:
        more = flips.LOOK_EVERY if tally.draws else flips.FEWEST_DRAWS
        for flip, count in zip(truth, random.multinomial(more, list(truth.values())), strict=True):
            tally.counts[flip] += int(count)
        tally.draws += more
        tally.clean = tally.draws
        if probing.all_settled(tally, wanted):
            break
    return tally


# ---------------------------------------------------------------- verdicts


def verdicts(repeats: int) -> None:
    """Verdicts on the flips {0}, {1} and {0,1}, with axes (0, 1) declared, against those of the true rates."""
    from nnguard.flips import alpha_at, flips_of, interval, side_of_ratio, verdict_of

    print("| p | ratio to plain | truth of {1} | wrong on {1} | wrong on any flip | draws | unsettled | in interval |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for chance in CHANCES:
        truth = true_rates(chance)
        wrong, wrong_at_all, draws, unsettled, covered = Counter[str](), 0, 0, 0, 0
        for repeat in range(repeats):
            tally = probed(chance, 1_000_000 + 1_000 * repeat)
            judged = {flip: verdict_of(flip, tally.counts) for flip in flips_of((0, 1))}
            expected = {flip: verdict_of(flip, truth) for flip in judged}
            if judged[(1,)] != expected[(1,)]:
                wrong[judged[(1,)]] += 1
            wrong_at_all += judged != expected
            draws += tally.draws
            alpha = alpha_at(tally.draws)
            unsettled += side_of_ratio(tally.counts[(1,)], tally.counts[()], alpha=alpha) == "unsettled"
            low, high = interval(tally.counts[(1,)], tally.clean, alpha)
            covered += low <= truth[(1,)] <= high
        plain = truth[()]
        ratio = f"{truth[(1,)] / plain:.2f}" if plain else "never plain"
        wrongly = ", ".join(f"{verdict} {count / repeats:.1%}" for verdict, count in wrong.items()) or "0 %"
        print(
            f"| {chance} | {ratio} | {verdict_of((1,), truth)} | {wrongly} | {wrong_at_all / repeats:.1%} | "
            f"{draws / repeats:.0f} | {unsettled / repeats:.1%} | {covered / repeats:.1%} |",
            flush=True,
        )


def true_rates(chance: float) -> dict[tuple[int, ...], float]:
    """Flip -> its rate, where axis 0 is mirrored with p = 0.5 and axis 1 with ``chance``."""
    return {
        (): 0.5 * (1 - chance),
        (0,): 0.5 * (1 - chance),
        (1,): 0.5 * chance,
        (0, 1): 0.5 * chance,
    }


def probed(chance: float, seed: int) -> Any:
    import torch

    from nnguard.probe import orientation_probe as probing
    from tests.support.pipelines import FlipBoth, composed, tally

    # Verdicts repeat because the seeds do; here each repeat is another training.
    probing.FIRST_SEED = seed
    mirrors = [FlipBoth((0,), 0.5, lambda: torch.rand(1).item()), FlipBoth((1,), chance, lambda: torch.rand(1).item())]
    return tally(composed((64, 64), *mirrors), declared=(0, 1))


# ---------------------------------------------------------------- harm


def harm(cue: float, seeds: int, chances: Sequence[float]) -> None:
    """Dice of the two-disc data, without and with test-time mirroring along both axes, trained at each p.

    In the discs as they are (``cue`` 0) nothing but left and right tells the labels apart. With a cue, a brightness
    that grows from left to right and is mirrored with the image, a network that was shown the flip can know it.
    Each p is trained ``seeds`` times; the table has the means, and the least and the greatest difference.
    """
    print("| p | ratio to plain | Dice, plain view | Dice with TTA | difference | least, greatest |")
    print("| --- | --- | --- | --- | --- | --- |")
    for chance in chances:
        scores = [trained_scores(chance, cue, seed) for seed in range(seeds)]
        plain, mirrored = (sum(column) / seeds for column in zip(*scores, strict=True))
        differences = sorted(second - first for first, second in scores)
        ratio = f"{chance / (1 - chance):.3f}" if chance < 1 else "never plain"
        print(
            f"| {chance} | {ratio} | {plain:.2f} | {mirrored:.2f} | {mirrored - plain:+.2f} | "
            f"{differences[0]:+.2f}, {differences[-1]:+.2f} |",
            flush=True,
        )


def trained_scores(chance: float, cue: float, seed: int) -> tuple[float, float]:
    """Dice without and with test-time mirroring of one training; nnU-Net's trainer, loader, network and loss."""
    import numpy as np
    import torch

    results = Path(tempfile.mkdtemp())
    with contextlib.redirect_stdout(io.StringIO()), trainers.nnunet_variables(results, nnUNet_n_proc_DA="0"):
        torch.manual_seed(seed)
        np.random.seed(seed)
        trainer = trainers.new_trainer("2d", results, mirroring_trainer(chance, cue), change_plans=smaller)
        trainer.num_epochs, trainer.num_iterations_per_epoch = 1, STEPS
        trainer.on_train_start()
        trainer.network.train()
        for _ in range(STEPS):
            trainer.train_step(next(trainer.dataloader_train))
        return scores_of(trainer, cue)


def smaller(plans: dict[str, Any]) -> None:
    configuration = plans["configurations"]["2d"]
    configuration["batch_size"] = CASES_A_STEP
    arguments = configuration["architecture"]["arch_kwargs"]
    arguments["features_per_stage"] = [min(2 ** (3 + stage), 64) for stage in range(arguments["n_stages"])]


def mirroring_trainer(chance: float, cue: float) -> type:
    """nnU-Net's trainer with slight rotations, axis 0 mirrored with p = 0.5 and axis 1 with ``chance``."""
    import torch

    from tests.support.pipelines import FlipBoth

    base = trainers.trainer_class("nnUNetTrainer")

    def get_training_transforms(patch_size, rotation, scales, mirror_axes, *args, **options):
        pipeline = base.get_training_transforms(patch_size, (-0.05, 0.05), scales, None, *args, **options)
        draw = lambda: torch.rand(1).item()  # noqa: E731
        pipeline.transforms[1:1] = [Cue(cue), FlipBoth((0,), 0.5, draw), FlipBoth((1,), chance, draw)]
        return pipeline

    return type("nnUNetTrainerMirrors", (base,), {"get_training_transforms": staticmethod(get_training_transforms)})


class Cue:
    """A brightness that grows along the last axis, in standard deviations of the image."""

    def __init__(self, strength: float) -> None:
        self.strength = strength

    def __call__(self, **data: Any) -> dict[str, Any]:
        import torch

        return {**data, "image": data["image"] + self.strength * torch.linspace(-1, 1, data["image"].shape[-1])}


def scores_of(trainer: Any, cue: float) -> tuple[float, float]:
    """Mean Dice over both labels and nnU-Net's validation cases; an image is one patch, so no window slides."""
    import torch

    trainer.network.eval()
    trainer.set_deep_supervision_enabled(False)
    dataset = trainer.dataloader_val.data_loader._data
    scores: list[list[float]] = [[], []]
    with torch.no_grad():
        for name in dataset.identifiers:
            image, labels, *_ = dataset.load_case(name)
            image = Cue(cue)(image=torch.as_tensor(image[:][:, 0]))["image"][None].float()
            labels = torch.as_tensor(labels[:][0, 0])
            views = [torch.softmax(trainer.network(image.flip(flip)), 1).flip(flip) for flip in ([], [2], [3], [2, 3])]
            for kept, answer in zip(scores, (views[0], sum(views)), strict=True):
                kept.append(dice(answer.argmax(1)[0], labels))
    plain, mirrored = (sum(kept) / len(kept) for kept in scores)
    return plain, mirrored


def dice(given: Any, wanted: Any) -> float:
    parts = []
    for label in (1, 2):
        overlap = ((given == label) & (wanted == label)).sum().item()
        parts.append(2 * overlap / max(1, (given == label).sum().item() + (wanted == label).sum().item()))
    return sum(parts) / len(parts)


if __name__ == "__main__":
    sys.exit(main())
