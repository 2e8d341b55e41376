"""Numbers with their nouns, times and long names, as a person writes them."""


def counted(number: float, noun: str, nouns: str | None = None) -> str:
    """The number and its noun, which is `nouns`, or `noun` with an s, of all numbers but 1.

    >>> counted(1, "task"), counted(1200, "task"), counted(0, "is new", "are new"), counted(1.5, "epoch")
    ('1 task', '1,200 tasks', '0 are new', '1.5 epochs')
    """
    shown = f"{number:,}" if isinstance(number, int) else f"{number:g}"
    return f"{shown} {noun if number == 1 else nouns or f'{noun}s'}"


def shortened(text: str, most: int = 60) -> str:
    """The text, cut to `most` characters.

    >>> shortened("abc", 3), shortened("abcd", 3)
    ('abc', 'ab…')
    """
    return text if len(text) <= most else f"{text[: most - 1]}…"


def about_hours(hours: float) -> str:
    """A time as a person says it: in hours, or in minutes if it is under an hour.

    >>> about_hours(0.001), about_hours(1 / 60), about_hours(0.7), about_hours(2.25)
    ('less than a minute', 'about 1 minute', 'about 42 minutes', 'about 2.2 hours')
    """
    minutes = round(60 * hours)
    if minutes < 1:
        return "less than a minute"
    return f"about {counted(minutes, 'minute')}" if minutes < 60 else f"about {hours:.1f} hours"
