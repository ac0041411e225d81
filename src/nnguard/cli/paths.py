"""Paths as they are typed on the command line: none is empty, and a URL is told apart from a file."""

from __future__ import annotations

from pathlib import Path

import click


class GivenPath(click.ParamType):
    """A path, as text; whether anything is there is for the command to say."""

    name = "path"

    def __init__(self, urls: bool = False, to_write: bool = False) -> None:
        self.urls, self.to_write = urls, to_write

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> object:
        text = str(value)
        if not text:
            # pathlib reads "" as ".", so that an unset shell variable would have the command work on what lies here.
            raise click.ClickException(
                f"{_called(param)} is empty, as an unset shell variable makes it; '.' is the folder that you are in"
            )
        if "://" in text and not self.urls and not Path(text).exists():
            raise click.ClickException(
                f"{text}: is a URL, and {_called(param)} has to be a file or folder here: only nnguard check reads "
                "URLs; fetch it first"
            )
        if self.to_write and not Path(text).absolute().parent.is_dir():
            raise click.ClickException(f"{text}: cannot be written, because its folder does not exist")
        return value


def _called(param: click.Parameter | None) -> str:
    """``MODEL_FOLDER``, ``--list``, as the user has to type it."""
    if isinstance(param, click.Option):
        return max(param.opts, key=len)
    return "the path" if param is None else (param.metavar or (param.name or "").upper()).removesuffix("...")


LOCAL_PATH = GivenPath()
PATH_OR_URL = GivenPath(urls=True)
FILE_TO_WRITE = GivenPath(to_write=True)
