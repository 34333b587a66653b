"""What kind of content an object is said to be: told by the suffix of the file's name, never by a look inside.

The standard library's own table, without what this machine's files would add to it, so that the same name means the same
on every device; and the formats of recordings that it lacks, or has known only since some version of Python.
"""

from __future__ import annotations

import mimetypes
from collections.abc import Mapping

from syncd.decide.keys import split_name

UNKNOWN = "application/octet-stream"

_RECORDINGS: Mapping[str, str] = {
    ".3gp": "video/3gpp",
    ".avif": "image/avif",
    ".dcm": "application/dicom",
    ".dng": "image/x-adobe-dng",
    ".fits": "application/fits",
    ".flac": "audio/flac",
    ".h5": "application/x-hdf5",
    ".hdf5": "application/x-hdf5",
    ".heic": "image/heic",
    ".heif": "image/heif",
    ".jsonl": "application/jsonl",
    ".las": "application/vnd.las",
    ".laz": "application/vnd.laszip",
    ".log": "text/plain",
    ".m2ts": "video/mp2t",
    ".m4a": "audio/mp4",
    ".m4v": "video/mp4",
    ".mka": "audio/x-matroska",
    ".mkv": "video/x-matroska",
    ".mts": "video/mp2t",
    ".mxf": "application/mxf",
    ".ogg": "audio/ogg",
    ".ogv": "video/ogg",
    ".opus": "audio/ogg",
    ".parquet": "application/vnd.apache.parquet",
    ".pcap": "application/vnd.tcpdump.pcap",
    ".tif": "image/tiff",
    ".tiff": "image/tiff",
    ".ts": "video/mp2t",
    ".wav": "audio/wav",
    ".webm": "video/webm",
    ".webp": "image/webp",
    ".yaml": "application/yaml",
    ".yml": "application/yaml",
}
_PACKED: Mapping[str, str] = {
    ".bz2": "application/x-bzip2",
    ".gz": "application/gzip",
    ".lz4": "application/x-lz4",
    ".xz": "application/x-xz",
    ".z": "application/x-compress",
    ".zst": "application/zstd",
}
_STANDARD = mimetypes.MimeTypes().types_map[True]


def content_type_of(path: bytes) -> str:
    """The type that the suffix stands for; of `a.csv.gz` it is gzip, for that is what whoever fetches it gets."""
    suffix = split_name(path.rpartition(b"/")[2])[1].decode("ascii", "replace").lower()
    return _PACKED.get(suffix) or _RECORDINGS.get(suffix) or _STANDARD.get(suffix) or UNKNOWN
