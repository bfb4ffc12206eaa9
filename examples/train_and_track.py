"""Learn from a folder of unlabelled videos with a changed recipe, then track with the result.

Usage: python examples/train_and_track.py VIDEOS RUN VIDEO MASK.png [SETTING=VALUE ...]
"""

import sys

import selfvos


def main(videos: str, run: str, video: str, mask: str, *settings: str) -> None:
    """Train the tiny recipe and print the confidence of the first object in every frame."""
    config = selfvos.override(selfvos.recipes.mask_vos_resnet18_tiny(), settings)
    weights = selfvos.train(config, videos=videos, out=run)
    for tracked in selfvos.track(selfvos.load(weights), video, first_mask=mask):
        print(tracked.frame.index, round(tracked.objects[0].confidence, 3))


if __name__ == "__main__":
    main(*sys.argv[1:])
