"""Numbers with their nouns, times and long names, as a person writes them."""


def counted(number: float, noun: str, nouns: str | None = None) -> str:
    """The number and its noun, which is `nouns`, or `noun` with an s, of all numbers but 1.

    >>> counted(1, "task"), counted(1200, "task"), counted(0, "is new", "are new"), counted(1.5, "epoch")
    ('1 task', '1,200 tasks', '0 are new', '1.5 epochs')
    """
    shown = f"{number:,}" if isinstance(number, int) else f"{number:g}"
    return f"{shown} {noun if number == 1 else nouns or f'{noun}s'}"


def percent(share: float) -> str:
    """A share in percent; one that rounds to 0 has no sign.

    >>> percent(0.377), percent(-0.012), percent(-0.0003)
    ('37.7%', '-1.2%', '0.0%')
    """
    return f"{share:z.1%}"


def signed_percent(change: float) -> str:
    """A change in percent with its sign; one that rounds to 0 has none.

    >>> signed_percent(-0.377), signed_percent(0.012), signed_percent(-0.0003), signed_percent(0.0003)
    ('-37.7%', '+1.2%', '0.0%', '0.0%')
    """
    shown = percent(change)
    return shown if change <= 0 or shown == percent(0) else f"+{shown}"


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
