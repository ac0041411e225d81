"""Which nnguard this is, as its installation tells.

Import it late if you may not need it: ``importlib.metadata`` costs 18 ms.
"""

from importlib.metadata import version

__version__ = version("nnguard")
