"""Claims about what the printed text of a pipeline says."""

import pytest

from nnguard.models.pipeline_text import DescribedMirroring, described_mirroring

NOISE = "RandomTransform(p=0.1, transform=GaussianNoiseTransform( noise_variance = (0, 0.1) ))"


def compose(*parts):
    return f"ComposeTransforms( transforms = [{', '.join(parts)}] )"


def test_the_mirror_of_version_2_is_read():
    assert described_mirroring(compose(NOISE, "MirrorTransform( allowed_axes = (0, 1) )")).axes == (0, 1)


def test_the_mirror_of_version_1_is_read():
    text = "Compose ( [MirrorTransform( p_per_sample = 1, data_key = 'data', label_key = 'seg', axes = (0, 1, 2) )] )"
    assert described_mirroring(text).axes == (0, 1, 2)


def test_a_pipeline_without_a_mirror_is_complete_and_has_no_axes():
    found = described_mirroring(compose(NOISE))
    assert found == DescribedMirroring()
    assert found.complete


def test_an_empty_pipeline_is_still_a_pipeline():
    assert described_mirroring("ComposeTransforms( transforms = [] )") == DescribedMirroring()


@pytest.mark.parametrize(
    "text", ["None", "", "<batchgeneratorsv2.transforms.utils.compose.ComposeTransforms object at 0x7f>"]
)
def test_a_text_that_says_nothing_is_not_read_as_no_mirroring(text):
    assert described_mirroring(text) is None


@pytest.mark.parametrize(
    "part",
    [
        "<my_lab.flips.Flip object at 0x7f0a>",
        "MyFlip( axes = (0,) )",
        "RandomTransform(p=0.5, transform=OwnFlip( a = 1 ))",
        "<function own_flip at 0x7f0a7b25d440>",
    ],
)
def test_a_class_of_somebody_else_makes_absence_doubtful(part):
    assert not described_mirroring(compose(NOISE, part)).complete


def test_an_object_among_the_arguments_of_a_library_class_is_no_transform():
    part = "BlankRectangleTransform( color_fn = <batchgeneratorsv2.noise.ColorFunctionExtractor object at 0x7f> )"
    assert described_mirroring(compose(part)).complete


def test_quarter_turns_and_transpositions_make_absence_doubtful():
    part = "RandomTransform(p=0.5, transform=Rot90Transform( allowed_axes = {np.int64(0), np.int64(1)} ))"
    found = described_mirroring(compose(part))
    assert found.turning == ("Rot90Transform",)
    assert found.axes == ()


def test_numpy_axes_are_read():
    assert described_mirroring(compose("MirrorTransform( allowed_axes = {np.int64(0), np.int64(1)} )")).axes == (0, 1)


def test_a_bare_integer_is_read():
    assert described_mirroring(compose("MirrorTransform( allowed_axes = 1 )")).axes == (1,)


def test_a_mirror_without_axes_mirrors_nothing():
    assert described_mirroring(compose("MirrorTransform( allowed_axes = () )")) == DescribedMirroring()


def test_a_mirror_that_is_hardly_ever_applied_counts_as_rare():
    text = compose("RandomTransform(p=0.05, transform=MirrorTransform( allowed_axes = (1,) ))")
    assert described_mirroring(text) == DescribedMirroring(rarely=(1,))


def test_a_mirror_applied_half_of_the_time_counts_as_trained():
    text = compose("RandomTransform(p=0.5, transform=MirrorTransform( allowed_axes = (1,) ))")
    assert described_mirroring(text) == DescribedMirroring(axes=(1,))


def test_axes_of_slices_are_shifted_by_the_folded_one():
    text = compose(
        "Convert3DTo2DTransform(  )", "MirrorTransform( allowed_axes = (0, 1) )", "Convert2DTo3DTransform(  )"
    )
    assert described_mirroring(text).axes == (1, 2)


def test_axes_after_the_unfolding_are_not_shifted():
    text = compose(
        "Convert3DTo2DTransform(  )", "Convert2DTo3DTransform(  )", "MirrorTransform( allowed_axes = (0, 1) )"
    )
    assert described_mirroring(text).axes == (0, 1)


def test_a_mirror_inside_a_text_value_is_not_one():
    assert described_mirroring(compose("GammaTransform( name = 'MirrorTransform( allowed_axes = (0,) )' )")).axes == ()


@pytest.mark.parametrize("text", ["Compose ( [", "Compose )", "(" * 5000, "A(" * 5000 + ")" * 5000])
def test_broken_or_monstrous_texts_say_nothing(text):
    assert described_mirroring(text) is None
