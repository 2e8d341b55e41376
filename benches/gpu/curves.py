"""Curves of bits per byte: their figures, whether they are flat, and a table of them."""

from typing import Any

from benches.training.pretrained import BITS

FLAT = 0.01  # a curve is flat if its last quarter gained less than this share
_NAMES = {
    "step": "step",
    BITS: "bits_per_byte",
    "eval_latent_use": "latent_use",
    "eval_explicit_preference": "explicit_preference",
}


def is_flat(course: list[dict[str, Any]]) -> bool | None:
    """Whether the last quarter of a curve gained less than FLAT; None for fewer than four points."""
    bits = [line[BITS] for line in course]
    if len(bits) < 4:
        return None
    last = max(1, len(bits) // 4)
    return bool(bits[-1 - last] - bits[-1] < FLAT * bits[-1 - last])


def curve(course: list[dict[str, Any]]) -> list[dict[str, float]]:
    """The evaluations in a run's log, with short names."""
    return [{short: line[name] for name, short in _NAMES.items() if name in line} for line in course]


def print_table(figures: dict[str, Any]) -> None:
    """Print the arms with their curves as a Markdown table."""
    adapted = figures.get("adapt", {})
    print(f"\nadapted for {adapted.get('steps')} steps, flat: {adapted.get('flat')}")
    print("| arm | units saved | steps | bits per byte, by steps | first token preferred |")
    print("|---|---|---|---|---|")
    for name, arm in figures.get("arms", {}).items():
        bits = ", ".join(f"{at['step']}: {at['bits_per_byte']:.4f}" for at in arm["curve"])
        preferred = arm["curve"][-1].get("explicit_preference")
        steps = f"{arm['steps']} of {arm['planned_steps']}"
        last = "" if preferred is None else f"{preferred:.0%}"
        saved = f"{-arm['reduction']:.1%}" if arm["latents"] else "-"
        print(f"| {name} | {saved} | {steps} | {bits} | {last} |")
