"""Where a tokenizer lies: a folder on this machine, which a user may also name by its tokenizer.json."""

from pathlib import Path

from lar.errors import TokenizerError
from lar.utils.hub import download_advice
from lar.utils.paths import StrPath

TOKENIZER_FILE = "tokenizer.json"


def tokenizer_folder(path: StrPath) -> Path:
    """The folder of the tokenizer at `path`, which is that folder or the tokenizer.json in it.

    Raises:
        TokenizerError: no tokenizer is there; for a name on a model hub, the message has the download.
    """
    given = Path(path)
    folder = given.parent if given.name == TOKENIZER_FILE and given.is_file() else given
    if (folder / TOKENIZER_FILE).is_file():
        return folder
    if given.exists():
        raise TokenizerError(f"{given}: no {TOKENIZER_FILE} (a tokenizer is a Hugging Face folder)")
    # `*.j*` is tokenizer.json and its configuration, config.json, and chat_template.jinja of new models.
    if advice := download_advice(path, include="*.j*"):
        raise TokenizerError(advice)
    raise TokenizerError(f"{given}: does not exist (a tokenizer is a folder with {TOKENIZER_FILE})")
