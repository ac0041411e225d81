"""Nothing that a file names is run, and nothing is read that PyTorch would read differently."""

import encodings.cp437  # noqa: F401 - zipfile reads names with it, and no test below may import anything
import json
import subprocess
import sys

import pytest

from nnguard.checkpoint import read_checkpoint
from nnguard.errors import CheckpointError
from tests.checkpoint import hostile_files

#: Loads each file with PyTorch, in a process of its own, and tells whether its payload ran.
LOAD_ALL = """
import json, os, sys, warnings
warnings.simplefilter("ignore")
import torch
folder, sentinel = sys.argv[1:]
ran = {}
for name in sorted(os.listdir(folder)):
    try:
        torch.load(os.path.join(folder, name), weights_only=False)
    except Exception:
        pass
    ran[name] = os.path.exists(sentinel)
    if ran[name]:
        os.remove(sentinel)
json.dump(ran, sys.stdout)
"""

NAMES = sorted(hostile_files.corpus("/nowhere"))


def test_the_corpus_is_as_large_as_promised():
    assert len(NAMES) >= 60


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    sentinel = tmp_path_factory.mktemp("sentinel") / "ran"
    return sentinel, hostile_files.corpus(str(sentinel))


@pytest.mark.parametrize("name", NAMES)
def test_hostile_file_is_refused_and_nothing_runs(name, corpus, tmp_path):
    sentinel, files = corpus
    path = tmp_path / "checkpoint_final.pth"
    path.write_bytes(files[name])
    modules = set(sys.modules)
    with pytest.raises(CheckpointError) as caught:
        read_checkpoint(path)
    assert not sentinel.exists()
    assert set(sys.modules) == modules
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(f"{path}: ")


def test_a_file_that_would_run_code_says_so_first(corpus, tmp_path):
    path = tmp_path / "checkpoint_final.pth"
    path.write_bytes(corpus[1]["runner posix.system"])
    with pytest.raises(CheckpointError) as caught:
        read_checkpoint(path)
    assert str(caught.value).startswith(f"{path}: dangerous: loading it would run posix.system")


def test_every_payload_is_live_where_pytorch_loads_it(tmp_path):
    """Otherwise the tests above would prove nothing."""
    pytest.importorskip("torch")
    folder, sentinel = tmp_path / "files", tmp_path / "ran"
    folder.mkdir()
    payloads = hostile_files.payloads(str(sentinel))
    for name, data in payloads.items():
        (folder / name).write_bytes(data)
    loaded = subprocess.run(
        [sys.executable, "-c", LOAD_ALL, str(folder), str(sentinel)], capture_output=True, text=True, check=True
    )
    ran = json.loads(loaded.stdout)
    assert [name for name in payloads if not ran[name]] == []
