import sys
import warnings

import pytest

import nnguard
from nnguard.errors import ConsistencyWarning


@pytest.fixture(autouse=True)
def left_as_it_was():
    """Modes, patches and what was told belong to one test."""
    _start_afresh()
    yield
    _start_afresh()


def _start_afresh():
    nnguard.uninstall()
    verdicts = sys.modules.get("nnguard.hooks.verdicts")
    if verdicts is not None:
        verdicts.forget_what_was_told()


@pytest.fixture
def guard():
    """``guard("strict")`` arms this process in a mode; nnU-Net may have been imported before."""
    return nnguard.install


@pytest.fixture
def told():
    """The consistency warnings of a test, in order; nothing else may warn through the guard."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")

        class Told(list):
            @property
            def codes(self):
                texts = [str(warning.message) for warning in caught if warning.category is ConsistencyWarning]
                return [text.split()[0] for text in texts]

            @property
            def texts(self):
                return [str(warning.message) for warning in caught if warning.category is ConsistencyWarning]

            @property
            def warnings(self):
                return [warning for warning in caught if warning.category is ConsistencyWarning]

        yield Told()
