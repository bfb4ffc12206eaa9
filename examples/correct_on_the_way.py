"""Frame by frame: start, step, and correct a frame where the mask went wrong.

Usage: python examples/correct_on_the_way.py VIDEO FIRST.png FRAME CORRECTED.png
"""

import sys

import selfvos


def main(video: str, first: str, wrong_frame: int, corrected: str) -> None:
    """Print the area of every object, before and after the correction."""
    tracker = selfvos.Tracker(selfvos.load())
    for frame in selfvos.open_source(video):
        if frame.index == 0:
            mask = tracker.start(frame.rgb, selfvos.read_mask(first))
        else:
            mask = tracker.step(frame.rgb)
        if frame.index == wrong_frame:
            mask = tracker.correct(selfvos.read_mask(corrected))
        print(frame.index, {state.id: int((mask == state.id).sum()) for state in tracker.objects})


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4])
