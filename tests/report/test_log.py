"""Claims about the private logger."""

import json
import logging
import subprocess
import sys

import pytest

from nnguard.report import log
from nnguard.settings import LOG_VARIABLE


@pytest.fixture
def logger(monkeypatch):
    """Gives a logger for a value of ``NNGUARD_LOG``; forgets it afterwards."""

    def configured(setting=None):
        if setting is None:
            monkeypatch.delenv(LOG_VARIABLE, raising=False)
        else:
            monkeypatch.setenv(LOG_VARIABLE, str(setting))
        log.reset()
        return log.get_logger()

    yield configured
    log.reset()


def test_by_default_notes_are_silent_and_faults_are_one_line(logger, capsys):
    log_ = logger()
    log_.info("noted")
    try:
        raise ValueError("inside")
    except ValueError:
        log_.exception("fault", place="here")
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == "nnguard: error: fault place=here\n"


def test_off_is_silent(logger, capsys):
    logger("off").critical("anything")
    assert capsys.readouterr() == ("", "")


def test_console_shows_notes_and_tracebacks(logger, capsys):
    log_ = logger("console")
    log_.info("noted", rule="NNG104")
    try:
        raise ValueError("inside")
    except ValueError:
        log_.exception("fault")
    err = capsys.readouterr().err
    assert "nnguard: info: noted rule=NNG104" in err
    assert "ValueError: inside" in err


def test_json_is_one_object_a_line(logger, capsys):
    log_ = logger("JSON")
    log_.info("noted", rule="NNG104", path="a\nb")
    log_.warning("warned", odd=object())
    lines = capsys.readouterr().err.splitlines()
    assert [json.loads(line)["event"] for line in lines] == ["noted", "warned"]
    assert json.loads(lines[0])["level"] == "info"


def test_a_path_gets_json_lines_and_the_terminal_nothing(logger, capsys, tmp_path):
    logger(tmp_path / "guard.jsonl").info("noted")
    logger(tmp_path / "guard.jsonl").info("again")
    log.reset()
    lines = (tmp_path / "guard.jsonl").read_text().splitlines()
    assert [json.loads(line)["event"] for line in lines] == ["noted", "again"]
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("setting", ["jsno", "/no/such/folder/log.jsonl"])
def test_a_value_that_cannot_be_used_costs_one_line(logger, capsys, setting):
    log_ = logger(setting)
    log_.warning("still there")
    first, second = capsys.readouterr().err.splitlines()
    assert setting in first
    assert second == "nnguard: warning: still there"


def test_console_lines_cannot_be_forged(logger, capsys):
    logger("console").warning("a\nnnguard: error: forged\x1b[0m", path="::error::x")
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert "\x1b" not in err


def test_the_root_logger_and_its_handlers_see_nothing(logger):
    seen = []
    spy = logging.Handler()
    spy.emit = seen.append
    logging.getLogger().addHandler(spy)
    try:
        handlers = list(logging.getLogger().handlers)
        logger("console").error("private")
        assert logging.getLogger().handlers == handlers
        logging.getLogger("host").error("public")
    finally:
        logging.getLogger().removeHandler(spy)
    assert [record.getMessage() for record in seen] == ["public"]


def test_a_users_own_handler_stays(logger):
    mine = logging.NullHandler()
    logging.getLogger("nnguard").addHandler(mine)
    try:
        logger("off")
        log.reset()
        assert mine in logging.getLogger("nnguard").handlers
    finally:
        logging.getLogger("nnguard").removeHandler(mine)


def test_asking_twice_does_not_double_the_lines(logger, capsys):
    logger("console")
    log.reset()
    log.get_logger().info("once")
    log.get_logger().info("twice")
    assert len(capsys.readouterr().err.splitlines()) == 2


HOST = """
import structlog, sys
structlog.configure(processors=[structlog.processors.JSONRenderer()])
before = structlog.get_config()
from nnguard.report.log import get_logger
get_logger().warning("guard")
assert structlog.get_config() == before
structlog.get_logger().info("host")
"""


def test_the_hosts_structlog_is_left_alone(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", HOST], capture_output=True, text=True, check=True, env={"NNGUARD": "off"}
    )
    assert done.stdout == '{"event": "host"}\n'
    assert done.stderr == "nnguard: warning: guard\n"


def test_importing_the_module_loads_no_structlog():
    code = "import sys, nnguard.report.log; print('structlog' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={"NNGUARD": "off"}
    )
    assert done.stdout.strip() == "False"


def test_a_path_that_cannot_be_used_is_told_before_there_is_anything_to_log(logger, capsys):
    logger("off")
    log.reset()
    for _ in range(2):
        log.look()
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("setting", ["jsno", "/no/such/folder/log.jsonl", "/"])
def test_it_is_told_once_whoever_asks(monkeypatch, capsys, setting):
    monkeypatch.setenv(LOG_VARIABLE, setting)
    log.reset()
    log.look()
    log.look()
    log.get_logger().info("noted")
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"nnguard: NNGUARD_LOG={setting} cannot be used: ")
    log.reset()


def test_a_worker_says_nothing_that_its_command_has_said(monkeypatch, capsys):
    monkeypatch.setenv(LOG_VARIABLE, "/no/such/folder/log.jsonl")
    monkeypatch.setattr(log.multiprocessing, "parent_process", lambda: object())
    log.reset()
    log.look()
    assert capsys.readouterr().err == ""


def test_looking_makes_no_file(tmp_path):
    assert log.problem_with_setting(str(tmp_path / "guard.jsonl")) is None
    assert list(tmp_path.iterdir()) == []
