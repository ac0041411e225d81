"""Acts on findings as the mode says: notes them, warns once, or raises them all together."""

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

#: (code, subject, setting) of what people have been told in this process.
_told: set[tuple[str, str, str]] = set()
#: The same for events of the log.
_noted: set[tuple[str, str, str]] = set()

#: What ``-W`` may call our warning, and what it may ask for.
_OUR_WARNING = ("nnguard.ConsistencyWarning", "nnguard.errors.ConsistencyWarning")
_ACTIONS = ("default", "error", "ignore", "always", "module", "once")

#: Frames of these packages are not the user's line.
_NOT_THE_USER = ("nnguard", "wrapt", "nnunetv2", "torch", "batchgenerators", "contextlib")


def act(
    findings: Iterable[Finding],
    *,
    put_right: str | None = None,
    righted: Container[str] = (),
    before_raising: Callable[[], None] | None = None,
) -> None:
    """Does to each finding what the policy says.

    Args:
        findings: about one subject.
        put_right: in words, what ``correct`` has changed about it; ``None`` where nothing was.
        righted: the rules that it puts right; of the others nothing of the kind is said.
        before_raising: called before anything is raised, a warning as an error included.

    Raises:
        MirroringError: one for all that the policy raises; ``InconsistencyError`` where none of them is
            about mirroring.
        ConsistencyWarning: under ``-W error::nnguard.ConsistencyWarning``.
    """
    policy = arming.policy()
    if policy is None:
        return
    judged = [(finding, policy.action(finding)) for finding in worst_first(findings)]
    raising = [finding for finding, action in judged if action == RAISE]
    # What is told stands apart from what is done: a log that fails, or a library that is missing, refuses nothing.
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
    """Whether the policy corrects any of them, and its rule is one of the ``correctable``."""
    policy = arming.policy()
    return policy is not None and any(one.code in correctable and policy.action(one) == CORRECT for one in findings)


def forget_what_was_told() -> None:
    """Lets every warning go out once more (tests)."""
    _told.clear()
    _noted.clear()


def _error(findings: list[Finding], policy: Policy) -> InconsistencyError:
    kind = MirroringError if any(RULES[finding.code].mirroring for finding in findings) else InconsistencyError
    text = contained("wording a refusal", findings_text, findings, policy)
    return kind("\n" + (text or "\n".join(map(_in_one_line, findings))), findings)


def _in_one_line(finding: Finding) -> str:
    return f"{finding.code} ({finding.severity}): {finding.subject}: {finding.message} {finding.remedy}"


def _note(finding: Finding, action: str) -> None:
    # What is raised or warned reaches people by itself; the event is for logs that machines read.
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
    # Only now: one that was raised instead of shown must be raised again when the user goes on regardless.
    _told.add(_key(finding))


def _key(finding: Finding) -> tuple[str, str, str]:
    return (finding.code, finding.subject, finding.setting)


def _warn(text: str) -> bool:
    """Warns, and says that it did."""
    _take_up_the_options()
    frame = _users_frame()
    if _ignored_by_other_code():
        sys.stderr.write(f"{ConsistencyWarning.__name__}: {text.lstrip()}\n")
        return True
    # No registry: what was shown before is ours to know (`_told`), not this line's.
    warnings.warn_explicit(
        ConsistencyWarning(text), ConsistencyWarning, frame.f_code.co_filename, frame.f_lineno, registry=None
    )
    return True


def _take_up_the_options() -> None:
    """Follows ``-W error::nnguard.ConsistencyWarning`` and its like in ``PYTHONWARNINGS``.

    Python reads them before it can import anything that is installed, says "invalid module name: 'nnguard'",
    and ignores them.
    """
    if any(category is ConsistencyWarning for _action, _message, category, _module, _line in warnings.filters):
        return
    for option in sys.warnoptions:
        action, _, rest = option.partition(":")
        fields = rest.split(":")
        if action in _ACTIONS and fields[1:2] and fields[1].strip() in _OUR_WARNING:
            warnings.simplefilter(action, ConsistencyWarning)


def _users_frame() -> FrameType:
    """The innermost frame of code that is neither ours nor nnU-Net's; the outermost frame where all is."""
    frame: FrameType = sys._getframe(1)
    while frame.f_back is not None:
        package = str(frame.f_globals.get("__name__", "")).partition(".")[0]
        if package not in _NOT_THE_USER:
            break
        frame = frame.f_back
    return frame


def _ignored_by_other_code() -> bool:
    """Whether a blanket ``filterwarnings("ignore")`` in somebody's code hides what a user must see.

    A filter that names ``ConsistencyWarning``, and ``-W`` or ``PYTHONWARNINGS``, are the user's own choice.
    """
    if sys.warnoptions:
        return False
    for action, message, category, module, _line in warnings.filters:
        if message is None and module is None and issubclass(ConsistencyWarning, category):
            return action == "ignore" and category is not ConsistencyWarning
    return False
