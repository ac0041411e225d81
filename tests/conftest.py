"""What every test is held to."""

import sys

import pytest
from hypothesis import settings

# A busy machine is no news about an example: hypothesis would call one flaky that once took a fifth of a second.
settings.register_profile("no deadline", deadline=None)
settings.load_profile("no deadline")


def pytest_make_parametrize_id(val):
    """Names no test after a file's bytes: those of old checkpoints hold addresses, another in each process."""
    return "bytes" if isinstance(val, bytes) and len(val) > 16 else None


@pytest.fixture(autouse=True)
def no_swallowed_error(request):
    """An error that the guard kept to itself fails the test, unless the test says that it provokes one."""
    _forget()
    yield
    swallowed = _forget()
    if request.node.get_closest_marker("expects_internal_error"):
        assert swallowed, "this test says that it provokes an internal error, and none was swallowed"
    else:
        assert not swallowed, "\n".join(map(repr, swallowed))


def _forget():
    patching = sys.modules.get("nnguard.hooks.patching")
    if patching is None:
        return []
    swallowed = list(patching.swallowed)
    patching.swallowed.clear()
    return swallowed
