"""Cameras and network streams, opened for reading. Only what a person names is opened, never what a file names."""

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import av
from av.container import InputContainer
from av.error import ExitError, FFmpegError
from av.video.stream import VideoStream

from selfvos.data.pictures import MOST_PIXELS
from selfvos.errors import BrokenVideo, UsageError

_CAMERAS = {"linux": "v4l2", "darwin": "avfoundation", "win32": "dshow"}
_IP = "tcp,tls"
_PROTOCOLS = {
    "rtsp": f"rtsp,rtp,udp,{_IP}",
    "rtsps": f"rtsp,rtsps,rtp,udp,{_IP}",
    "rtmp": f"rtmp,{_IP}",
    "rtp": "rtp,udp",
    "udp": "udp",
    "tcp": "tcp",
    "srt": "srt,udp",
    "http": f"http,https,crypto,{_IP}",
    "https": f"http,https,crypto,{_IP}",
}
"""What each scheme may open on the way; files are never among it, whatever a playlist says."""
_FORMATS = "rtsp,rtp,sdp,hls,flv,mpegts,mpeg,mpegvideo,mpjpeg,mjpeg,h264,hevc,mov,mp4,m4a,matroska,webm"
_ON_DEMAND = {"http", "https"}
_QUICK = {"probesize": "500000", "analyzeduration": "1000000"}
"""Less is read before the first picture. (`nobuffer` would throw it away, and with it the first key frame.)"""


@dataclass(frozen=True)
class Address:
    """Where live pictures come from."""

    url: str
    """As FFmpeg takes it; may hold a password."""
    scheme: str
    """``camera``, or the scheme of the URL."""
    shown: str
    """As it may be written into messages and files: without user and password."""
    name: str
    """What to call the video."""


def is_live(what: object) -> bool:
    """Tell whether a text means a camera (``0``, ``1`` ...) or a stream (``rtsp://...``), and no file of this name."""
    if not isinstance(what, str):
        return False
    return (what.isdecimal() and not Path(what).exists()) or re.match(r"[a-z]+://", what, re.IGNORECASE) is not None


def address_of(what: str) -> Address:
    """Return where a text that a person gave leads to.

    Raises:
        UsageError: It is neither the number of a camera nor a stream of a known kind.
    """
    if what.isdecimal():
        return Address(what, "camera", f"camera {int(what)}", f"camera{int(what)}")
    try:
        parts = urlsplit(what)
        host, port = parts.hostname or "", parts.port
    except ValueError as error:
        raise UsageError(f"the address of the stream cannot be read ({error}); write it as rtsp://host/path") from error
    if parts.scheme not in _PROTOCOLS:
        known = ", ".join(sorted(_PROTOCOLS))
        raise UsageError(f"{parts.scheme}:// is no live stream; known are {known}, and cameras by number (0)")
    place = f"{host}:{port}" if port else host
    name = re.sub(r"[^A-Za-z0-9]+", "-", f"{host}{parts.path}").strip("-") or parts.scheme
    return Address(what, parts.scheme, f"{parts.scheme}://{place}{parts.path}", name)


@contextmanager
def opened_live(address: Address, *, patience_s: float) -> Iterator[tuple[InputContainer, VideoStream]]:
    """Open a camera or stream.

    Args:
        address: Where.
        patience_s: Seconds without any data, while opening or later, after which it counts as gone.

    Raises:
        BrokenVideo: Nothing that can be decoded comes from there; or it is a recording with an end.
    """
    try:
        container = _open(address, patience_s)
    except FFmpegError as error:
        raise BrokenVideo(f"{address.shown} cannot be opened: {reason(error, patience_s)}") from error
    with container:
        yield container, _pictures(container, address)


def reason(error: FFmpegError, patience_s: float) -> str:
    """Return why reading failed, in words that hold no password."""
    if isinstance(error, ExitError):
        return f"nothing came for {patience_s:g} s; check the address, and that it is sending"
    return f"{error.strerror}; check the address, and that it is sending"


def _open(address: Address, patience_s: float) -> InputContainer:
    if address.scheme == "camera":
        form = _CAMERAS.get(sys.platform, "v4l2")
        return av.open(_device(form, int(address.url)), format=form, timeout=patience_s)
    options = _QUICK | {"protocol_whitelist": _PROTOCOLS[address.scheme], "format_whitelist": _FORMATS}
    if address.scheme.startswith("rtsp"):
        options["rtsp_transport"] = "tcp"  # over UDP, lost packets smear the picture until the next key frame
    return av.open(address.url, options=options, timeout=patience_s, metadata_errors="replace")


def _device(form: str, number: int) -> str:
    if form == "v4l2":
        return f"/dev/video{number}"
    if form == "avfoundation":
        return str(number)
    cameras = [device.name for device in av.enumerate_input_devices(form) if "video" in device.media_types]
    if number >= len(cameras):
        raise BrokenVideo(f"no camera {number}: {len(cameras)} found; connect one, or give another number")
    return f"video={cameras[number]}"


def _pictures(container: InputContainer, address: Address) -> VideoStream:
    stream = container.streams.best("video")
    if not isinstance(stream, VideoStream) or stream.codec_context is None:
        raise BrokenVideo(f"{address.shown} sends no video that can be decoded; choose another stream of it")
    if address.scheme in _ON_DEMAND and (container.duration or 0) > 0:
        seconds = (container.duration or 0) / av.time_base
        raise BrokenVideo(
            f"{address.shown} is a recording of {seconds:.0f} s, no live stream; download it, track the file"
        )
    stream.codec_context.options = {"max_pixels": str(MOST_PIXELS)}
    stream.thread_type = "SLICE"  # threads by frame would hold back as many frames
    return stream
