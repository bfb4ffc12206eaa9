import importlib.resources
import json
from pathlib import Path

from safetensors.torch import load_file, save_file

from selfvos.models.old_notes import nested_track, read_version_1
from selfvos.models.segmenter import Segmenter, SegmenterConfig
from selfvos.models.weights import WeightsNotes, digest, load_weights, save_weights

SHIPPED = {
    "recipe": {"true_masks": "", "seed": 32, "track": {"feature": "layer2+layer3", "rounds": 1}},
    "steps": 3553,
    "track": {
        "feature": "layer2+layer3",
        "whiten": {"shrinkage": 0.03, "channels": 192},
        "rounds": 1,
        "stretch": True,
        "snap_px": 12,
        "label_scale": 4,
        "remember": "changes",
        "match": {"radius_cells": 18.0, "top_k": 6, "temperature": 0.14},
    },
    "pieces": ["1500 steps of dul at 192 px"],
}
"""Notes of the weights that shipped with version 1; of their recipe, some."""


def test_the_weights_that_shipped_say_the_same_in_new_words():
    """But for what has been found out since about tracking with them, and for how much longer the encoder learned."""
    found = read_version_1(SHIPPED)
    found.track["labels"] |= {"align": {"reach": 1, "inertia": 0.01}, "reach_cells": 18.0}
    found.track["labels"] |= {"fuse": {"colour": 0.02, "reach": 1, "inertia": 2.0, "around_cells": 4}}
    left_behind = {"frames": 14, "every": 3, "away_cells": 3.0, "around_cells": 8, "reach_cells": 36.0}
    found.track["labels"] |= {"leave": left_behind}
    found.track["show"] |= {"edge_epsilon": 1e-5, "sure": 0.92, "lines_px": 7}
    found.track["refine"] |= {"rounds": 0}
    now = load_weights(Path(str(importlib.resources.files("selfvos.models") / "assets" / "default.safetensors")))[1]
    assert found.track == now.notes.track == now.notes.quality["balanced"].track
    further = 2988 + 900 + 4400  # steps of the encoder since
    assert found.steps + further == now.notes.steps
    assert (found.supervision, found.pieces) == ("none", now.notes.pieces[: len(found.pieces)])
    assert now.digest == "80224acaef21fd0144edb4937002cb25784946447dd851ae9487e66bc1d97491"


def test_a_folder_of_true_masks_in_the_recipe_meant_supervision():
    assert read_version_1({"recipe": {"true_masks": "DAVIS/Annotations"}}).supervision == "true masks"
    assert read_version_1({"format": "crw", "untrained": ["key"]}) == WeightsNotes(format="crw", untrained=("key",))


def test_a_file_of_version_1_is_read(tmp_path):
    model = Segmenter(SegmenterConfig(backbone="lab-patches", mask_path="none"))
    path = tmp_path / "old.safetensors"
    save_weights(path, model)
    tensors = load_file(path)
    header = {"format": 1, "digest": digest(tensors), "segmenter": {"backbone": "lab-patches", "mask_path": "none"}}
    notes = {"track": {"feature": "patch", "rounds": 0}}
    save_file(tensors, path, metadata={"selfvos": json.dumps({**header, "notes": notes})})
    assert load_weights(path)[0].notes == WeightsNotes(track={"feature": {"stage": "patch"}, "refine": {"rounds": 0}})


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
