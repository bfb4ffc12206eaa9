"""Single files that hold a sequence of pictures: TIFFs of many pages and animated WebP."""

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

from PIL import Image

from selfvos.data.files import named
from selfvos.data.pictures import evenly, go_to, open_image, pages, require_pixels, shared_range, to_rgb
from selfvos.data.spans import backwards, most_held, span
from selfvos.errors import DataError
from selfvos.types import Frame


def is_stack(path: Path) -> bool:
    """Tell whether a picture file holds several pictures that are a sequence.

    Raises:
        DataError: It cannot be read.
    """
    with open_image(path) as image:
        return pages(image) > 1


class Stack:
    """The pages of one file as frames; samples of more than 8 bits are spread alike in all, as in a folder."""

    partial = False
    pixel_aspect = Fraction(1)
    sound = None

    def __init__(self, path: Path | str, *, fps: float) -> None:
        """Count the pages and look at some of them.

        Args:
            path: A TIFF or WebP file.
            fps: Frames per second where the file does not say how long its pictures are shown.

        Raises:
            DataError: It cannot be read.
        """
        self.path = Path(path)
        self.name = self.path.stem
        with open_image(self.path) as image:
            self.count = pages(image)
            some = evenly(self.count)
            self._shown = (
                shared_range((self._page(image, i) for i in some), len(some)) if image.format == "TIFF" else None
            )
            first = to_rgb(self._page(image, 0), self._shown)
            self.fps = 1000 / image.info["duration"] if image.info.get("duration") else fps
        height, width = first.shape[:2]
        self.size = (height, width)

    def exact_count(self) -> int:
        """Return the number of pages."""
        return self.count

    def __iter__(self) -> Iterator[Frame]:
        """Yield all pages in order."""
        return self.frames()

    def frames(self, start: int | None = None, stop: int | None = None, step: int = 1) -> Iterator[Frame]:
        """Yield some pages; see `Source.frames`.

        Raises:
            UsageError: There is no such page.
            DataError: A page cannot be read, or has another size than the first.
        """
        wanted = span(start, stop, step, count=self.count, name=named(self.path))
        if step > 0:
            return self._read(wanted)
        # Animations can only be decoded onwards: parts of them are read forwards, and turned round.
        return backwards(wanted, self._read, lambda last: max(0, last + 1 - most_held(self.size)))

    def _read(self, wanted: range) -> Iterator[Frame]:
        with open_image(self.path) as image:
            for index in wanted:
                rgb = to_rgb(self._page(image, index), self._shown)
                if rgb.shape[:2] != self.size:
                    came, first = (f"{height}x{width}" for height, width in (rgb.shape[:2], self.size))
                    raise DataError(f"{named(self.path)}: page {index} is {came}, the first {first}; make all one size")
                # Pillow tells when a picture of an animation is shown, in milliseconds.
                seconds = image.info["timestamp"] / 1000 if "timestamp" in image.info else index / self.fps
                yield Frame(rgb=rgb, index=index, name=f"{index:05d}", seconds=seconds)

    def _page(self, image: Image.Image, index: int) -> Image.Image:
        require_pixels(go_to(image, index), self.path)
        return image
