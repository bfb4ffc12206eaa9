import numpy as np
import pytest

from selfvos.data.tone import tone_mapped


def pq(nits: float) -> int:
    """Encode luminance; SMPTE ST 2084, equation 5.2."""
    y = (nits / 10_000) ** (2610 / 16384)
    return round(65535 * ((3424 / 4096 + 2413 / 128 * y) / (1 + 2392 / 128 * y)) ** (2523 / 32))


def shown(nits: float) -> int:
    return int(tone_mapped(np.full((1, 1, 3), pq(nits), np.uint16), "pq", wide=True)[0, 0, 1])


def srgb(light: float) -> float:
    return 255 * (1.055 * light ** (1 / 2.4) - 0.055)


def test_light_below_the_knee_is_what_it_was():
    for light in (0.05, 0.2, 0.5, 0.74):
        assert shown(203 * light) == pytest.approx(srgb(light), abs=1.5)


def test_brighter_light_is_rolled_off_and_never_cut_away():
    levels = [shown(nits) for nits in (152, 203, 400, 1000, 2000)]
    assert levels == sorted(set(levels))
    assert levels[1] == pytest.approx(srgb(0.875), abs=1.5)


def test_hlg_reference_white_is_paper_white():
    # BT.2408: reference white is 75 % of HLG's signal, and 203 nits on a display of 1000.
    white = tone_mapped(np.full((1, 1, 3), round(0.75 * 65535), np.uint16), "hlg", wide=True)
    np.testing.assert_allclose(white, srgb(0.875), atol=2)


def test_grey_stays_grey_and_wide_red_becomes_red():
    ramp = np.repeat(np.linspace(0, 65535, 64).astype(np.uint16).reshape(8, 8, 1), 3, axis=2)
    for curve in ("pq", "hlg"):
        grey = tone_mapped(ramp, curve, wide=True).astype(int)
        assert np.abs(grey - grey[..., :1]).max() <= 1
    red = tone_mapped(np.array([[[pq(100), 0, 0]]], np.uint16), "pq", wide=True)[0, 0]
    assert red[0] > 150
    assert red[1:].max() == 0
