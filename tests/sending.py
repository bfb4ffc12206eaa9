"""A stream sent to this machine itself, in place of a camera."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import av
import numpy as np

FPS = 25


def free_port() -> int:
    """Return a UDP port that nobody listens on."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


@contextmanager
def sending(port: int, picture: Callable[[int], np.ndarray], count: int | None = None) -> Iterator[threading.Thread]:
    """Send pictures as MPEG-TS over UDP, at 25 a second, until the block ends or so many are sent."""
    left = threading.Event()
    thread = threading.Thread(target=_send, args=(port, picture, count, left), daemon=True)
    thread.start()
    try:
        yield thread
    finally:
        left.set()
        thread.join()


def _send(port: int, picture: Callable[[int], np.ndarray], count: int | None, left: threading.Event) -> None:
    options = {"flush_packets": "1", "pes_payload_size": "0"}
    with av.open(f"udp://127.0.0.1:{port}?pkt_size=1316", "w", format="mpegts", options=options) as container:
        quick = {"preset": "ultrafast", "tune": "zerolatency", "g": "5", "crf": "10"}
        stream = container.add_stream("libx264", rate=FPS, options=quick)
        stream.height, stream.width = picture(0).shape[:2]
        stream.pix_fmt = "yuv420p"
        begin, t = time.monotonic(), 0
        while not left.is_set() and (count is None or t < count):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture(t), format="rgb24")))
            t += 1
            left.wait(max(0.0, begin + t / FPS - time.monotonic()))
        container.mux(stream.encode(None))
