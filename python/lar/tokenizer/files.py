"""The files of a tokenizer's folder beside tokenizer.json, read as transformers reads them, and written."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import tokenizers

from lar.errors import TokenizerError
from lar.tokenizer.location import TOKENIZER_FILE
from lar.utils.files import atomic_file, read_json

logger = logging.getLogger(__name__)

TOKENIZER_CONFIG_FILE = "tokenizer_config.json"
TEMPLATE_FILE = "chat_template.jinja"
TEMPLATE_FOLDER = "additional_chat_templates"  # of the templates other than `default`, NAME.jinja each
DEFAULT_TEMPLATE = "default"


def obey_added_tokens(backend: tokenizers.Tokenizer, config: dict[str, Any], file: Path) -> None:
    """Give the added tokens the form that tokenizer_config.json lists (transformers gives it precedence).

    Tokens that only this file names are added. Where a flag such as `rstrip` differs, it decides.
    """
    with _as_tokenizer_error(file):
        _add_listed(backend, config, file)


def _add_listed(backend: tokenizers.Tokenizer, config: dict[str, Any], file: Path) -> None:
    listed = config.get("added_tokens_decoder") or {}
    known = backend.get_added_tokens_decoder()
    named = {content_of(value) for name, value in config.items() if name.endswith("_token")}
    for index, entry in sorted((int(index), entry) for index, entry in listed.items()):
        fields = {key: value for key, value in entry.items() if key not in {"content", "special", "__type"}}
        is_special = bool(entry.get("special"))
        token = tokenizers.AddedToken(entry["content"], special=is_special, **fields)
        token.special = is_special or token.content in named  # after `normalized` has got its default
        if index in known and _flags(known[index]) == _flags(token):
            continue
        backend.add_tokens([token])
        logger.info("%s: added token %r is missing from %s, or another", file, token.content, TOKENIZER_FILE)
        if backend.token_to_id(token.content) != index:
            got = backend.token_to_id(token.content)
            raise TokenizerError(f"{file}: added token {token.content!r} has id {index} but would get {got}")


def _flags(token: tokenizers.AddedToken) -> tuple[str | bool, ...]:
    kind = (token.content, token.special, token.normalized)
    return *kind, token.lstrip, token.rstrip, token.single_word


@contextmanager
def _as_tokenizer_error(file: Path) -> Iterator[None]:
    """Turn what a malformed `file` causes within the block into a TokenizerError that names it."""
    try:
        yield
    except TokenizerError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise TokenizerError(f"{file}: not as transformers writes it ({error!r})") from None


def chat_templates(folder: Path, config: dict[str, Any]) -> dict[str, str]:
    """Return the templates that transformers would use, by name: those of files, else the config's."""
    further = sorted((folder / TEMPLATE_FOLDER).glob("*.jinja"))
    files = {DEFAULT_TEMPLATE: folder / TEMPLATE_FILE, **{file.stem: file for file in further}}
    if found := {name: _template_text(file) for name, file in files.items() if file.is_file()}:
        return found
    templates = config.get("chat_template")
    if isinstance(templates, str):
        return {DEFAULT_TEMPLATE: templates}
    with _as_tokenizer_error(folder / TOKENIZER_CONFIG_FILE):
        if isinstance(templates, list):
            templates = {entry["name"]: entry["template"] for entry in templates}
        if isinstance(templates, dict):
            return {str(name): _text(template) for name, template in templates.items()}
    return {}


def _template_text(file: Path) -> str:
    with _as_tokenizer_error(file):
        # With its line ends as they are: a copy has the hash of what it was copied from.
        return file.read_bytes().decode("utf-8")


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"a chat template is text, not {type(value).__name__}")
    return value


def file_stem(name: str) -> str:
    """Return the name of a chat template, which is written as a file; TokenizerError for a path."""
    if not name or {"/", "\\", "\0"} & set(name):
        raise TokenizerError(f"a chat template has the name {name!r}, which is no file's name")
    return name


def content_of(value: Any) -> str | None:
    """Return a token's text: a plain string, or the `content` of a serialized added token."""
    content = value.get("content") if isinstance(value, dict) else value
    return content if isinstance(content, str) else None


def read_config(file: Path) -> dict[str, Any]:
    """The file's JSON object, or {} without a file; TokenizerError if it is no JSON object."""
    try:
        return read_json(file, TokenizerError)
    except FileNotFoundError:
        return {}


def write_text(file: Path, text: str) -> None:
    """Write a file in one step, with the text's own line ends; a missing folder is made."""
    with atomic_file(file) as temporary:
        temporary.write_bytes(text.encode("utf-8"))
