"""The members of a zip archive, also of one that is cut off.

The standard library's `zipfile` reads the list of members at the archive's end. It needs the end, and does
not unpack zstandard, which `.eval` files of inspect have. So it is used for the list alone. Where the end is
missing, the members are found by their own headers, one behind the other.
"""

import io
import struct
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import IO

from lar.trajectories.inputs.compression import PACKED_PIECE, BrokenDataError, Frames, Pieces, decompressor

ZIP = (b"PK\x03\x04", b"PK\x05\x06")  # the second is an archive without members
ZIP_NAMES = (".zip", ".eval")

_TAR = slice(257, 262)  # where a tar archive has its magic

_METHODS = {0: "stored", 8: "deflate", 12: "bzip2", 93: "zstandard"}
_HEADER = struct.Struct(
    "<4s2xHH4xIIIHH"
)  # magic, flags, method, crc, packed, size, lengths of name and extra
_ENCRYPTED, _SIZES_BEHIND, _UTF8 = 1, 8, 1 << 11
_ZIP64 = 0xFFFFFFFF
_BEHIND = b"PK\x07\x08"


@dataclass(frozen=True, slots=True)
class Member:
    """A file in an archive: where its header begins, its bytes there (None: unknown), its CRC (likewise)."""

    name: str
    offset: int
    packed: int | None
    crc: int | None


def is_tar(head: bytes) -> bool:
    """Whether a file that begins with `head` is a tar archive, which is not read."""
    return head[_TAR] == b"ustar"


def list_members(archive: IO[bytes]) -> tuple[list[Member], str | None]:
    """The members of an archive, sorted by folders, and what is wrong with it (None: nothing).

    Folders and hidden files are left out.
    """
    broken = None
    try:
        with zipfile.ZipFile(archive) as listed:
            members = [
                Member(info.filename, info.header_offset, info.compress_size, info.CRC)
                for info in listed.infolist()
            ]
    except (zipfile.BadZipFile, struct.error, NotImplementedError, UnicodeDecodeError, ValueError) as error:
        members = _found_members(archive)
        broken = f"the archive is cut off or damaged ({error})"
    kept = [member for member in members if not _is_left_out(member.name)]
    return sorted(kept, key=lambda member: PurePosixPath(member.name)), broken


def _is_left_out(name: str) -> bool:
    return name.endswith("/") or any(
        (part.startswith(".") and part != "..") or part == "__MACOSX" for part in PurePosixPath(name).parts
    )


def _found_members(archive: IO[bytes]) -> list[Member]:
    """The members whose headers stand one behind the other from the archive's start."""
    members: list[Member] = []
    offset = 0
    while header := _header_at(archive, offset):
        packed, crc, end = header.packed, header.crc, None
        if packed is not None:
            end = header.data + packed
        elif found := _descriptor(archive, header.data):
            packed, crc, end = found
        members.append(Member(header.name, offset, packed, crc))
        if end is None:
            break
        offset = end
    return members


def _descriptor(archive: IO[bytes], start: int) -> tuple[int, int, int] | None:
    """Packed size, CRC and end of a member whose size stands behind its data, which begins at `start`.

    Such a descriptor begins with a signature; its size is checked against its place.
    """
    archive.seek(start)
    window, base = b"", start
    while piece := archive.read(1 << 20):
        window += piece
        at = window.find(_BEHIND)
        while at >= 0:
            for form in ("<II", "<IQ"):
                size = struct.calcsize(form)
                values = window[at + 4 : at + 4 + size]
                if len(values) == size and (found := struct.unpack(form, values))[1] == base + at - start:
                    return found[1], found[0], base + at + (16 if form == "<II" else 24)
            at = window.find(_BEHIND, at + 1)
        keep = min(len(window), 32)
        base += len(window) - keep
        window = window[-keep:]
    return None


@dataclass(frozen=True, slots=True)
class _Header:
    name: str
    flags: int
    method: int
    data: int
    packed: int | None
    crc: int | None


def _header_at(archive: IO[bytes], offset: int) -> _Header | None:
    archive.seek(offset)
    fixed = archive.read(_HEADER.size)
    if len(fixed) < _HEADER.size:
        return None
    magic, flags, method, crc, packed, size, name_length, extra_length = _HEADER.unpack(fixed)
    name = archive.read(name_length).decode("utf-8" if flags & _UTF8 else "cp437", "replace")
    extra = archive.read(extra_length)
    if magic != ZIP[0] or len(extra) < extra_length:
        return None
    if flags & _SIZES_BEHIND:
        packed = crc = None
    elif packed == _ZIP64:
        packed = _long_size(extra, size == _ZIP64)
    return _Header(name, flags, method, offset + _HEADER.size + name_length + extra_length, packed, crc)


def _long_size(extra: bytes, behind_size: bool) -> int | None:
    """The packed size of a member of more than 4 GB, out of the header's extra field."""
    at = 0
    while at + 4 <= len(extra):
        kind, length = struct.unpack_from("<HH", extra, at)
        start = at + 4 + 8 * behind_size
        if kind == 1 and start + 8 <= len(extra):
            return int(struct.unpack_from("<Q", extra, start)[0])
        at += 4 + length
    return None


def open_member(archive: IO[bytes], member: Member) -> io.BufferedReader:
    """The unpacked bytes of a member; `archive` is read and belongs to the stream from now on.

    Raises:
        BrokenDataError: the archive breaks, at once or while reading; or the member is encrypted or packed
            by an unusual method.
        MissingExtraError: zstandard is needed and not installed.
    """
    header = _header_at(archive, member.offset)
    if header is None:
        raise BrokenDataError("the archive is damaged: a member has no header")
    method = _METHODS.get(header.method)
    if method is None or header.flags & _ENCRYPTED:
        why = "encrypted" if header.flags & _ENCRYPTED else f"packed by the method {header.method}"
        raise BrokenDataError(f"a member that is {why} cannot be read")
    if method == "stored" and member.packed is None:
        raise BrokenDataError("the archive is cut off")
    archive.seek(header.data)
    return _MemberStream(archive, member, method)


class _MemberStream(io.BufferedReader):
    """The unpacked bytes of one member; `tell` is its packed bytes that were read, for the progress."""

    def __init__(self, archive: IO[bytes], member: Member, method: str) -> None:
        self._archive = archive
        self._member = member
        self._packed_read = 0
        self._crc = 0
        self._unpack = self._read_packed
        if method != "stored":
            new = decompressor(method, member.name)
            self._unpack = Frames(self._read_packed, new, single=method == "deflate").read
        super().__init__(Pieces(self._checked), PACKED_PIECE)

    def seekable(self) -> bool:
        return False

    def tell(self) -> int:
        return self._packed_read

    def close(self) -> None:
        super().close()
        self._archive.close()

    def _read_packed(self, size: int) -> bytes:
        if self._member.packed is not None:
            size = min(size, self._member.packed - self._packed_read)
        data = self._archive.read(size) if size else b""
        if size and not data and self._member.packed is not None:
            raise BrokenDataError("the archive is cut off")
        self._packed_read += len(data)
        return data

    def _checked(self, size: int) -> bytes:
        data = self._unpack(size)
        self._crc = zlib.crc32(data, self._crc)
        if not data and self._member.crc not in (None, self._crc):
            raise BrokenDataError("the archive is damaged: a member's checksum does not fit")
        return data
