"""The widget in napari itself, without a screen."""

import os
import time

import numpy as np
import pytest
from tests import tiny

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
napari = pytest.importorskip("napari", reason='napari is not installed; run: pip install "selfvos[napari]"')

from napari.components import ViewerModel  # noqa: E402
from qtpy.QtWidgets import QApplication  # noqa: E402

from selfvos.napari_plugin.widget import TrackLabels  # noqa: E402

COUNT = 5
LABELS = np.stack([tiny.truth(t) for t in range(COUNT)])


@pytest.fixture(scope="module")
def desktop():
    return QApplication.instance() or QApplication([])


@pytest.fixture
def viewer(desktop):
    made = ViewerModel()
    made.add_image(np.stack([tiny.picture(t) for t in range(COUNT)]), name="movie", rgb=True)
    return made


@pytest.fixture
def widget(viewer):
    made = TrackLabels(viewer)
    made.weights.setCurrentText("lab-patches")
    yield made
    made.close()


def drawn(viewer, *frames):
    labels = np.zeros_like(LABELS)
    for t in frames:
        labels[t] = LABELS[t] * 7
    return viewer.add_labels(labels, name="cells")


def wait(desktop, widget, until=None):
    deadline = time.monotonic() + 60
    while widget.running is not None and time.monotonic() < deadline:
        desktop.processEvents()
        if until is not None and until():
            return
        time.sleep(0.01)
    desktop.processEvents()
    assert widget.running is None


def overlap(labels, t):
    return ((labels > 0) & (LABELS[t] > 0)).sum() / ((labels > 0) | (LABELS[t] > 0)).sum()


def at(viewer, t):
    viewer.dims.set_current_step(0, t)


@pytest.mark.parametrize(("start", "direction", "frames"), [(0, "forward", range(5)), (3, "backward", range(4))])
def test_labels_in_labels_out(desktop, viewer, widget, start, direction, frames):
    given = drawn(viewer, start)
    at(viewer, start)
    widget.start(direction)
    assert not widget.forward.isEnabled()
    assert widget.cancel.isEnabled()
    wait(desktop, widget)
    result = viewer.layers["cells tracked"]
    assert result.data.shape == LABELS.shape
    assert np.array_equal(result.data[start], given.data[start])
    assert all(overlap(result.data[t], t) > 0.6 for t in frames)
    assert {t for t in range(COUNT) if result.data[t].any()} == set(frames)
    assert (given.data[[t for t in range(COUNT) if t != start]] == 0).all(), "what was drawn is left as it is"
    assert widget.progress.value() == len(frames)
    assert widget.forward.isEnabled()
    assert widget.labels.currentText() == "cells tracked"


def test_a_corrected_frame_is_tracked_from_and_those_before_stay(desktop, viewer, widget):
    drawn(viewer, 0)
    at(viewer, 0)
    widget.start("forward")
    wait(desktop, widget)
    result = viewer.layers["cells tracked"]
    before = result.data.copy()
    result.data[2] = 0
    result.data[2, 16:28] = LABELS[2, 16:28] * 9
    at(viewer, 2)
    widget.start("forward")
    wait(desktop, widget)
    assert len(viewer.layers) == 3, "tracked into the same layer"
    assert np.array_equal(result.data[:2], before[:2])
    assert set(np.unique(result.data[3:])) == {0, 9}


def test_cancel_keeps_the_frames_so_far(desktop, viewer, widget):
    drawn(viewer, 0)
    at(viewer, 0)
    widget.start("forward")
    wait(desktop, widget, until=lambda: widget.progress.value() >= 2)
    widget.cancel.click()
    wait(desktop, widget)
    result = viewer.layers["cells tracked"]
    assert result.data[0].any()
    assert "kept" in widget.status.text() or result.data[-1].any()
    assert widget.forward.isEnabled()


def test_what_is_missing_is_said(desktop, viewer, widget):
    widget.start("forward")
    assert "labels layer" in widget.status.text()
    drawn(viewer)
    widget.start("forward")
    assert "nothing is labelled on frame" in widget.status.text()
    assert widget.running is None
    assert len(viewer.layers) == 2
    viewer.layers.remove("cells")
    drawn(viewer, 0)
    at(viewer, 0)
    widget.weights.setCurrentText("no-such-weights")
    widget.start("forward")
    wait(desktop, widget)
    assert "no-such-weights" in widget.status.text()
    assert widget.forward.isEnabled()


def test_napari_finds_the_widget_by_its_manifest():
    from importlib.resources import files

    from npe2 import PluginManifest

    manifest = PluginManifest.from_file(str(files("selfvos.napari_plugin").joinpath("napari.yaml")))
    (widget,) = manifest.contributions.widgets
    assert widget.display_name == "Track labels"
    assert manifest.contributions.commands[0].python_name == "selfvos.napari_plugin.widget:TrackLabels"
    assert widget.get_callable.__self__ is widget
