"""``NNGUARD_PREVIEW`` and the former ``NNGUARD_FLIPTEST``: what their values mean, and what is wrong with one."""

from __future__ import annotations

FLIPTEST, PREVIEW = "NNGUARD_FLIPTEST", "NNGUARD_PREVIEW"
#: What switches the preview off; of everything else it is switched on, and these are plain words for it.
OFF, ON = ("", "0", "off"), ("1", "on", "true", "yes")


def problem_with_fliptest(text: str) -> str | None:
    """What to say where the variable is still set; ``None`` where it is not, or off."""
    if text.strip().lower() in OFF:
        return None
    return f"{FLIPTEST}={text!r} does nothing any more. To measure what mirroring costs, use: nnguard fliptest"


def problem_with_preview(text: str) -> str | None:
    """What is wrong with a value of the variable; ``None`` for a plain yes or no."""
    if text in OFF or text.lower() in ON:
        return None
    return f"{PREVIEW}={text!r} is neither 1 nor 0 (or off): it is taken for 1, and a sheet is drawn"
