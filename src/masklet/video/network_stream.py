"""Video from the network, when it is asked for by its address."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import av

from masklet.errors import VideoError
from masklet.video.cameras import Camera, CameraImage, CameraOptions
from masklet.video.containers import FFMPEG_DEMUXERS
from masklet.video.orientation import rotate_upright
from masklet.video.raw_frame import compute_display_size, convert_frame, read_display_matrix

_FAULTS = (av.FFmpegError, OSError, ValueError)
_WEB = "http,https,httpproxy,tcp,tls,crypto"
_PROTOCOLS = {  # by scheme: what may be spoken; never "file"
    "http": _WEB,
    "https": _WEB,
    "rtsp": "rtsp,rtp,srtp,udp,tcp,tls",
    "rtsps": "rtsp,rtp,srtp,udp,tcp,tls",
    "rtmp": "rtmp,tcp",
    "srt": "srt",
    "udp": "udp",
}
_READERS = f"{FFMPEG_DEMUXERS},hls,rtsp,sdp,rtp,mpjpeg,mjpeg,h264,hevc,live_flv"


def stream(url: str, options: CameraOptions | None = None) -> Camera:
    """The video at an address: RTSP, HTTP(S) with HLS or MJPEG, RTMP, SRT or UDP.

    What goes on for ever is shown like a camera, always with its latest picture; what has an end is shown whole and
    ends; it is waited for and never begun again. It is decoded in this process: open only what you trust. Raises
    `VideoError` (`reference-file-refused`) for other kinds of address, `ResourceError` (`camera-not-found`) where no
    picture comes, `camera-lost` later on.
    """
    scheme = urlsplit(url).scheme.lower()
    if scheme not in _PROTOCOLS:
        message = f"{url} is no address of a stream; they begin with {', '.join(_PROTOCOLS)}, followed by ://"
        raise VideoError("reference-file-refused", message)
    options = options or CameraOptions()
    return Camera(url, lambda: StreamSource(url, options), options)


class StreamSource:
    """A network stream through FFmpeg."""

    def __init__(self, url: str, options: CameraOptions) -> None:
        rules = {"protocol_whitelist": _PROTOCOLS[urlsplit(url).scheme.lower()], "format_whitelist": _READERS}
        transport = {"rtsp_transport": "tcp"} if url.lower().startswith("rtsp") else {}
        self._container = av.open(
            url, "r", options={**rules, **transport}, timeout=(options.connect_timeout_s, options.timeout_s)
        )
        if not self._container.streams.video:
            raise OSError("there is no video in it")
        self._stream = self._container.streams.video[0]
        self._stream.thread_type = "AUTO"
        self.live = self._container.duration is None
        self._frames: Iterator[Any] = self._container.decode(self._stream)

    def read(self) -> CameraImage | None:
        """The next picture; blocks until there is one."""
        try:
            frame = next(self._frames, None)
        except _FAULTS as cause:
            raise OSError(str(cause)) from cause
        if frame is None:
            raise OSError("the stream has broken off") if self.live else EOFError
        size = compute_display_size(frame, self._stream.sample_aspect_ratio)
        raw = convert_frame(frame, size, frame.time, corrupt=frame.is_corrupt)
        return CameraImage(rotate_upright(raw, read_display_matrix(frame)), frame.time)

    def close(self) -> None:
        """Hang up."""
        self._container.close()
