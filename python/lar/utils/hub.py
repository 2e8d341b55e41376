"""Names on a model hub. Nothing is looked up there: a user is told how to download what a name stands for."""

import re
from pathlib import PurePath

_HUB_NAME = re.compile(r"\w[\w.-]*/\w[\w.-]*")


def download_advice(path: object, include: str | None = None) -> str | None:
    """What to say of a path that does not exist and looks like a name on a hub; None where it does not.

    The advice has the command that downloads the files whose names match `include`; all files without it.
    """
    name = str(path)
    if not _HUB_NAME.fullmatch(name):
        return None
    chosen = f" --include '{include}'" if include else ""
    command = f"hf download {name}{chosen} --local-dir {PurePath(name).name}"
    return f"{name}: no such folder; names on a hub are not looked up: {command}"
