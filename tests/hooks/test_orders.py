"""In whatever order nnguard is armed, disarmed, armed again: patched exactly once, or the original objects."""

import itertools
import subprocess
import sys

import pytest

import nnguard
from nnguard.hooks import patching


@pytest.fixture
def hosts(base):
    import torch
    from batchgenerators.dataloading.multi_threaded_augmenter import MultiThreadedAugmenter
    from batchgenerators.dataloading.nondet_multi_threaded_augmenter import NonDetMultiThreadedAugmenter
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
    from nnunetv2.run import load_pretrained_weights, run_training

    commands = (load_pretrained_weights, run_training)
    return (base, nnUNetPredictor, NonDetMultiThreadedAugmenter, MultiThreadedAugmenter, torch, *commands)


def attributes(hosts):
    return {(host, name): value for host in hosts for name, value in vars(host).items()}


ACTIONS = {
    "arm": lambda: nnguard.install("warn"),
    "change": lambda: nnguard.install("strict"),
    "disarm": nnguard.uninstall,
}


@pytest.mark.parametrize("order", list(itertools.product(ACTIONS, repeat=3)), ids="-".join)
def test_patched_exactly_once_or_restored(hosts, order):
    originals = attributes(hosts)
    for action in order:
        ACTIONS[action]()
    now = attributes(hosts)
    changed = {key for key in originals if now[key] is not originals[key]}
    if order[-1] == "disarm":
        assert not changed
        assert now.keys() == originals.keys()
    else:
        assert len(changed) == len(patching.patches())
        for key in changed:
            assert type(now[key]) is patching.GuardedFunction
            assert now[key].__wrapped__ is originals[key]


def test_the_guard_is_active_and_nothing_is_missing_on_this_nnunet(hosts):
    nnguard.install("warn")
    status = nnguard.status()
    assert status.active
    assert status.inactive == []
    assert {name for target in status.targets.values() for name in target.missing} == set()


def test_overrides_are_patched_where_they_are_defined_and_restored(new_trainer, base):
    class Parent(base):
        def train_step(self, batch):
            return super().train_step(batch)

    class Child(Parent):
        def on_train_start(self):
            return super().on_train_start()

    originals = attributes((Parent, Child))
    nnguard.install("warn")
    new_trainer(Child)
    new_trainer(Child)
    changed = {key for key, value in attributes((Parent, Child)).items() if value is not originals.get(key)}
    assert changed == {(Parent, "train_step"), (Child, "on_train_start")}
    nnguard.uninstall()
    assert attributes((Parent, Child)) == originals


def test_methods_that_a_client_replaced_at_import_are_guarded_and_left_to_it(new_predictor, monkeypatch):
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

    def predict_from_files(self, *arguments, **keywords):
        return "the client's"

    nnguard.install("warn")
    monkeypatch.setattr(nnUNetPredictor, "predict_from_files", predict_from_files)
    made = new_predictor()
    assert patching.is_ours(vars(nnUNetPredictor)["predict_from_files"])
    assert made.predict_from_files() == "the client's"
    nnguard.uninstall()
    assert vars(nnUNetPredictor)["predict_from_files"] is predict_from_files


@pytest.mark.slow
@pytest.mark.parametrize("first", ["nnguard", "nnunetv2"])
def test_import_order_does_not_matter(first):
    imports = {
        "nnguard": "import nnguard",
        "nnunetv2": "from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor\n"
        "from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer",
    }
    second = next(name for name in imports if name != first)
    code = f"{imports[first]}\n{imports[second]}\nprint(nnguard.status().active)"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert ran.stdout.split()[-1] == "True", ran.stderr
