"""``install``, ``uninstall``, ``status`` and who wins: an argument, the environment, the default."""

import json
import sys

import pytest

import nnguard
from nnguard import ConfigurationError, arming


@pytest.fixture(autouse=True)
def unarmed(monkeypatch):
    monkeypatch.delenv("NNGUARD", raising=False)
    nnguard.uninstall()
    yield
    nnguard.uninstall()


def test_a_mode_given_here_wins_over_the_environment(monkeypatch):
    monkeypatch.setenv("NNGUARD", "strict")
    nnguard.install("correct")
    assert (nnguard.status().mode, nnguard.status().source) == ("correct", "install")
    arming.arm()
    assert nnguard.status().mode == "correct"


def test_the_environment_wins_over_the_default(monkeypatch):
    nnguard.install()
    assert (nnguard.status().mode, nnguard.status().source) == ("warn", "default")
    monkeypatch.setenv("NNGUARD", "exact,NNG102=log")
    nnguard.install()
    assert (nnguard.status().mode, nnguard.status().source) == ("exact,NNG102=log", "NNGUARD")


def test_an_unreadable_argument_is_raised_at_once_and_changes_nothing():
    nnguard.install("strict")
    with pytest.raises(ConfigurationError, match="stict"):
        nnguard.install("stict")
    assert nnguard.status().mode == "strict"


def test_an_unreadable_environment_is_kept_for_the_first_trainer_until_install_mends_it(monkeypatch, capsys):
    monkeypatch.setenv("NNGUARD", "stict")
    arming.arm()
    arming.arm()
    assert capsys.readouterr().err.count("stict") == 2  # value and reason, in one line
    assert nnguard.status().armed
    assert "stict" in nnguard.status().error
    for _ in range(2):
        with pytest.raises(ConfigurationError):
            arming.policy()
    nnguard.install("warn")
    assert arming.policy() is not None


def test_off_disarms():
    nnguard.install("strict")
    nnguard.install("off")
    assert not nnguard.status().armed
    assert not nnguard.status().active
    assert any("not armed" in reason for reason in nnguard.status().inactive)


def test_off_in_the_environment_does_not_arm(monkeypatch):
    monkeypatch.setenv("NNGUARD", "off")
    arming.arm()
    assert not nnguard.status().armed


def test_disarming_leaves_no_trigger():
    nnguard.install("warn")
    nnguard.uninstall()
    nnguard.uninstall()
    assert arming._trigger not in sys.meta_path


def test_status_is_typed_frozen_and_plain_data_when_asked():
    nnguard.install("warn")
    status = nnguard.status()
    assert json.loads(json.dumps(status.to_dict())) == status.to_dict()
    assert status.versions["nnguard"] == nnguard.__version__
    with pytest.raises(AttributeError):
        status.mode = "off"


def test_a_printed_status_says_the_verdict_and_the_mode_first():
    nnguard.install("strict")
    assert str(nnguard.status()).splitlines()[0].endswith(", mode strict (install)")
    nnguard.uninstall()
    head, reason, *_ = str(nnguard.status()).splitlines()
    assert (head, "not armed" in reason) == ("nnguard: not active", True)
