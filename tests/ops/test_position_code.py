import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from selfvos.errors import UsageError
from selfvos.ops.position_code import add_position, position_code


def unit(*shape: int) -> torch.Tensor:
    features = torch.randn(*shape, generator=torch.Generator().manual_seed(0))
    return torch.nn.functional.normalize(features, dim=-1)


def test_known_code_of_one_place():
    expected = [0.841471, 0.540302, 0.010000, 0.999950]
    expected += [0.909297, -0.416147, 0.019999, 0.999800]
    expected += [0.141120, -0.989992, 0.029996, 0.999550]
    code = position_code(2, 3, 4, channels=12)
    torch.testing.assert_close(code[1, 2, 3], torch.tensor(expected), atol=1e-6, rtol=0)


@pytest.mark.parametrize(("offset", "squared"), [(1, 1.6144), (2, 5.4155), (4, 11.0281), (8, 13.4108)])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_known_squared_distances_along_one_axis(offset, squared, axis):
    shape = [1, 1, 1]
    shape[axis] = 12
    code = position_code(*shape, channels=128).view(12, 128)
    for start in range(12 - offset):
        assert (code[start + offset] - code[start]).square().sum().item() == pytest.approx(squared, abs=2e-4)


@given(channels=st.integers(6, 70), t=st.integers(1, 3), h=st.integers(1, 4), w=st.integers(1, 5))
def test_every_code_has_the_same_length_and_ends_in_zeros(channels, t, h, w):
    d = 2 * (channels // 6)
    code = position_code(t, h, w, channels)
    assert code.shape == (t, h, w, channels)
    torch.testing.assert_close(code.norm(dim=-1), torch.full((t, h, w), math.sqrt(1.5 * d)))
    assert (code[..., 3 * d :] == 0).all()


def test_length_for_128_channels_is_the_published_one():
    assert position_code(1, 1, 1, 128).norm().item() == pytest.approx(7.937, abs=1e-3)


def test_a_smaller_base_lets_far_distances_grow():
    far = [position_code(1, 1, 60, 48, base=base)[0, 0] for base in (10000.0, 100.0)]
    assert (far[1][59] - far[1][0]).norm() > (far[0][59] - far[0][0]).norm()


@pytest.mark.parametrize("mode", ["add", "concat"])
@pytest.mark.parametrize("weight", [0.25, 2.0])
def test_the_given_code_has_the_length_of_its_weight(mode, weight):
    features = unit(2, 3, 4, 20)
    given_to = add_position(features, weight, mode)
    code = given_to - features if mode == "add" else given_to[..., 20:]
    torch.testing.assert_close(code.norm(dim=-1), torch.full((2, 3, 4), weight), atol=1e-5, rtol=1e-5)
    if mode == "concat":
        assert torch.equal(given_to[..., :20], features)


def test_weight_zero_leaves_features_alone():
    features = unit(2, 3, 4, 4)
    assert torch.equal(add_position(features, 0.0, "add"), features)


def test_frames_say_where_in_the_video_features_are():
    features = unit(9, 2, 3, 12)
    picked = torch.tensor([0, 4, 8])
    whole = add_position(features, 0.5, "add")
    assert torch.equal(add_position(features[picked], 0.5, "add", frames=picked), whole[picked])


def test_dtype_is_kept():
    assert add_position(unit(1, 2, 2, 12).bfloat16(), 0.5, "concat").dtype == torch.bfloat16


def test_too_few_channels_are_refused():
    with pytest.raises(UsageError, match="at least 6 channels, got 5"):
        position_code(1, 1, 1, 5)
    with pytest.raises(UsageError, match="at least 6 channels, got 4"):
        add_position(unit(1, 1, 1, 4), 0.5, "add")
