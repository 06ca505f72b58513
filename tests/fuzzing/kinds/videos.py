"""Videos: five containers with images and audio, and files that name other files."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

from fuzzing.canary import Canary
from fuzzing.mutation import mutate_bytes, mutate_head, mutate_text
from fuzzing.target import Target, require
from masklet.errors import InputNotFound, VideoError
from masklet.formats.audio_extraction import extract_audio
from masklet.video import VideoOptions, open_video
from support.clips import write_clip
from support.sound_clips import write_sound_clip

IN_PROCESS = VideoOptions(isolated=False, max_pixels=1_000_000)
VP9 = {"codec": "libvpx-vp9", "options": {"cpu-used": "8", "deadline": "realtime", "g": "4"}}
CLIPS: dict[str, dict[str, Any]] = {
    "mp4": {"options": {"g": "4", "bf": "2"}},
    "mkv": {"options": {"g": "4"}},
    "ts": {"codec": "mpeg2video", "options": {"g": "4"}},
    "webm": VP9,
    "avi": {"codec": "mjpeg"},
}
REFERENCES = {
    "list.ffconcat": "ffconcat version 1.0\nfile {canary}\n",
    "list.m3u8": "#EXTM3U\n#EXT-X-TARGETDURATION:3\n#EXTINF:3,\n{canary}\n#EXT-X-ENDLIST\n",
    "session.sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5000 RTP/AVP 96\n",
    "list.mpd": '<?xml version="1.0"?>\n<MPD xmlns="urn:mpeg:dash:schema:mpd:2011">{canary}</MPD>',
    "list.pls": "[playlist]\nFile1={canary}\n",
    "list.asx": "<asx version=\"3.0\"><entry><ref href='{canary}'/></entry></asx>",
}
_FRAMES = 10
_SIZE = (32, 64)


def check_video(path: Path) -> None:
    """Read every frame, and compare the number, the order, the sizes and the times."""
    with open_video(path, IN_PROCESS) as video:
        frames = list(video)
        require(len(frames) == len(video), f"{len(frames)} frames of {len(video)}")
        require([frame.index for frame in frames] == list(range(len(frames))), "the frames are not in order")
        require(tuple(frame.time for frame in frames) == video.times, "the times differ")
        times = [time for time in video.times if time is not None]  # a file may state none
        require(times == sorted(times), "the times descend")
        require({frame.image.shape for frame in frames} <= {(*video.size, 3)}, "the sizes differ")


def _check_without_access(path: Path, canary: Canary) -> None:
    try:
        check_video(path)
    finally:
        require(not canary.was_opened(), "the file that the input names was opened")


def _check_audio(path: Path) -> None:
    target = path.with_name("audio.mp4")
    extract_audio(path, target, 0, 2, lambda code, text: None)
    target.unlink(missing_ok=True)


def _name_in_mp4(content: bytes, canary: Path) -> bytes:
    """Let the data reference of an MP4 file name another file."""
    name = b"\0\0\0\0" + b"file://" + str(canary).encode() + b"\0"
    place = content.index(b"dref") - 4
    entry = (8 + len(name)).to_bytes(4, "big") + b"url " + name
    box = (16 + len(entry)).to_bytes(4, "big") + b"dref" + content[place + 8 : place + 16] + entry
    old = int.from_bytes(content[place : place + 4], "big")
    data = bytearray(content[:place] + box + content[place + old :])
    for outer in (b"moov", b"trak", b"mdia", b"minf", b"dinf"):
        start = data.index(outer) - 4
        data[start : start + 4] = (int.from_bytes(data[start : start + 4], "big") + len(box) - old).to_bytes(4, "big")
    return bytes(data)


@contextmanager
def open_targets(folder: Path) -> Iterator[list[Target]]:
    """Open the targets: each container, the audio of two, and files that name a canary."""
    canary = Canary(folder / "canary.ts")
    errors = (VideoError, InputNotFound)
    targets = []
    for suffix, options in CLIPS.items():
        path = folder / f"clip.{suffix}"
        seeds = [write_clip(path, _FRAMES, size=_SIZE, **options).read_bytes()]
        if suffix == "mp4":
            seeds += [_name_in_mp4(seeds[0], canary.path)]
        targets.append(Target(suffix, path, seeds, partial(_check_without_access, path, canary), _mutate, errors))
    for suffix, codecs in (("mkv", ("aac", "pcm_s16le")), ("flv", ("libmp3lame",)), ("mp4", ("aac",))):
        path = folder / f"sound.{suffix}"
        seed = write_sound_clip(path, sounds=codecs, frames=4, rate=10).read_bytes()
        targets.append(Target(f"sound-{suffix}", path, [seed], partial(_check_audio, path), _mutate))
    path = folder / "list"
    seeds = [text.format(canary=canary.path).encode() for text in REFERENCES.values()]
    targets.append(
        _References("references", path, seeds, partial(_check_without_access, path, canary), mutate_text, errors)
    )
    yield targets


class _References(Target):
    """Files that name others, all of which are refused."""

    def run(self, content: bytes) -> str:
        """Check a content, which is refused also if it is as it should be."""
        super().run(content)
        return ""


def _mutate(content: bytes, rng: Random) -> bytes:
    return (mutate_bytes if rng.random() < 0.5 else mutate_head)(content, rng)
