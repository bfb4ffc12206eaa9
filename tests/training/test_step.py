import pytest

from selfvos.models.segmenter import Segmenter, SegmenterConfig
from selfvos.training.settings import ObjectiveSpec
from selfvos.training.step import TrainingStep


@pytest.mark.parametrize(("last_stage", "width"), [(3, 256), (4, 512)])
def test_heads_are_as_wide_as_the_feature_that_they_work_on(last_stage, width):
    model = Segmenter(SegmenterConfig(backbone="resnet18", last_stage=last_stage, mask_path="none"))
    step = TrainingStep(model, (ObjectiveSpec(name="mast"), ObjectiveSpec(name="mast", settings={"feature": "layer2"})))
    assert [objective.config.feature_channels for objective in step.objectives] == [width, 128]


def test_a_width_that_is_set_stays():
    model = Segmenter(SegmenterConfig(backbone="resnet18", last_stage=3, mask_path="none"))
    step = TrainingStep(model, (ObjectiveSpec(name="mast", settings={"feature_channels": 64}),))
    assert step.objectives[0].config.feature_channels == 64
