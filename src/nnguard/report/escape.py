"""Makes text from files safe to print: no control code, no line break, no reordering, no CI command."""

from __future__ import annotations

import re
import unicodedata

#: Cc control, Cf format (bidirectional overrides, zero width), Cs lone surrogates, Co and Cn unassigned,
#: Zl and Zp line and paragraph separators. A reader does not see any of these.
HIDDEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})

#: A CI runner executes ``::error::`` and ``##[error]`` if a line of its log starts with one of them.
COMMAND = re.compile(r"^(\s*)(::|##\[|##vso\[)")


def escaped(text: object, limit: int | None = None) -> str:
    """``text`` on one line; invisible characters become, for example, ``\\x1b`` or ``\\u202e``.

    Args:
        text: anything; ``str`` converts what is not text.
        limit: the maximum number of characters; a longer text ends with an ellipsis.
    """
    shown = "".join(_visible(character) for character in str(text))
    shown = COMMAND.sub(lambda match: match[1] + _spelt(match[2][0]) + match[2][1:], shown)
    return shown if limit is None or len(shown) <= limit else shown[: max(0, limit - 1)] + "…"


def escaped_lines(text: object) -> str:
    """Like ``escaped``, but line breaks stay. It is for nnguard's own texts of several lines that quote a file."""
    return "\n".join(escaped(line) for line in str(text).split("\n"))


def _visible(character: str) -> str:
    if character.isascii():
        return character if character.isprintable() else _spelt(character)
    return _spelt(character) if unicodedata.category(character) in HIDDEN else character


def _spelt(character: str) -> str:
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
