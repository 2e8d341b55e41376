"""Which texts another text contains, and which ones begin at its end: many texts at once, in linear time.

The texts that are sought lie in an Aho-Corasick automaton. Its states are their beginnings. To compare each
pair alone would take the product of their lengths: long separators (`====`) overlap at every character.
"""

from collections.abc import Iterator, Sequence


class Overlaps:
    """Finds in other texts what is sought; building takes about as long as reading all of it.

    In memory are some 350 bytes for each character that is sought.
    """

    def __init__(self, sought: Sequence[str]) -> None:
        """Take texts that are sorted; none is empty."""
        self._next: list[dict[str, int]] = [{}]  # of each state the longer ones, by their last character
        self._begun: list[list[int]] = [[0, 0]]  # the stretch of `sought` that begins with the state
        self._whole = [0]  # how many of this stretch end there: the first ones
        for rank, text in enumerate(sought):
            self._add(rank, text)
        self._link()

    def of(self, text: str) -> set[int]:
        """The indices of the texts that `text` contains, and of those that begin at its end.

        >>> sorted(Overlaps(["<answer>", "r> 1", "s"]).of("<answer> "))
        [0, 1, 2]
        """
        found: set[int] = set()
        seen: set[int] = set()
        state = 0
        for character in text:
            state = self._step(state, character)
            for end in self._ends(state):
                if end in seen:
                    break  # and so are all that are shorter
                seen.add(end)
                first = self._begun[end][0]
                found.update(range(first, first + self._whole[end]))
        most = 0
        for first, last in sorted(self._begun[end] for end in self._ends(state)):
            found.update(range(max(first, most), last))  # stretches lie in each other or apart
            most = max(most, last)
        return found

    def _add(self, rank: int, text: str) -> None:
        state = 0
        for character in text:
            longer = self._next[state].setdefault(character, len(self._next))
            if longer == len(self._next):
                self._next.append({})
                self._begun.append([rank, rank])
                self._whole.append(0)
            state = longer
            self._begun[state][1] = rank + 1
        self._whole[state] += 1

    def _link(self) -> None:
        self._shorter = [0] * len(self._next)  # of each state the longest one that is shorter and ends it
        states = [0]
        for state in states:  # grows: all states, the shortest first
            for character, longer in self._next[state].items():
                self._shorter[longer] = self._step(self._shorter[state], character) if state else 0
                states.append(longer)

    def _step(self, state: int, character: str) -> int:
        """The longest state that ends the text of `state` and `character`."""
        while state and character not in self._next[state]:
            state = self._shorter[state]
        return self._next[state].get(character, 0)

    def _ends(self, state: int) -> Iterator[int]:
        """The states that end the text of `state`, the longest first; the empty one is left out."""
        while state:
            yield state
            state = self._shorter[state]
