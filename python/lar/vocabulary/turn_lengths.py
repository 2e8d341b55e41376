"""How long a turn of the agent is in units: of few, each decides much of the turn."""

from lar.vocabulary.vocabulary import LatentVocabulary

# Students lost success where the parse has 2.0 and 4.1 units for a turn of 40 tokens (docs/evidence.md,
# tau2_telecom), and none where it has 27 (search_qa).
FEW_UNITS = 5.0


def units_a_turn(vocabulary: LatentVocabulary) -> float:
    """The units of a turn, on average over the tasks that the vocabulary was mined on."""
    mining = vocabulary.mining
    saved = sum(latent.saving for latent in vocabulary.latents)
    units: float = (mining["action_tokens"] - saved) / mining["turns"]
    return units


def turn_in_words(base_tokens: float, units: float, turns: float) -> str:
    """The tokens and the units of a turn on average, and what to mind where the units are few.

    base_tokens, units, turns: sums over the same runs, `turns` at least 1.
    """
    length = units / turns
    text = f"a turn of the agent is {base_tokens / turns:,.1f} tokens on average, and {length:,.1f} units"
    if length >= FEW_UNITS:
        return text
    return (
        f"{text}: so few that a latent may decide most of a turn. Students with as few lost 17.5 and 37.5"
        " points of success on telecom tickets: compare it, and take fewer latents or a gate if it is lost"
        " (docs/howto/choose.md)"
    )
