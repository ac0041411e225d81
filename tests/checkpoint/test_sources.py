"""Claims about files behind a URL: what is missing is named, and whatever a file system raises is one line."""

from __future__ import annotations

import pytest

from nnguard.checkpoint import read_checkpoint
from nnguard.checkpoint.sources import PACKAGES
from nnguard.errors import CheckpointError

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
    [
        ("http://host/a.pth", "'fsspec[http]'"),
        ("https://host/a.pth", "'fsspec[http]'"),
        ("s3://bucket/a.pth", "s3fs"),
        ("gs://bucket/a.pth", "gcsfs"),
        ("simplecache::s3://bucket/a.pth", "s3fs"),
    ],
)
def test_the_package_that_a_protocol_needs_is_named(url, package, monkeypatch):
    def missing(*_args, **_options):
        raise ImportError("Install something")

    monkeypatch.setattr("fsspec.core.url_to_fs", missing)
    protocol = url.partition("://")[0].rpartition("::")[2]
    assert refused(url) == (
        f"it cannot be reached: {protocol}:// needs a package that is not installed here: pip install {package}"
    )


def test_every_protocol_of_the_table_is_one_of_fsspecs():
    from fsspec.registry import known_implementations

    assert set(PACKAGES) - set(known_implementations) <= {"hf", "abfss"}  # known once their packages are installed


def test_a_protocol_that_comes_with_its_package_names_it(monkeypatch):
    monkeypatch.setitem(PACKAGES, "nosuch", "nosuchfs")
    assert refused("nosuch://a/b.pth").endswith("pip install nosuchfs")


def test_an_unknown_protocol_is_no_missing_package():
    assert refused("nosuch://a/b.pth") == "it cannot be reached: fsspec knows no protocol nosuch://"


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
