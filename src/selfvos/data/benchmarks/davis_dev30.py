"""The thirty train sequences of DAVIS 2016, to choose settings by: frames where they are at hand, else clips."""

import shutil
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import MappingProxyType

from PIL import Image

from selfvos.data.benchmarks.base import BENCHMARKS, picture_of_each
from selfvos.data.benchmarks.davis import Davis, DavisVideo
from selfvos.data.video import VideoFile
from selfvos.data.video_cache import default_cache
from selfvos.errors import DataError
from selfvos.storage import sha256

UNSEEN = ("dog-agility", "drift-turn", "horsejump-low", "motorbike", "soccerball")
"""The five that the weights that ship never saw; the other twenty-five were among their unlabelled videos."""
HARD = ("kite-walk", "paragliding", "motocross-bumps", "dance-jump", "bmx-bumps", "surf", "stroller", "hockey")
"""The eight with thin lines, objects that show themselves anew, or fast motion."""
_ATTRIBUTES = {
    **dict.fromkeys(UNSEEN, ("unseen in training",)),
    **dict.fromkeys(HARD, ("hard eight",)),
}
_QUALITY = 95


@dataclass(frozen=True)
class ClipVideo(DavisVideo):
    """A sequence whose frames are in a video file, written out as pictures when first asked for."""

    clip: Path = Path()
    cache: Path = Path()
    """Folder of the pictures of all clips."""

    @property
    def frames(self) -> tuple[Path, ...]:
        """Picture of every frame, in natural order.

        Raises:
            DataError: There is no clip, or it has not as many frames as there are masks.
            BrokenVideo: It cannot be decoded.
        """
        return picture_of_each(self._written, self.frame_names)

    @cached_property
    def _written(self) -> Path:
        if not self.clip.is_file():
            raise DataError(f"sequence {self.name}: neither pictures in {self.frame_folder} nor a clip {self.clip}")
        folder = self.cache / f"{self.name}-{sha256(self.clip)[:16]}"
        if not folder.is_dir():
            self._write_pictures(folder)
        return folder

    def _write_pictures(self, folder: Path) -> None:
        temporary = folder.with_name(f".{folder.name}-{uuid.uuid4().hex[:8]}.tmp")
        temporary.mkdir(parents=True)
        try:
            count = 0
            for count, frame in enumerate(VideoFile(self.clip), start=1):
                if count <= len(self.frame_names):
                    picture = temporary / f"{self.frame_names[count - 1]}.jpg"
                    Image.fromarray(frame.rgb).save(picture, quality=_QUALITY, subsampling=0)
            if count != len(self.frame_names):
                raise DataError(f"{self.clip} has {count} frames and there are {len(self.frame_names)} masks")
            temporary.rename(folder)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


class DavisDev30(Davis):
    """DAVIS 2016 train as thirty sequences to choose by, with the means of the unseen and of the hard ones apart."""

    attributes: Mapping[str, tuple[str, ...]] = MappingProxyType(_ATTRIBUTES)

    def __init__(self, root: Path | str, *, cache: Path | None = None) -> None:
        """Read the list of sequences.

        Args:
            root: Folder of DAVIS with the list ``train``; a sequence without pictures in ``JPEGImages`` is taken from
                ``clips_<resolution>/<sequence>.mp4``, one frame for each mask.
            cache: Where pictures of clips are written; by default beside the cached videos of training.

        Raises:
            DataError: The folder is no DAVIS, or its list is missing or empty.
        """
        self._cache = cache or default_cache().with_name("frames")
        super().__init__(root, year=2016, split="train")
        self.name, self.subset = "davis-2016-dev30", "dev30"

    def _video(self, name: str) -> DavisVideo:
        video = super()._video(name)
        if video.frame_folder.is_dir():
            return video
        clip = self.root / f"clips_{self.resolution}" / f"{name}.mp4"
        return ClipVideo(
            name=name,
            frame_folder=video.frame_folder,
            mask_folder=video.mask_folder,
            merged=True,
            clip=clip,
            cache=self._cache,
        )


BENCHMARKS.register(
    "davis-2016-dev30", about="DAVIS 2016 train, thirty sequences to choose by: J and F, five unseen ones apart"
)(DavisDev30)
