"""What a student is trained on: windows of conversations as examples, packed into rows."""

from lar.distillation.data.examples import Example, Examples, cut
from lar.distillation.data.packing import PackedExamples, pack

__all__ = ["Example", "Examples", "PackedExamples", "cut", "pack"]
