"""The calls of SAM 2's README, on a video that it could not read."""

import numpy as np
import pytest
import torch
from tests import tiny

import selfvos
from selfvos.api.sam2 import VideoPredictor, build_sam2_video_predictor
from selfvos.errors import MaskMismatch, UsageError

COUNT = 6


@pytest.fixture(scope="module")
def predictor():
    model = selfvos.load("lab-patches")
    return VideoPredictor(model, selfvos.override(selfvos.TrackConfig(), ["feature.stage=patch", *small()]))


def small():
    return ["frame.short_side_px=64", "refine.rounds=0"]


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    pictures = [tiny.picture(t) for t in range(COUNT)]
    for rgb in pictures[3:]:
        rgb[box()] = (30, 60, 230)
    return tiny.write_video(tmp_path_factory.mktemp("v") / "v.mp4", pictures)


def box():
    """A second object, which appears in frame 3 and stands still."""
    mask = np.zeros((tiny.SIDE, tiny.SIDE), bool)
    mask[48:60, 40:60] = True
    return mask


def iou(logits, t):
    found, true = (logits > 0).numpy(), tiny.truth(t) > 0
    return (found & true).sum() / (found | true).sum()


def test_the_calls_of_the_readme(predictor, video):
    with torch.inference_mode(), torch.autocast("cpu", dtype=torch.bfloat16):
        state = predictor.init_state(str(video))
        frame_idx, object_ids, masks = predictor.add_new_mask(state, 0, 7, torch.from_numpy(tiny.truth(0)))
        assert (frame_idx, object_ids, masks.shape) == (0, [7], (1, 1, tiny.SIDE, tiny.SIDE))
        assert np.array_equal(masks[0, 0] > 0, tiny.truth(0) > 0)
        seen = []
        for frame_idx, object_ids, masks in predictor.propagate_in_video(state):
            assert object_ids == [7]
            assert masks.dtype == torch.float32
            assert iou(masks[0, 0], frame_idx) > 0.7
            seen.append(frame_idx)
        assert seen == list(range(COUNT))
        predictor.reset_state(state)
        with pytest.raises(UsageError, match="nothing was drawn"):
            predictor.propagate_in_video(state)


def test_masks_are_those_of_the_tracker(predictor, video):
    state = predictor.init_state(video)
    predictor.add_new_mask(state, 0, 1, tiny.truth(0))
    tracked = selfvos.track(predictor.model, video, tiny.truth(0), config=predictor.config)
    for (_, _, logits), one in zip(predictor.propagate_in_video(state), tracked, strict=True):
        assert np.array_equal(logits[0, 0].numpy() > 0, one.mask == 1)
        assert (logits == 0).sum() == 0


def test_what_programs_look_up_in_the_state(predictor, video):
    state = predictor.init_state(video, offload_video_to_cpu=True, async_loading_frames=True)
    assert (state["num_frames"], state["video_height"], state["video_width"]) == (COUNT, tiny.SIDE, tiny.SIDE)
    predictor.add_new_mask(state, 0, "dancer", tiny.truth(0))
    assert state["obj_ids"] == ["dancer"]


@pytest.mark.parametrize(
    ("drawn", "arguments", "expected"),
    [
        ((2,), {}, [2, 3, 4, 5]),
        ((2,), {"reverse": True}, [2, 1, 0]),
        ((2, 4), {}, [2, 3, 4, 5]),
        ((2, 4), {"reverse": True}, [2, 1, 0]),
        ((0,), {"max_frame_num_to_track": 2}, [0, 1, 2]),
        ((0,), {"start_frame_idx": 3, "max_frame_num_to_track": 1}, [3, 4]),
        ((0,), {"start_frame_idx": 0, "reverse": True}, [0]),
        ((5,), {"start_frame_idx": 3, "reverse": True, "max_frame_num_to_track": 1}, [3, 2]),
        ((0,), {"start_frame_idx": 4, "max_frame_num_to_track": 99}, [4, 5]),
    ],
)
def test_which_frames_are_propagated(predictor, video, drawn, arguments, expected):
    state = predictor.init_state(video)
    for frame in drawn:
        predictor.add_new_mask(state, frame, 1, tiny.truth(frame))
    answers = list(predictor.propagate_in_video(state, **arguments))
    assert [frame for frame, _, _ in answers] == expected
    assert all(iou(masks[0, 0], frame) > 0.6 for frame, _, masks in answers)


def test_objects_come_later_and_go_again(predictor, video):
    state = predictor.init_state(video)
    predictor.add_new_mask(state, 0, 1, tiny.truth(0))
    list(predictor.propagate_in_video(state))
    predictor.add_new_mask(state, 3, 2, box())  # after tracking has begun
    answers = {frame: masks for frame, _, masks in predictor.propagate_in_video(state)}
    assert not (answers[2][1] > 0).any()
    assert np.array_equal(answers[3][1, 0] > 0, box())
    assert (answers[5][1] > 0).any()
    assert iou(answers[5][0, 0], 5) > 0.6
    left, frames = predictor.remove_object(state, 1)
    assert left == [2]
    assert [(frame, masks.shape[0]) for frame, masks in frames] == [(0, 1)]
    answers = {frame: masks for frame, _, masks in predictor.propagate_in_video(state)}
    assert min(answers) == 3
    assert answers[3].shape[0] == 1
    assert predictor.remove_object(state, 99) == ([2], [])
    with pytest.raises(UsageError, match="no object 99"):
        predictor.remove_object(state, 99, strict=True)
    predictor.clear_all_prompts_in_frame(state, 3, 2)
    with pytest.raises(UsageError, match="nothing was drawn"):
        predictor.propagate_in_video(state)


def test_an_object_drawn_behind_the_way_is_followed_all_the_same(predictor, video):
    state = predictor.init_state(video)
    predictor.add_new_mask(state, 0, 1, tiny.truth(0))
    predictor.add_new_mask(state, 3, 2, box())
    answers = {frame: masks for frame, _, masks in predictor.propagate_in_video(state, start_frame_idx=3)}
    assert iou(answers[4][0, 0], 4) > 0.6


def test_a_correction_counts(predictor, video):
    state = predictor.init_state(video)
    predictor.add_new_mask(state, 0, 1, tiny.truth(0))
    before = {frame: masks > 0 for frame, _, masks in predictor.propagate_in_video(state)}
    half = tiny.truth(3) > 0
    half[28:] = False
    predictor.add_new_mask(state, 3, 1, half)
    after = {frame: masks > 0 for frame, _, masks in predictor.propagate_in_video(state)}
    assert all(torch.equal(before[t], after[t]) for t in (0, 1, 2))
    assert np.array_equal(after[3][0, 0], half)
    assert after[4].sum() < before[4].sum()


def test_shared_pixels_belong_to_what_was_drawn_last(predictor, video):
    state = predictor.init_state(video)
    predictor.add_new_mask(state, 0, "a", np.ones((tiny.SIDE, tiny.SIDE)))
    _, ids, masks = predictor.add_new_mask(state, 0, "b", tiny.truth(0))
    assert ids == ["a", "b"]
    assert np.array_equal(masks[0, 0] > 0, tiny.truth(0) == 0)
    _, _, masks = predictor.add_new_mask(state, 0, "a", np.ones((tiny.SIDE, tiny.SIDE)))
    assert not (masks[1] > 0).any()


def test_what_cannot_be_is_refused(predictor, video):
    state = predictor.init_state(video)
    with pytest.raises(UsageError, match="add_new_mask"):
        predictor.add_new_points_or_box(state, frame_idx=0, obj_id=1, points=[[1, 2]], labels=[1])
    with pytest.raises(UsageError, match="no frame 6"):
        predictor.add_new_mask(state, COUNT, 1, tiny.truth(0))
    with pytest.raises(MaskMismatch, match="the video is"):
        predictor.add_new_mask(state, 0, 1, tiny.truth(0)[:30])
    with pytest.raises(MaskMismatch, match="empty"):
        predictor.add_new_mask(state, 0, 1, np.zeros((tiny.SIDE, tiny.SIDE)))
    predictor.add_new_mask(state, 3, 1, tiny.truth(3))
    with pytest.raises(UsageError, match="frame 1 or before"):
        predictor.propagate_in_video(state, start_frame_idx=1)
    with pytest.raises(UsageError, match="one after the other"):
        predictor.init_state(iter([tiny.picture(0)]))


def test_it_is_built_by_the_name_that_programs_know():
    assert build_sam2_video_predictor("lab-patches", device="cpu").model.name == "lab-patches"
    assert VideoPredictor.from_pretrained("lab-patches").config is None
    with pytest.raises(UsageError, match="quality"):
        build_sam2_video_predictor("lab-patches", quality="best")
