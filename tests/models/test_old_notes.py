from selfvos.models.old_notes import nested_track


def test_every_flat_setting_has_its_place():
    flat = {
        "rounds": 1,
        "feature": "layer3",
        "whiten": {"shrinkage": 0.1},
        "label_scale": 4,
        "labels": {"up": "nearest"},
        "snap_px": 12,
        "pinned": [0, 5],
        "size_px": [96, 128],
        "match": {"top_k": 6},
        "attend": None,
    }
    assert nested_track(flat) == {
        "refine": {"rounds": 1},
        "feature": {"stage": "layer3", "whiten": {"shrinkage": 0.1}},
        "labels": {"up": "nearest", "scale": 4},
        "show": {"edge_px": 12},
        "memory": {"permanent": [0, 5]},
        "frame": {"size_px": [96, 128]},
        "match": {"top_k": 6},
    }


def test_what_mixed_windows_still_does():
    flat = {"attend": {"radius_cells": 6}, "match": {"top_k": 10}, "pad_start": True}
    assert nested_track(flat) == {"match": {"radius_cells": 6}, "memory": {"pad_start": "fill"}}
