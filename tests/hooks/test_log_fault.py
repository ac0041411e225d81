"""A log that fails never stands between a finding and the refusal."""

import logging
import sys

import pytest

from nnguard import MirroringError
from nnguard.hooks import patching
from nnguard.report import log
from nnguard.settings import LOG_VARIABLE
from tests.hooks.predictions import load, predicted


def structlog_absent(monkeypatch):
    monkeypatch.setitem(sys.modules, "structlog", None)


def another_structlog(monkeypatch):
    import structlog

    monkeypatch.delattr(structlog, "wrap_logger")


def handler_that_raises(monkeypatch):
    class Broken(logging.Handler):
        def handle(self, record):
            raise OSError("the log server is gone")

    broken = Broken()
    logger = logging.getLogger(log.NAME)
    # Only a log that is wanted reaches a handler.
    monkeypatch.setenv(LOG_VARIABLE, "console")
    monkeypatch.setattr(logger, "handlers", [broken])


@pytest.fixture(params=[structlog_absent, another_structlog, handler_that_raises])
def failing_log(request, monkeypatch):
    log.reset()
    request.param(monkeypatch)
    yield
    monkeypatch.undo()
    log.reset()


@pytest.mark.expects_internal_error
def test_a_prediction_is_refused(guard, new_predictor, model_folders, failing_log, capsys):
    guard("strict")
    with pytest.raises(MirroringError, match="NNG101"):
        load(new_predictor(), model_folders["unmirrored"])
    assert "internal error" in capsys.readouterr().err


@pytest.mark.expects_internal_error
def test_a_training_is_refused(guard, new_trainer, unmirrored, failing_log):
    guard("strict")
    with pytest.raises(MirroringError, match="NNG103"):
        new_trainer(unmirrored).on_train_start()


@pytest.mark.expects_internal_error
def test_a_warning_is_given(guard, new_predictor, model_folders, failing_log, told):
    guard("warn")
    load(new_predictor(), model_folders["unmirrored"])
    assert told.codes == ["NNG101"]


def test_a_sound_model_predicts(guard, new_predictor, model_folders, failing_log, told):
    guard("strict")
    predicted(load(new_predictor(), model_folders["sound"]))
    assert told.codes == []


@pytest.mark.expects_internal_error
def test_loaders_that_cannot_be_shut_down_do_not_swallow_the_refusal(guard, new_trainer, unmirrored, monkeypatch):
    from nnguard.hooks import trainer

    def fail(_trainer):
        raise OSError("a worker is gone")

    monkeypatch.setattr(trainer, "shut_loaders_down", fail)
    guard("strict")
    with pytest.raises(MirroringError):
        new_trainer(unmirrored).on_train_start()


@pytest.mark.expects_internal_error
@pytest.mark.parametrize("name", ["findings_text", "finding_text"])
def test_words_that_cannot_be_made_do_not_swallow_what_they_say(guard, new_predictor, model_folders, monkeypatch, name):
    from nnguard.hooks import enforcement

    def fail(*_arguments):
        raise ValueError("ours")

    monkeypatch.setattr(enforcement, name, fail)
    guard("strict" if name == "findings_text" else "warn,NNG101=warn")
    if name == "findings_text":
        with pytest.raises(MirroringError, match="NNG101"):
            load(new_predictor(), model_folders["unmirrored"])
    else:
        with pytest.warns(match="NNG101"):
            load(new_predictor(), model_folders["unmirrored"])
    assert patching.swallowed
