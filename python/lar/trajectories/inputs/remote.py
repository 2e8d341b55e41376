"""Logs in an object store or behind any other URL that fsspec reads: s3://, gs://, hf://, memory:// and more.

Files of the local disk do not pass here: fsspec takes 70 ms to import, and has nothing to add for them.
"""

import glob
import io
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any, TypeGuard

from lar.errors import MissingExtraError, TrajectoryError

_BUFFER = 1 << 20  # bytes that are asked of a file at once, so that lines do not become calls of Python


def is_url(path: object) -> TypeGuard[str]:
    """Whether `path` is a URL and not a path of the local disk."""
    return isinstance(path, str) and "://" in path


def list_files(url: str) -> Iterator[tuple[str, str, int, Any]]:
    """Each file at `url`, which may be a file, a folder or a pattern: URL, label, bytes, file system.

    The label is the file's name, or its path that begins with the folder's name. The size is 0 where the
    server does not give it. Hidden files are left out, as on the local disk.

    Raises:
        FileNotFoundError: nothing is there. MissingExtraError: the URL's protocol needs a package.
        TrajectoryError: the protocol is unknown, or the server refuses.
    """
    from fsspec.core import url_to_fs

    try:
        system, root = url_to_fs(url)
        files = {
            file[0]: file for path, info in _roots(system, root) for file in _files_at(system, path, info)
        }
        if not files and glob.has_magic(root):
            raise FileNotFoundError
    except FileNotFoundError:
        what = "no file fits this pattern" if glob.has_magic(url) else "no such file or folder"
        raise FileNotFoundError(f"{url}: {what}") from None
    except ImportError as error:
        raise MissingExtraError(f"{url}: {error}") from None
    except Exception as error:  # each file system has errors of its own
        raise TrajectoryError(f"{url}: cannot be listed ({str(error) or repr(error)})") from error
    for path, label, size in files.values():
        yield system.unstrip_protocol(path), label, size, system


def _roots(system: Any, root: str) -> Iterator[tuple[str, Any]]:
    """What stands at `root`; else the files and folders that fit it as a pattern."""
    try:
        yield root, system.info(root)
    except FileNotFoundError:
        if not glob.has_magic(root):
            raise
        fixed = glob.escape(root).partition("[")[0]  # what stands before the first character of a pattern
        for path, info in sorted(
            system.glob(root, detail=True).items(), key=lambda item: PurePosixPath(item[0])
        ):
            if not _is_hidden(path.removeprefix(fixed)):
                yield path, info


def _is_hidden(path: str) -> bool:
    return any(part.startswith(".") for part in PurePosixPath(path).parts)


def _files_at(system: Any, root: str, info: Any) -> Iterator[tuple[str, str, int]]:
    name = root.rstrip("/").rpartition("/")[2]
    if info["type"] == "file":
        yield root, name, info.get("size") or 0
        return
    found = system.find(root, detail=True)
    for path in sorted(found, key=PurePosixPath):  # by folders, as on the local disk
        inner = path.removeprefix(root).strip("/")
        if not _is_hidden(inner):
            yield path, f"{name}/{inner}", found[path].get("size") or 0


def open_file(url: str, system: Any) -> io.BufferedReader:
    """The bytes of a file that `list_files` gave, buffered."""
    return io.BufferedReader(system.open(url, "rb"), _BUFFER)
