"""Logs in an object store or behind any other URL that fsspec reads: s3://, gs://, hf://, memory:// and more.

Files of the local disk do not pass here: fsspec takes 70 ms to import, and has nothing to add for them.
"""

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
    """Each file at `url`: its URL, its path within `url` ("" for `url` itself), its bytes, its file system.

    The size is 0 where the server does not give it. Hidden files are left out, as on the local disk.

    Raises:
        FileNotFoundError: nothing is there. MissingExtraError: the URL's protocol needs a package.
        TrajectoryError: the protocol is unknown, or the server refuses.
    """
    from fsspec.core import url_to_fs

    try:
        system, root = url_to_fs(url)
        info = system.info(root)
        found = {root: info} if info["type"] == "file" else system.find(root, detail=True)
    except FileNotFoundError:
        raise FileNotFoundError(f"{url}: no such file or folder") from None
    except ImportError as error:
        raise MissingExtraError(f"{url}: {error}") from None
    except Exception as error:  # each file system has errors of its own
        raise TrajectoryError(f"{url}: cannot be listed ({str(error) or repr(error)})") from error
    for path in sorted(found, key=PurePosixPath):  # by folders, as on the local disk
        inner = path.removeprefix(root).strip("/")
        if not any(part.startswith(".") for part in PurePosixPath(inner).parts):
            yield system.unstrip_protocol(path), inner, found[path].get("size") or 0, system


def open_file(url: str, system: Any) -> io.BufferedReader:
    """The bytes of a file that `list_files` gave, buffered."""
    return io.BufferedReader(system.open(url, "rb"), _BUFFER)
