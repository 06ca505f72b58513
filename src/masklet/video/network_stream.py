"""Network streams as live videos: RTSP, HTTP(S) with HLS or MJPEG, RTMP, SRT and UDP."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import av

from masklet.errors import VideoError
from masklet.video.camera_connection import CameraImage
from masklet.video.cameras import Camera, CameraOptions
from masklet.video.containers import FFMPEG_DEMUXERS
from masklet.video.orientation import rotate_upright
from masklet.video.raw_frame import compute_display_size, convert_frame, read_display_matrix

_FFMPEG_ERRORS = (av.FFmpegError, OSError, ValueError)
_HTTP = "http,https,httpproxy,tcp,tls,crypto"
_RTSP = "rtsp,rtp,srtp,udp,tcp,tls"
_PROTOCOLS = {  # that FFmpeg may use for each scheme; never "file"
    "http": _HTTP,
    "https": _HTTP,
    "rtsp": _RTSP,
    "rtsps": _RTSP,
    "rtmp": "rtmp,tcp",
    "srt": "srt",
    "udp": "udp",
}
_DEMUXERS = f"{FFMPEG_DEMUXERS},hls,rtsp,sdp,rtp,mpjpeg,mjpeg,h264,hevc,live_flv"


def stream(url: str, options: CameraOptions | None = None) -> Camera:
    """Open a network stream as a `LiveVideo`.

    An endless stream behaves like a camera: iteration gives the latest image each time. A stream with an end, such as
    a file on a server, gives all its frames and then ends. Streams are decoded in this process, so open only those
    from trusted sources.

    Args:
        url: An address with the scheme rtsp, rtsps, http, https, rtmp, srt or udp.
        options: Timeouts and frame size.

    Raises:
        VideoError: `reference-file-refused`. The address has another scheme.
        ResourceError: `camera-not-found`. There is no image within the timeout. Iteration raises `camera-lost`.

    Example:
        >>> for frame in masklet.stream("rtsp://192.168.0.9/live"):
        ...     print(frame.index, frame.time, frame.image.shape)
    """
    scheme = urlsplit(url).scheme.lower()
    if scheme not in _PROTOCOLS:
        message = f"{url} is not the address of a stream; it must begin with {', '.join(_PROTOCOLS)}, followed by ://"
        raise VideoError("reference-file-refused", message)
    options = options or CameraOptions()
    return Camera(url, lambda: _StreamSource(url, options), options)


class _StreamSource:
    """A `CameraSource` for network streams, through FFmpeg."""

    def __init__(self, url: str, options: CameraOptions) -> None:
        rules = {"protocol_whitelist": _PROTOCOLS[urlsplit(url).scheme.lower()], "format_whitelist": _DEMUXERS}
        transport = {"rtsp_transport": "tcp"} if url.lower().startswith("rtsp") else {}
        timeouts = (options.connect_timeout_s, options.timeout_s)
        self._container = av.open(url, "r", options={**rules, **transport}, timeout=timeouts)
        if not self._container.streams.video:
            raise OSError("it has no video stream")
        self._stream = self._container.streams.video[0]
        self._stream.thread_type = "AUTO"
        self.live = self._container.duration is None
        self._frames: Iterator[Any] = self._container.decode(self._stream)

    def read(self) -> CameraImage | None:
        """Wait for the next image and return it."""
        try:
            frame = next(self._frames, None)
        except _FFMPEG_ERRORS as cause:
            raise OSError(str(cause)) from cause
        if frame is None:
            raise OSError("the stream has ended") if self.live else EOFError
        size = compute_display_size(frame, self._stream.sample_aspect_ratio)
        raw = convert_frame(frame, size, frame.time, corrupt=frame.is_corrupt)
        return CameraImage(rotate_upright(raw, read_display_matrix(frame)), frame.time)

    def close(self) -> None:
        """Disconnect."""
        self._container.close()
