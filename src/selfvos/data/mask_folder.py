"""Plain folders of masks, as benchmarks and their servers take them."""

from pathlib import Path
from types import TracebackType

from selfvos.data.mask_png import write_mask
from selfvos.data.overlay_video import OverlayVideo
from selfvos.types import Tracked


class MaskFolder:
    """Writes masks as PNGs named like their frames, and an overlay video if wanted, one frame at a time.

    Nothing is lost when the `with` block is left early, by Ctrl-C or an error: each PNG is whole as soon as it has
    its name, and the overlay of the frames so far is finished before the exception goes on its way.
    """

    def __init__(self, masks: Path | str, *, overlay_video: Path | str | None = None) -> None:
        """Remember where to write.

        Args:
            masks: Folder for the PNGs.
            overlay_video: The mp4 to write; None for none.
        """
        self.masks = Path(masks)
        self._overlay = None if overlay_video is None else OverlayVideo(overlay_video)

    def __enter__(self) -> "MaskFolder":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._overlay is not None:
            self._overlay.__exit__(kind, error, trace)

    def write(self, tracked: Tracked) -> None:
        """Write one frame's mask, and add it to the overlay.

        Raises:
            OutOfSpace: The disk is full; what was written before is whole.
            DataError: The frame has another size than the first.
        """
        write_mask(self.masks / f"{tracked.frame.name}.png", tracked.mask)
        if self._overlay is not None:
            self._overlay.write(tracked.frame, tracked.mask)
