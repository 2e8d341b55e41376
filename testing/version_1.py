"""Files on disk as the first format version wrote them, made from those of today."""

import json
from pathlib import Path

from lar.utils.result_files import VOCABULARY_FILE
from lar.vocabulary.vocabulary import LatentVocabulary


def as_version_1(vocabulary: LatentVocabulary, folder: Path, padding: int) -> None:
    """Write a vocabulary whose ids begin after the rows of a model with `padding` rows more than ids."""
    vocabulary.save(folder)
    content = json.loads((folder / VOCABULARY_FILE).read_text())
    content["format_version"] = 1
    content["base_size"] += padding
    for latent in content["latents"]:
        latent["id"] += padding
    (folder / VOCABULARY_FILE).write_text(json.dumps(content))
