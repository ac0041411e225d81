"""Every trainer that nnU-Net ships, in 2D, isotropic and anisotropic 3D, as it is and with its mirrors dropped."""

from __future__ import annotations

import pytest

from tests.support.built_in_trainers import built_in_trainers, swept


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("kind", ["2d", "isotropic", "anisotropic"])
def test_no_built_in_trainer_is_accused_and_every_dropped_mirror_is_found(kind, tmp_path):
    trainers = built_in_trainers()
    assert len(trainers) >= 75
    result = swept(kind, tmp_path, trainers)
    print(result)
    assert result.accused == {}
    assert result.missed == []
    assert result.broken == []
