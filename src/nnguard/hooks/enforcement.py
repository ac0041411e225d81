"""Acts on findings as the mode says: logs them, warns once, or raises one error for all."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Container, Iterable
from types import FrameType

from _nnguard_start import say

from .. import arming
from ..errors import ConsistencyWarning, InconsistencyError, MirroringError
from ..findings import RULES, Finding, worst_first
from ..report.log import get_logger
from ..report.text import finding_text, findings_text
from ..settings import CORRECT, IGNORE, LOG, RAISE, Policy
from .patching import contained

#: (code, subject, setting) of each warning that was shown in this process.
_told: set[tuple[str, str, str]] = set()
#: The same for events of the log.
_noted: set[tuple[str, str, str]] = set()

#: The names that ``-W`` may use for nnguard's warning, and the actions that it may ask for.
_OUR_WARNING = ("nnguard.ConsistencyWarning", "nnguard.errors.ConsistencyWarning")
_ACTIONS = ("default", "error", "ignore", "always", "module", "once")

#: Frames of these packages are not the user's code.
_NOT_THE_USER = ("nnguard", "wrapt", "nnunetv2", "torch", "batchgenerators", "contextlib")


def act(
    findings: Iterable[Finding],
    *,
    put_right: str | None = None,
    righted: Container[str] = (),
    before_raising: Callable[[], None] | None = None,
) -> None:
    """Does with each finding what the policy says.

    Args:
        findings: about one subject.
        put_right: in words, what ``correct`` has changed; ``None`` if it changed nothing.
        righted: the rules whose findings this change corrects; only their warnings mention it.
        before_raising: called before anything is raised, also before a warning that is raised as an error.

    Raises:
        MirroringError: one for all findings that the policy raises.
        InconsistencyError: the same if none of them is about mirroring.
        ConsistencyWarning: under ``-W error::nnguard.ConsistencyWarning``.
    """
    policy = arming.policy()
    if policy is None:
        return
    judged = [(finding, policy.action(finding)) for finding in worst_first(findings)]
    raising = [finding for finding, action in judged if action == RAISE]
    # Each step of the logging is contained, so that a failing log or a missing library cannot prevent a refusal.
    for finding, action in judged:
        if action != IGNORE:
            contained("noting a finding", _note, finding, action)
    if raising:
        if before_raising is not None:
            contained("ending what was started", before_raising)
        raise _error(raising, policy)
    for finding, action in judged:
        if action not in (IGNORE, LOG):
            _warn_once(
                finding, policy, put_right if finding.code in righted and action == CORRECT else None, before_raising
            )


def is_to_be_put_right(findings: Iterable[Finding], correctable: Container[str]) -> bool:
    """Whether the policy corrects any of the findings whose rules are ``correctable``."""
    policy = arming.policy()
    return policy is not None and any(one.code in correctable and policy.action(one) == CORRECT for one in findings)


def forget_what_was_told() -> None:
    """Makes every warning appear again (for tests)."""
    _told.clear()
    _noted.clear()


def _error(findings: list[Finding], policy: Policy) -> InconsistencyError:
    kind = MirroringError if any(RULES[finding.code].mirroring for finding in findings) else InconsistencyError
    text = contained("wording a refusal", findings_text, findings, policy)
    return kind("\n" + (text or "\n".join(map(_in_one_line, findings))), findings)


def _in_one_line(finding: Finding) -> str:
    return f"{finding.code} ({finding.severity}): {finding.subject}: {finding.message} {finding.remedy}"


def _note(finding: Finding, action: str) -> None:
    # People see errors and warnings anyway; the event is for logs that programs read.
    if _key(finding) in _noted:
        return
    _noted.add(_key(finding))
    get_logger().info(
        f"{finding.code} {finding.name}",
        action=action,
        severity=finding.severity,
        subject=finding.subject,
        message=finding.message,
        seen=finding.seen,
        evidence=finding.evidence,
    )


def _warn_once(
    finding: Finding, policy: Policy, put_right: str | None, before_raising: Callable[[], None] | None
) -> None:
    if _key(finding) in _told:
        return
    text = contained("wording a warning", finding_text, finding, policy) or _in_one_line(finding)
    if put_right:
        text += f"\n  nnguard has put this right: {put_right}"
    try:
        if not contained("warning", _warn, "\n" + text):
            say(text)
    except ConsistencyWarning:
        if before_raising is not None:
            contained("ending what was started", before_raising)
        raise
    # This comes last: a warning that was raised as an error must be raised again if the user continues.
    _told.add(_key(finding))


def _key(finding: Finding) -> tuple[str, str, str]:
    return (finding.code, finding.subject, finding.setting)


def _warn(text: str) -> bool:
    """Warns. Returns ``True``, so that the caller can tell it from a contained failure."""
    _take_up_the_options()
    frame = _users_frame()
    if _ignored_by_other_code():
        sys.stderr.write(f"{ConsistencyWarning.__name__}: {text.lstrip()}\n")
        return True
    # Without a registry, because nnguard itself (`_told`) knows what was shown, not the line of code.
    warnings.warn_explicit(
        ConsistencyWarning(text), ConsistencyWarning, frame.f_code.co_filename, frame.f_lineno, registry=None
    )
    return True


def _take_up_the_options() -> None:
    """Follows ``-W error::nnguard.ConsistencyWarning`` and similar options in ``PYTHONWARNINGS``.

    Python ignores them ("invalid module name: 'nnguard'"), because it reads them before it can import installed
    packages.
    """
    if any(category is ConsistencyWarning for _action, _message, category, _module, _line in warnings.filters):
        return
    for option in sys.warnoptions:
        action, _, rest = option.partition(":")
        fields = rest.split(":")
        if action in _ACTIONS and fields[1:2] and fields[1].strip() in _OUR_WARNING:
            warnings.simplefilter(action, ConsistencyWarning)


def _users_frame() -> FrameType:
    """The innermost frame whose package is not one of ``_NOT_THE_USER``; the outermost frame if there is none."""
    frame: FrameType = sys._getframe(1)
    while frame.f_back is not None:
        package = str(frame.f_globals.get("__name__", "")).partition(".")[0]
        if package not in _NOT_THE_USER:
            break
        frame = frame.f_back
    return frame


def _ignored_by_other_code() -> bool:
    """Whether other code's blanket ``filterwarnings("ignore")`` hides a warning that the user must see.

    A filter that names ``ConsistencyWarning`` is the user's own choice, and so are ``-W`` and ``PYTHONWARNINGS``.
    """
    if sys.warnoptions:
        return False
    for action, message, category, module, _line in warnings.filters:
        if message is None and module is None and issubclass(ConsistencyWarning, category):
            return action == "ignore" and category is not ConsistencyWarning
    return False
