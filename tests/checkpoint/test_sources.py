"""Claims about files behind a URL: what is missing is named, and whatever a file system raises is one line."""

from __future__ import annotations

import sys

import pytest

from nnguard.checkpoint import read_checkpoint
from nnguard.errors import CheckpointError
from tests.support.archives import checkpoint

fsspec = pytest.importorskip("fsspec")


class Odd(fsspec.AbstractFileSystem):
    """Answers every question with the error that the test names."""

    protocol = "odd"
    cachable = False
    raises: Exception | None = None
    size: object = 100

    def info(self, path, **options):
        if self.raises is not None:
            raise self.raises
        return {"name": path, "size": self.size, "type": "file"}

    def cat_file(self, path, start=None, end=None, **options):
        raise StrangeError("the other end\nhung up")


class StrangeError(Exception):
    """Derives from nothing that Python knows of networks, as aiohttp's and httpx's errors do."""


@pytest.fixture
def odd(monkeypatch):
    fsspec.register_implementation("odd", Odd, clobber=True)
    return lambda **changes: [monkeypatch.setattr(Odd, name, value) for name, value in changes.items()]


def refused(url):
    with pytest.raises(CheckpointError) as caught:
        read_checkpoint(url)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(f"{url}: ")
    return str(caught.value).removeprefix(f"{url}: ")


@pytest.mark.parametrize(
    ("url", "package"),
    [("https://host/a.pth", "aiohttp"), ("s3://bucket/a.pth", "s3fs"), ("simplecache::gs://bucket/a.pth", "gcsfs")],
)
def test_the_package_that_a_protocol_needs_is_named(url, package, monkeypatch):
    from fsspec.registry import _registry

    for name in ("aiohttp", "s3fs", "gcsfs", "fsspec.implementations.http"):
        monkeypatch.setitem(sys.modules, name, None)
    for protocol in ("https", "s3", "gs"):
        monkeypatch.delitem(_registry, protocol, raising=False)
    said = refused(url)
    assert said.startswith("it cannot be reached: ")
    assert package in said


def test_without_fsspec_a_url_says_what_to_install_and_a_path_is_read(tmp_path, monkeypatch):
    for name in [name for name in sys.modules if name.partition(".")[0] == "fsspec"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "fsspec", None)
    assert refused("https://host/a.pth") == "nnguard needs fsspec to read a URL: pip install fsspec"
    path = tmp_path / "a.pth"
    path.write_bytes(checkpoint())
    assert read_checkpoint(path).trainer_name == "nnUNetTrainer"


def test_an_unknown_protocol_is_no_missing_package():
    assert refused("nosuch://a/b.pth") == "it cannot be reached: Protocol not known: nosuch"


@pytest.mark.parametrize("error", [StrangeError("no\nway"), KeyError("size"), OSError(5, "I/O error"), Exception()])
def test_whatever_a_file_system_raises_is_one_line(odd, error):
    odd(raises=error)
    assert refused("odd://a/b.pth").startswith("it cannot be reached: ")


def test_a_file_that_is_not_there_is_said_so(odd):
    odd(raises=FileNotFoundError("/a/b.pth"))
    assert refused("odd://a/b.pth") == "it cannot be reached: there is no such file"


def test_a_file_that_cannot_be_read_any_further_is_one_line(odd):
    assert refused("odd://a/b.pth") == "it cannot be read: the other end"


@pytest.mark.parametrize("size", [None, "100"])
def test_a_size_that_is_not_told_is_said_so(odd, size):
    odd(size=size)
    assert refused("odd://a/b.pth") == "its size is not known, so that parts of it cannot be read"


def test_who_interrupts_is_obeyed(odd):
    odd(raises=KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        read_checkpoint("odd://a/b.pth")
