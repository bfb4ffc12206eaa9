"""Follow the objects of a first mask through a video and print where each one is.

Usage: python examples/track_video.py VIDEO MASK.png
"""

import sys

import numpy as np

import selfvos


def main(video: str, mask: str) -> None:
    """Print one line a frame: index, then centre and confidence of every object."""
    model = selfvos.load()
    for tracked in selfvos.track(model, video, first_mask=mask):
        places = []
        for state in tracked.objects:
            if state.lost:
                places.append(f"{state.id} lost")
                continue
            y, x = np.argwhere(tracked.mask == state.id).mean(axis=0)
            places.append(f"{state.id} at y={y:.0f} x={x:.0f} ({state.confidence:.2f})")
        print(tracked.frame.index, "; ".join(places))


if __name__ == "__main__":
    main(*sys.argv[1:3])
