"""File types, detected from the first bytes of a file and never from its name."""

from __future__ import annotations

import re

HEAD_BYTES = 4096  # enough for every signature

_SIGNATURES: tuple[tuple[int, bytes, str], ...] = (
    (0, b"version https://git-lfs", "a git-LFS pointer, not the file itself; run: git lfs pull"),
    (0, b"\xff\xd8\xff", "JPEG"),
    (0, b"\x89PNG\r\n\x1a\n", "PNG"),
    (8, b"CR\x02\0", "a camera raw file"),  # has the signature of TIFF too
    (0, b"II*\0", "TIFF"),
    (0, b"MM\0*", "TIFF"),
    (0, b"II+\0", "TIFF"),
    (0, b"MM\0+", "TIFF"),
    (8, b"WEBP", "WebP"),
    (8, b"AVI ", "an AVI video"),
    (8, b"WAVE", "a WAV audio file"),
    (0, b"GIF8", "a GIF"),
    (0, b"\x1aE\xdf\xa3", "a Matroska or WebM video"),
    (0, b"FLV\x01", "a Flash video"),
    (0, b"\0\0\x01\xba", "an MPEG program stream"),
    (0, b"\0\0\x01\xb3", "an MPEG video stream"),
    (0, b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "a Windows Media file"),
    (0, b"OggS", "an Ogg file"),
    (0, b"ID3", "an MP3 audio file"),
    (0, b"fLaC", "a FLAC audio file"),
    (0, b"#EXTM3U", "a playlist (M3U)"),
    (0, b"ffconcat", "an ffconcat script"),
    (0, b"%PDF", "a PDF"),
    (0, b"%!PS", "a PostScript file"),
    (0, b"8BPS", "a Photoshop file"),
    (0, b"\0\0\0\x0cjP  ", "JPEG 2000"),
    (0, b"\xff\x4f\xff\x51", "JPEG 2000"),
    (0, b"\0\0\0\x0cJXL ", "JPEG XL"),
    (0, b"\xff\x0a", "JPEG XL"),
    (0, b"\x76\x2f\x31\x01", "an OpenEXR image"),
    (0, b"#?RADIANCE", "a Radiance HDR image"),
    (0, b"SIMPLE  =", "a FITS file"),
    (128, b"DICM", "a DICOM file"),
    (0, b"\x89HDF", "an HDF5 file"),
    (0, b"\x93NUMPY", "a numpy array (.npy)"),
    (0, b"\0\0\x01\0", "an icon (ICO)"),
    (0, b"qoif", "a QOI image"),
    (0, b"DDS ", "a DDS texture"),
    (0, b"FUJIFILMCCD-RAW", "a camera raw file"),
    (0, b"IIU\0", "a camera raw file"),
    (0, b"IIRO", "a camera raw file"),
    (0, b"PK\x03\x04", "a ZIP archive"),
    (0, b"\x1f\x8b", "a gzip archive"),
    (0, b"7z\xbc\xaf", "a 7z archive"),
    (257, b"ustar", "a tar archive"),
    (0, b"\x7fELF", "a program"),
    (0, b"MZ", "a program"),
)
_BRANDS = {
    b"heic": "HEIC",
    b"heix": "HEIC",
    b"hevc": "HEIC",
    b"mif1": "HEIF",
    b"msf1": "HEIF",
    b"avif": "AVIF",
    b"avis": "AVIF",
    b"crx ": "a camera raw file",
    b"qt  ": "a QuickTime video",
}
_BMP_HEADER_BYTES = {12, 40, 52, 56, 64, 108, 124}  # possible sizes of the second header
_TAGS = ((b"<svg", "an SVG drawing"), (b"<html", "a web page (HTML)"), (b"<!doctype html", "a web page (HTML)"))


def detect_file_type(head: bytes) -> str:
    """Detect the type of a file.

    Args:
        head: The first `HEAD_BYTES` bytes, or the whole file.

    Returns:
        A name for messages: "JPEG", "a web page (HTML)", …, "a file of unknown type".
    """
    if head.startswith(b"BM") and int.from_bytes(head[14:18], "little") in _BMP_HEADER_BYTES:
        return "BMP"
    for offset, magic, name in _SIGNATURES:
        if head.startswith(magic, offset):
            return name
    if head[4:8] == b"ftyp":
        return _BRANDS.get(head[8:12].lower(), "an MP4 video")
    if head[4:8] in {b"moov", b"mdat", b"wide", b"free", b"skip"}:
        return "a QuickTime video"
    if len(head) > 188 and head[0] == head[188] == 0x47:
        return "an MPEG transport stream"
    return _detect_text_type(head)


def _detect_text_type(head: bytes) -> str:
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n")[:1024].lower()
    if start.startswith(b"<"):
        return next((name for tag, name in _TAGS if tag in start), "an XML file")
    if re.fullmatch(rb"[\t\r\n\x0c\x1b\x20-\x7e\x80-\xff]+", head) and _is_utf8(head):
        return "JSON" if start.startswith((b"{", b"[")) else "a text file"
    return "a file of unknown type"


def _is_utf8(head: bytes) -> bool:
    try:
        head[:-4].decode()  # the last character may be incomplete
    except UnicodeDecodeError:
        return False
    return True
