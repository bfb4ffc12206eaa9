"""Files that strangers might send: playlists in disguise and bombs, and a port that knows who called it."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import av
import numpy as np


def scripts(secret: Path, port: int) -> dict[str, str]:
    """Return playlists and descriptions that name another file, or a server, by the names that they hide behind."""
    return {
        "a.mp4": f"ffconcat version 1.0\nfile {secret}\n",
        "b.mp4": f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile://{secret}\n#EXT-X-ENDLIST\n",
        "c.mp4": f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nhttp://127.0.0.1:{port}/x.ts\n#EXT-X-ENDLIST\n",
        "d.mkv": f"#EXTM3U\n#EXT-X-MEDIA-SEQUENCE:0\n#EXTINF:1,\nconcat:{secret}|{secret}\n",
        "e.avi": f"ffconcat version 1.0\nfile http://127.0.0.1:{port}/x.mp4\n",
        "f.mp4": f"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nm=video {port} RTP/AVP 96\n",
        "g.mp4": f"<?xml version='1.0'?><MPD xmlns='urn:mpeg:dash:schema:mpd:2011'><Period><AdaptationSet>"
        f"<BaseURL>http://127.0.0.1:{port}/</BaseURL></AdaptationSet></Period></MPD>",
        "h.webm": f"[playlist]\nFile1=http://127.0.0.1:{port}/x.mp4\n",
        "i.gif": f"#EXTM3U\n#EXTINF:1,\nsubfile,,start,0,end,0,,:{secret}\n",
        "j.mp4": f"rtsp://127.0.0.1:{port}/x\n",
    }


def bombs(folder: Path) -> list[Path]:
    """Write small files that announce more pixels than any machine has room for."""
    film, gif, tiff = folder / "bomb.mp4", folder / "bomb.gif", folder / "bomb.tif"
    with av.open(str(film), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"preset": "ultrafast", "bf": "0"})
        stream.width, stream.height, stream.pix_fmt = 7680, 4320, "yuv420p"
        black = av.VideoFrame.from_ndarray(np.zeros((4320 * 3 // 2, 7680), np.uint8), format="yuv420p")
        made = [packet for _ in range(2) for packet in stream.encode(black)] + list(stream.encode(None))
        content = [bytes(packet) for packet in made]
        for number in range(600):  # the same change again and again costs nobody but the decoder anything
            packet = av.Packet(content[min(number, len(content) - 1)])
            packet.stream, packet.pts, packet.dts, packet.duration = stream, number * 512, number * 512, 512
            packet.time_base, packet.is_keyframe = made[0].time_base, number == 0
            container.mux(packet)
    gif.write_bytes(b"GIF89a" + bytes([0xFF, 0xFF] * 2) + b"\0\0\0" + b"," + bytes(4) + bytes([0xFF] * 4) + b"\0\2\0;")
    tags = [(256, 3, 1, 60000), (257, 3, 1, 60000), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1), (273, 4, 1, 8)]
    tags += [(277, 3, 1, 1), (278, 4, 1, 60000), (279, 4, 1, 100)]
    entries = b"".join(
        number.to_bytes(2, "little")
        + kind.to_bytes(2, "little")
        + count.to_bytes(4, "little")
        + value.to_bytes(4, "little")
        for number, kind, count, value in tags
    )
    tiff.write_bytes(b"II*\0\x08\0\0\0" + len(tags).to_bytes(2, "little") + entries + bytes(4))
    return [film, gif, tiff]


@contextmanager
def called_port() -> Iterator[tuple[int, list[object]]]:
    """Listen on a port; yield its number and who has called it."""
    found: list[object] = []
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        server.settimeout(0.1)
        over = threading.Event()

        def listen() -> None:
            while not over.is_set():
                try:
                    found.append(server.accept()[1])
                except TimeoutError:
                    continue

        thread = threading.Thread(target=listen)
        thread.start()
        try:
            yield server.getsockname()[1], found
        finally:
            over.set()
            thread.join()
