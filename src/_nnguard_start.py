"""What an interpreter runs at its start where nnguard is installed: arms it if ``NNGUARD`` says so, else nothing.

``site`` calls ``start`` through ``nnguard.pth`` (and its PEP 829 twin ``nnguard.start``) before any user
code, in every process of the environment. So nothing may be imported here that site has not imported
itself, and nothing may escape: an exception would print a traceback at every start, and SystemExit would
end every interpreter before it began.
"""

import os
import sys

TYPE_CHECKING = False  # type checkers take it for typing's, which a bare interpreter has not imported
if TYPE_CHECKING:
    from collections.abc import Callable


def start() -> None:
    """Arms nnguard when ``NNGUARD`` is set and not ``off``. Virtual environments call this twice."""
    if os.environ.get("NNGUARD", "").strip().lower() not in ("", "off"):
        contained("start-up", _arm)


def contained(what: str, function: "Callable[..., object]", *args: object) -> BaseException | None:
    """Calls ``function``; whatever it raises becomes one line on stderr.

    Returns:
        The exception that was kept in, ``None`` where there was none.
    """
    try:
        function(*args)
    except BaseException as error:
        say(f"inactive: {what} failed: {type(error).__name__}: {error}")
        return error
    return None


def say(text: object) -> None:
    """One line on stderr. A closed or missing stderr is no reason to disturb anybody."""
    try:
        sys.stderr.write("nnguard: " + " ".join(str(text).split()) + "\n")
    except BaseException:
        return


def _arm() -> None:
    import nnguard  # noqa: F401  importing it arms
