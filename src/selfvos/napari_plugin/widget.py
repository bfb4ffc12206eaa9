"""The widget in napari: an image and a labels layer in, a labels layer out, tracked from the frame at hand."""
# napari is no part of the development environment.
# pyright: reportMissingImports=false

from typing import Any, Literal

import numpy as np
from napari.layers import Image, Labels
from napari.utils.notifications import show_error
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QComboBox, QFormLayout, QHBoxLayout, QLabel, QProgressBar, QPushButton, QVBoxLayout, QWidget

from selfvos.errors import SelfvosError
from selfvos.napari_plugin.layers import LayerFrames, Request, labels_of
from selfvos.napari_plugin.running import Running

_OURS = "selfvos"
"""Key in the metadata of layers that were made here: they are tracked into, others are left as they are."""
_LOOK_MS = 50
_LAYERS = ("inserted", "removed", "reordered")


class TrackLabels(QWidget):
    """Asks for two layers and a direction, and tracks in a thread while the labels appear."""

    def __init__(self, napari_viewer: Any) -> None:
        """Build the widget for a viewer."""
        super().__init__()
        self.viewer = napari_viewer
        self.running: Running | None = None
        self._target: Any = None
        self._timer = QTimer(self)
        self._timer.setInterval(_LOOK_MS)
        self._timer.timeout.connect(self._look)
        self.image, self.labels = QComboBox(), QComboBox()
        self.weights, self.quality = QComboBox(), QComboBox()
        self.weights.addItem("default")
        self.weights.setEditable(True)
        self.weights.setToolTip("A name, a .safetensors file, or the folder of a run")
        self.quality.addItems(["fast", "balanced", "best"])
        self.quality.setCurrentText("balanced")
        self.forward, self.backward, self.cancel = (
            QPushButton(text) for text in ("Track from here", "Track backwards from here", "Cancel")
        )
        self.progress, self.status = QProgressBar(), QLabel("Draw every object on one frame, then track from there.")
        self.status.setWordWrap(True)
        self._arrange()
        self.forward.clicked.connect(lambda *_: self.start("forward"))
        self.backward.clicked.connect(lambda *_: self.start("backward"))
        self.cancel.clicked.connect(lambda *_: self.stop())
        for event in _LAYERS:
            getattr(self.viewer.layers.events, event).connect(self._list_layers)
        self._list_layers()
        self._show_running(None)

    def start(self, direction: Literal["forward", "backward"]) -> None:
        """Track from the frame that the viewer shows."""
        try:
            request = self._request(direction)
        except SelfvosError as error:
            self._fail(error)
            return
        self._target = self._target_of(request)
        self.progress.setRange(0, len(request))
        self.progress.setValue(0)
        self.status.setText("Loading the network ...")
        self._show_running(Running(request))

    def stop(self) -> None:
        """Ask the tracking to end after the frame at hand; what was tracked stays."""
        if self.running is not None:
            self.running.stop()
            self.status.setText("Stopped; the frames so far are kept.")

    def closeEvent(self, event: Any) -> None:  # noqa: N802
        """Stop with the widget."""
        self.stop()
        for name in _LAYERS:
            getattr(self.viewer.layers.events, name).disconnect(self._list_layers)
        super().closeEvent(event)

    def _arrange(self) -> None:
        form = QFormLayout()
        fields = {"Image": self.image, "Labels": self.labels, "Weights": self.weights, "Quality": self.quality}
        for name, field in fields.items():
            form.addRow(name, field)
        buttons = QHBoxLayout()
        buttons.addWidget(self.backward)
        buttons.addWidget(self.forward)
        column = QVBoxLayout(self)
        column.addLayout(form)
        column.addLayout(buttons)
        for below in (self.progress, self.cancel, self.status):
            column.addWidget(below)
        column.addStretch()

    def _list_layers(self, _: Any = None) -> None:
        for box, kind in ((self.image, Image), (self.labels, Labels)):
            before = box.currentText()
            box.clear()
            box.addItems([layer.name for layer in self.viewer.layers if type(layer) is kind])
            box.setCurrentText(before)

    def _chosen(self, box: QComboBox, what: str) -> Any:
        if box.currentText() not in self.viewer.layers:
            raise SelfvosError(f"choose the {what} layer first; add one if there is none")
        return self.viewer.layers[box.currentText()]

    def _request(self, direction: Literal["forward", "backward"]) -> Request:
        image, labels = self._chosen(self.image, "image"), self._chosen(self.labels, "labels")
        data = image.data[0] if image.multiscale else image.data
        low, high = image.contrast_limits
        frames = LayerFrames(data, (float(low), float(high)), rgb=image.rgb)
        frame = int(np.clip(round(image.world_to_data(self.viewer.dims.point)[0]), 0, len(frames) - 1))
        return Request(
            frames=frames,
            frame=frame,
            labels=labels_of(labels.data, frame, len(frames)).copy(),
            direction=direction,
            weights=self.weights.currentText(),
            quality=self.quality.currentText(),
        )

    def _target_of(self, request: Request) -> Any:
        """Return the layer that is tracked into: the chosen one if it was made here, else a new one."""
        chosen, image = self._chosen(self.labels, "labels"), self._chosen(self.image, "image")
        if chosen.metadata.get(_OURS):
            return chosen
        empty = np.zeros((len(request.frames), *request.frames.size), np.uint16)
        name, place = f"{chosen.name} tracked", {"scale": image.scale[:3], "translate": image.translate[:3]}
        target = self.viewer.add_labels(empty, name=name, metadata={_OURS: True}, **place)
        self.labels.setCurrentText(target.name)
        return target

    def _look(self) -> None:
        """Take what has come; called by the timer."""
        running = self.running
        if running is None:
            return
        for index, labels in running.take():
            self._take(index, labels, stopped=running.stopped)
        if running.over():
            self._show_running(None)
            if running.error is not None:
                self._fail(running.error)

    def _take(self, index: int, labels: np.ndarray, *, stopped: bool) -> None:
        self._target.data[index] = labels
        self._target.refresh()
        done = self.progress.value() + 1
        self.progress.setValue(done)
        if not stopped:
            self.status.setText(
                f"{done} of {self.progress.maximum()} frames; correct any of them and track from there."
            )

    def _fail(self, error: BaseException) -> None:
        self.status.setText(str(error))
        show_error(str(error))

    def _show_running(self, running: Running | None) -> None:
        self.running = running
        for button in (self.forward, self.backward):
            button.setEnabled(running is None)
        self.cancel.setEnabled(running is not None)
        (self._timer.stop if running is None else self._timer.start)()
