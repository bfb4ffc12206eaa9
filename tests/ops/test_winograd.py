import pytest
import torch
from torch.nn import functional as F

from selfvos.ops import winograd
from selfvos.ops.kernels.loading import convolution_kernel
from selfvos.ops.threads import computing

pytestmark = pytest.mark.skipif(convolution_kernel() is None, reason="needs numba")


def layer(c: int, d: int, *size: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    maps = torch.randn(2, c, *size).to(memory_format=torch.channels_last)
    return maps, torch.randn(d, c, 3, 3) / c, torch.randn(d)


@pytest.mark.parametrize("size", [(1, 1), (4, 4), (5, 3), (13, 18), (16, 21)])
def test_it_is_a_convolution(size):
    maps, weight, bias = layer(16, 32, *size)
    found = winograd.convolve(maps, winograd.transform(weight), bias)
    wanted = F.conv2d(maps.double(), weight.double(), bias.double(), padding=1)
    torch.testing.assert_close(found.double(), wanted, atol=2e-5, rtol=1e-5)
    assert found.is_contiguous(memory_format=torch.channels_last)


def test_it_adds_and_rectifies():
    maps, weight, bias = layer(32, 16, 6, 7)
    added = torch.randn(2, 16, 6, 7)
    found = winograd.convolve(maps, winograd.transform(weight), bias, added=added, rectify=True)
    wanted = torch.relu(F.conv2d(maps, weight, bias, padding=1) + added)
    torch.testing.assert_close(found, wanted, atol=2e-5, rtol=1e-5)


def test_neither_parts_nor_threads_change_the_result(monkeypatch):
    maps, weight, bias = layer(16, 16, 22, 9)
    weight = winograd.transform(weight)
    whole = winograd.convolve(maps, weight, bias)
    monkeypatch.setattr(winograd, "_MOST", 1)
    rows = winograd.convolve(maps, weight, bias)
    torch.testing.assert_close(rows, whole, atol=1e-6, rtol=1e-6)
    with computing(3):
        torch.testing.assert_close(winograd.convolve(maps, weight, bias), rows, atol=0, rtol=0)


@pytest.mark.parametrize("broken", [torch.nan, torch.inf])
def test_what_is_not_a_number_stays_to_be_noticed(broken):
    maps, weight, bias = layer(16, 16, 8, 8)
    maps[0, 3, 5, 5] = broken
    found = winograd.convolve(maps, winograd.transform(weight), bias, rectify=True)
    assert not found[0, :, 4:8, 4:8].isfinite().any()
    assert found[1].isfinite().all()
