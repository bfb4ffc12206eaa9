"""Decoded pictures as ordinary RGB, those of high dynamic range (PQ and HLG) as well."""

from functools import lru_cache
from typing import Literal

import numpy as np
from av import VideoFrame
from av.video.reformatter import ColorPrimaries, ColorTrc
from jaxtyping import Float32, UInt8, UInt16

_WHITE_NITS = 203.0
"""Luminance of paper-white in HDR programmes (ITU-R BT.2408)."""
_HLG_PEAK_NITS = 1000.0
_KNEE = 0.75
_BT2020_TO_BT709 = np.array(
    [[1.660491, -0.587641, -0.072850], [-0.124550, 1.132900, -0.008349], [-0.018151, -0.100579, 1.118730]], np.float32
)
_BT2020_LUMINANCE = np.array([0.2627, 0.6780, 0.0593], np.float32)
_STEPS = 4096

Curve = Literal["pq", "hlg"]


def curve_of(picture: VideoFrame) -> Curve | None:
    """Return the transfer curve of a picture of high dynamic range; None for all others."""
    return {ColorTrc.SMPTE2084: "pq", ColorTrc.ARIB_STD_B67: "hlg"}.get(picture.color_trc)  # pyright: ignore


def uses_bt2020(picture: VideoFrame) -> bool:
    """Tell whether the primaries of a picture are those of BT.2020."""
    return picture.color_primaries == ColorPrimaries.BT2020


def rgb_of(picture: VideoFrame, size: tuple[int, int]) -> UInt8[np.ndarray, "y x 3"]:
    """Return a picture as ordinary RGB, scaled to a height and width: a stream may change its size on the way."""
    curve = curve_of(picture)
    form = "rgb24" if curve is None else "rgb48le"
    # One thread: at video sizes, starting several takes longer than the conversion.
    rgb = picture.to_ndarray(format=form, height=size[0], width=size[1], threads=1)
    return rgb if curve is None else tone_mapped(rgb, curve, wide=uses_bt2020(picture))


def tone_mapped(rgb: UInt16[np.ndarray, "y x 3"], curve: Curve, *, wide: bool) -> UInt8[np.ndarray, "y x 3"]:
    """Turn RGB of high dynamic range to sRGB.

    Up to three quarters of paper-white nothing changes; brighter light is rolled off so that none is cut away:
    y = k + (1 - k) t / (1 + t) with t = (x - k) / (1 - k), at the same factor for all three channels, which keeps hues.

    Args:
        rgb: Samples as the curve encodes them, 0 to 65535.
        curve: The curve.
        wide: Whether the primaries are those of BT.2020, else of BT.709.

    Source:
        Curves: SMPTE ST 2084 and ARIB STD-B67 as in ITU-R BT.2100; HLG at 1000 nits with a system gamma of 1.2.
        The roll-off is a choice of this package, made for decent pictures and not for mastering.
    """
    light = _light(curve)[rgb]
    if curve == "hlg":
        luminance = light @ _BT2020_LUMINANCE
        light *= (np.maximum(luminance, 1e-6) ** 0.2 * (_HLG_PEAK_NITS / _WHITE_NITS))[..., None]
    if wide:
        light = np.maximum(light @ _BT2020_TO_BT709.T, 0)
    brightest = light.max(axis=-1, keepdims=True)
    beyond = np.maximum(brightest - _KNEE, 0) / (1 - _KNEE)
    rolled = np.where(beyond > 0, _KNEE + (1 - _KNEE) * beyond / (1 + beyond), brightest)
    light *= rolled / np.maximum(brightest, 1e-6)
    return _srgb()[(light * _STEPS).clip(0, _STEPS).astype(np.int32)]


@lru_cache(maxsize=2)
def _light(curve: Curve) -> Float32[np.ndarray, "65536"]:
    """Return what each sample means: light relative to paper-white for PQ, light of the scene from 0 to 1 for HLG."""
    code = np.arange(65536, dtype=np.float64) / 65535
    if curve == "pq":
        m1, m2, c1, c2, c3 = 2610 / 16384, 2523 / 32, 3424 / 4096, 2413 / 128, 2392 / 128
        root = code ** (1 / m2)
        nits = 10_000 * (np.maximum(root - c1, 0) / (c2 - c3 * root)) ** (1 / m1)
        return (nits / _WHITE_NITS).astype(np.float32)
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    return np.where(code <= 0.5, code**2 / 3, (np.exp((code - c) / a) + b) / 12).astype(np.float32)


@lru_cache(maxsize=1)
def _srgb() -> UInt8[np.ndarray, "steps"]:
    light = np.arange(_STEPS + 1) / _STEPS
    code = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    return (code * 255).round().astype(np.uint8)
