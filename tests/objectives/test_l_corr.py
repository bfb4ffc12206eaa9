import torch

from selfvos.objectives.base import EncodedClip
from selfvos.objectives.l_corr import LCorr, LCorrConfig
from selfvos.objectives.l_long import LLong, LLongConfig
from selfvos.objectives.l_short import LShort, LShortConfig
from selfvos.settings import override


def test_it_is_the_sum_of_both_terms(segmenter, clip):
    config = LCorrConfig(short_weight=0.5, long_weight=2.0)
    terms = LCorr(config)(EncodedClip(clip, segmenter), torch.Generator().manual_seed(4))
    generator = torch.Generator().manual_seed(4)
    short = LShort(LShortConfig())(EncodedClip(clip, segmenter), generator).total
    long = LLong(LLongConfig())(EncodedClip(clip, segmenter), generator).total
    torch.testing.assert_close(terms.total, 0.5 * short + 2 * long)
    assert terms.parts == {"short": short.detach(), "long": long.detach()}


def test_plain_frames_are_encoded_once_for_both_terms(segmenter, clip):
    encoded = EncodedClip(clip, segmenter)
    for seed in range(10):
        LCorr(LCorrConfig())(encoded, torch.Generator().manual_seed(seed))
    plain = [call for call in segmenter.calls if any(torch.equal(call, clip.frames[:, t]) for t in range(5))]
    assert len(plain) <= 5
    assert len(segmenter.calls) == len(plain) + 10


def test_settings_of_both_terms_can_be_overridden():
    config = override(LCorrConfig(), ["long.min_gap=3", "short.transform.min_scale=0.8", "short_weight=0"])
    objective = LCorr(config)
    assert objective.long.config.min_gap == 3
    assert objective.short.config.transform.min_scale == 0.8
    assert config.short_weight == 0
