"""Claims about a fliptest's picture: what its bars, labels and panels show, and in which colours."""

import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from nnguard.pictures.contact_sheet import COLOURS
from nnguard.pictures.flip_bars import VERDICTS, Bar, write_flip_picture

OKABE_ITO = {"#000000", "#e69f00", "#56b4e9", "#009e73", "#f0e442", "#0072b2", "#d55e00", "#cc79a7", "#999999"}
BARS = [
    Bar(name="axis 0", value=0.9, low=0.85, high=0.95, verdict="safe"),
    Bar(name="axis 1", value=0.1, low=0.05, high=0.2, verdict="harmful"),
    Bar(name="axes 0 and 1 together", value=None, low=None, high=None, verdict="unsettled"),
]


@pytest.fixture
def drawn(tmp_path, monkeypatch):
    """Draws the bars over a volume whose third slice alone has labels; the figure, and the PNG's pixels."""
    from matplotlib.image import imread

    kept = []
    save = Figure.savefig
    monkeypatch.setattr(Figure, "savefig", lambda self, *args, **more: (kept.append(self), save(self, *args, **more)))
    labels = np.zeros((5, 8, 8), np.uint8)
    labels[2, :4], labels[2, 4:] = 1, 2
    turned = np.where(labels == 0, 0, 3 - labels)
    image = np.arange(5.0)[:, None, None] * np.ones((5, 8, 8))

    def draw(base=0.92):
        panels = {"plain": labels, "flip {1}, turned back": turned}
        target = tmp_path / "flips.png"
        write_flip_picture(target, "a model", "Dice", BARS, image, panels, base, {1: "left"})
        return kept[-1], imread(target)[..., :3]

    return draw


def axes_of(figure):
    above, below = figure.subfigs
    return above.axes[0], [axes for axes in below.axes if axes.get_title(loc="left")]


def test_each_bar_is_as_long_as_its_value_and_coloured_by_its_verdict(drawn):
    bars, _ = axes_of(drawn()[0])
    assert [bar.get_width() for bar in bars.patches] == [0.9, 0.1, 0.0]
    assert [to_hex(bar.get_facecolor()).upper() for bar in bars.patches] == [VERDICTS[bar.verdict][0] for bar in BARS]
    assert [tick.get_text() for tick in bars.get_yticklabels()] == [bar.name for bar in BARS]
    told = {text.get_text() for text in bars.texts}
    assert {"0.90  safe", "0.10  harmful", "no answer", "plain 0.92"} <= told


def test_intervals_and_the_plain_answer_are_lines(drawn):
    bars, _ = axes_of(drawn()[0])
    spans = [list(line.get_xdata()) for line in bars.lines]
    assert [0.85, 0.95] in spans
    assert [0.92, 0.92] in spans
    bars, _ = axes_of(drawn(base=None)[0])
    assert not [text for text in bars.texts if text.get_text().startswith("plain")]


def test_panels_show_the_slice_with_labels_and_every_label_in_its_own_colour(drawn):
    figure, _ = drawn()
    _, panels = axes_of(figure)
    assert [panel.get_title(loc="left") for panel in panels] == ["plain", "flip {1}, turned back"]
    for panel, first in zip(panels, (1, 2), strict=True):
        background, *overlays = panel.get_images()
        assert (background.get_array() == 2).all()
        by_colour = {to_hex(one.cmap(1.0)): ~np.ma.getmaskarray(one.get_array()) for one in overlays}
        assert len(by_colour) == 2
        (upper,) = [colour for colour, where in by_colour.items() if where[0, 0]]
        assert upper == to_hex(COLOURS[first - 1])
    legend = figure.subfigs[1].legends[0]
    assert [text.get_text() for text in legend.get_texts()] == ["1: left", "label 2"]


def test_colours_are_okabe_and_itos_and_the_hatch_says_the_same(drawn):
    assert {colour.lower() for colour, _ in VERDICTS.values()} <= OKABE_ITO
    assert len({hatch for _, hatch in VERDICTS.values()}) == len(VERDICTS)
    _, pixels = drawn()
    green = np.array([0, 158, 115]) / 255
    assert (np.abs(pixels - green).max(axis=-1) < 0.02).sum() > 1000


def test_the_picture_is_legible_and_bearable(drawn):
    _, pixels = drawn()
    assert 1200 < pixels.shape[1] < 2000
    assert pixels.shape[0] < 3000
