"""Which distribution a module came with: forks of nnU-Net carry it under names of their own."""

import json
import subprocess
import sys

import pytest

from nnguard.distributions import provider_of, version_of
from nnguard.record import Environment
from nnguard.rules.nng501_versions_differ import check_versions


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """``installed("name", "1.0", **files)``: a distribution's metadata, found before anything that is really there."""
    monkeypatch.syspath_prepend(str(tmp_path))
    provider_of.cache_clear()

    def make(name, version, **files):
        folder = tmp_path / f"{name.replace('-', '_')}-{version}.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        for file, text in files.items():
            (folder / (file if file == "RECORD" else f"{file}.txt")).write_text(text)

    yield make
    provider_of.cache_clear()


def test_a_module_of_its_distributions_name_is_told_by_its_version_alone(installed):
    installed("standin", "2.8.1", top_level="standin\n")
    assert provider_of("standin") == ("standin", "2.8.1")
    assert version_of("standin") == "2.8.1"


@pytest.mark.parametrize(
    "files",
    [
        {"top_level": "other\nstandin\n"},
        {"RECORD": "other.py,,\nstandin/__init__.py,sha256=x,1\n"},
        {"RECORD": "standin.py,sha256=x,1\n"},
    ],
    ids=["top_level.txt", "RECORD", "RECORD, a single file"],
)
def test_a_forks_version_names_the_fork(installed, files):
    installed("standin-of-a-lab", "2.6.2", **files)
    assert provider_of("standin") == ("standin-of-a-lab", "2.6.2")
    assert version_of("standin") == "standin-of-a-lab 2.6.2"


@pytest.mark.parametrize(
    "files",
    [
        {"top_level": "standin_more\n", "RECORD": "standin/x.py,,\n"},
        {"RECORD": "deep/standin/x.py,,\nstandin_more/x.py,,\nstandin.pyi,,\n"},
        {},
    ],
)
def test_a_module_that_nobody_claims_has_no_version(installed, files):
    installed("standin-of-a-lab", "2.6.2", **files)
    assert version_of("standin") is None


def test_the_same_fork_is_no_other_version_and_its_remedy_can_be_pasted():
    trained = Environment(nnunetv2="standin-of-a-lab 2.6.2")
    assert check_versions("model", trained, trained) == []
    [finding] = check_versions("model", trained, Environment(nnunetv2="2.8.1"))
    assert finding.code == "NNG501"
    assert "trained with standin-of-a-lab 2.6.2, here is nnunetv2 2.8.1" in finding.seen
    assert finding.remedy.endswith("pip install standin-of-a-lab==2.6.2")


def test_asking_imports_nothing_but_the_standard_library():
    code = (
        "import json, sys; before = set(sys.modules); import nnguard.distributions as d; d.version_of('nnunetv2'); "
        "print(json.dumps(sorted({name.partition('.')[0] for name in set(sys.modules) - before})))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    ours = {"nnguard", "_nnguard_start"}
    assert set(json.loads(done.stdout)) - set(sys.stdlib_module_names) <= ours
