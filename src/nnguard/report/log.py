"""The private logger: structured events of nnguard, apart from nnU-Net's and the host's own logging.

``NNGUARD_LOG`` says where events go:

=============  ====================================================================================
unset          warnings and errors as one line each on stderr; notes nowhere
``off``        nothing at all
``console``    everything, notes and tracebacks included, as text on stderr
``json``       everything, as one JSON object a line on stderr
a path         everything, as one JSON object a line, appended to that file (a name with ``/`` or a dot)
=============  ====================================================================================

Findings that a mode *warns* about do not depend on this: they are Python warnings. Here go the notes
(``log`` actions) and the guard's own faults. A stdlib logger named ``nnguard`` is wrapped explicitly,
for a bare ``structlog.get_logger()`` prints to stdout and follows the host's configuration; events
never reach the root logger.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from _nnguard_start import say

from ..settings import LOG_VARIABLE, Settings
from .escape import escaped

if TYPE_CHECKING:
    from structlog.stdlib import BoundLogger

WORDS = ("off", "console", "json")
NAME = "nnguard"

_logger: BoundLogger | None = None
_told = False


def get_logger() -> BoundLogger:
    """The logger: ``get_logger().info("event", key=value)``. Configured once, from the environment."""
    global _logger
    if _logger is None:
        _logger = _configured(Settings.from_environment().log)
    return _logger


def reset() -> None:
    """Forgets the configuration, so that the next ``get_logger`` reads the environment again."""
    global _logger, _told
    _logger, _told = None, False
    _detach(logging.getLogger(NAME))


def problem_with_setting(setting: str) -> str | None:
    """Why events cannot go where a value of ``NNGUARD_LOG`` says; ``None`` where they can. Opens and makes nothing."""
    setting = setting.strip()
    try:
        why = _hindrance(setting)
    except (OSError, RuntimeError) as error:
        why = str(error)
    return _unusable(setting, why) if why else None


def look() -> None:
    """Says once a command, before there is anything to log, that ``NNGUARD_LOG`` cannot be used; never raises."""
    problem = problem_with_setting(Settings.from_environment().log)
    if problem is not None and multiprocessing.parent_process() is None:
        _tell(problem)


def _tell(problem: str) -> None:
    global _told
    if not _told:
        _told = True
        say(problem)


def _unusable(setting: str, why: str) -> str:
    return (
        f"{LOG_VARIABLE}={escaped(setting)} cannot be used: {escaped(why)}; warnings and errors go to stderr, "
        "notes nowhere"
    )


def _hindrance(setting: str) -> str | None:
    if not setting or setting.lower() in WORDS:
        return None
    if not any(mark in setting for mark in (os.sep, "/", ".")):
        return f"expected one of {', '.join(WORDS)}, or a path"
    path = Path(setting).expanduser()
    if path.is_dir():
        return "it is a folder; give a file in it"
    if not path.parent.is_dir():
        return f"there is no folder {path.parent}; make it, or give another path"
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        return "it may not be written"
    return None


class _CurrentStderr(logging.StreamHandler):
    """Writes to whatever ``sys.stderr`` is at the time, which notebooks, tests and workers exchange."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self) -> TextIO:
        return sys.stderr


class _Message(logging.Formatter):
    """The rendered line alone: the traceback is in it already, where it was asked for."""

    def format(self, record: logging.LogRecord) -> str:
        return record.getMessage()


def _configured(setting: str) -> BoundLogger:
    import structlog

    handler, level, as_json = _destination(setting.strip())
    stdlib_logger = logging.getLogger(NAME)
    _detach(stdlib_logger)
    handler.setFormatter(_Message())
    handler.set_name(NAME)
    stdlib_logger.addHandler(handler)
    stdlib_logger.setLevel(level)
    stdlib_logger.propagate = False
    processors: list[Any] = [
        structlog.stdlib.filter_by_level,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        *([structlog.processors.JSONRenderer(default=repr)] if as_json else [_console_line(level)]),
    ]
    return structlog.wrap_logger(
        stdlib_logger,
        processors=processors,
        wrapper_class=structlog.stdlib.BoundLogger,
        context_class=dict,
        cache_logger_on_first_use=False,
    )


def _destination(setting: str) -> tuple[logging.Handler, int, bool]:
    """Handler, lowest level and whether lines are JSON. An unusable value costs one line, never an exception."""
    word = setting.lower()
    if word == "off":
        return logging.NullHandler(), logging.CRITICAL + 1, False
    if word in ("console", "json"):
        return _CurrentStderr(), logging.DEBUG, word == "json"
    problem = problem_with_setting(setting)
    if setting and problem is None:
        try:
            return logging.FileHandler(Path(setting).expanduser(), encoding="utf-8"), logging.DEBUG, True
        except OSError as error:
            problem = _unusable(setting, str(error))
    if problem is not None:
        _tell(problem)
    return _CurrentStderr(), logging.WARNING, False


def _console_line(level: int) -> Any:
    """Renders ``nnguard: event key=value``; the traceback follows only where everything was asked for."""

    def render(_logger: Any, _method: str, event: dict[str, Any]) -> str:
        event.pop("timestamp", None)
        traceback = event.pop("exception", None)
        parts = [f"{NAME}: {escaped(event.pop('level', ''))}: {escaped(event.pop('event', ''))}"]
        parts += [f"{escaped(key)}={escaped(value)}" for key, value in event.items()]
        line = " ".join(parts)
        if traceback and level <= logging.DEBUG:
            line += "\n" + "\n".join(escaped(row) for row in str(traceback).splitlines())
        return line

    return render


def _detach(stdlib_logger: logging.Logger) -> None:
    """Removes our own handlers; one that a user attached stays."""
    for handler in list(stdlib_logger.handlers):
        if handler.get_name() == NAME:
            stdlib_logger.removeHandler(handler)
            handler.close()
