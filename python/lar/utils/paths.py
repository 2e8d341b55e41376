"""What is taken wherever a path is: a string, a `pathlib.Path`, or another `os.PathLike`."""

import os

StrPath = str | os.PathLike[str]
