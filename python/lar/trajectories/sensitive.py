"""Private values in a text: where they are, and of what kind.

Keys, tokens and passwords are found by the rules of Kingfisher (MongoDB's scanner: hundreds of services),
phone numbers by Google's `phonenumbers`. A scanner of source code passes over a key that looks like an
example, or that misses its partner. Such a key may be real, so the shapes that people know best are also
found without these exceptions (`_SHAPES`).

Every pattern here takes linear time: it begins where a run of its characters begins and does not give back
what it has taken (possessive quantifiers), or its length is bounded.
"""

import importlib
import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Any, NamedTuple

from lar.errors import MissingExtraError
from lar.utils.extras import install_command

_HELD = 4 << 20  # characters of texts whose values are held
KINDS = ("EMAIL", "PHONE", "API_KEY", "TOKEN", "PASSWORD", "PRIVATE_KEY")


class Span(NamedTuple):
    """A private value: its first character, the one after its last, and its kind (one of `KINDS`)."""

    start: int
    end: int
    kind: str


_PEM = r"[A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----"
_BREAK = r"(?:\s|\\[nr])"
# A kind, texts of which one must be there (a cheap search), and a pattern, whose `value` is what is private.
_SHAPES = [
    (kind, anchors.split("|"), re.compile(pattern))
    for kind, anchors, pattern in (
        (
            "PRIVATE_KEY",  # whole, or cut off behind some lines
            "PRIVATE KEY",
            rf"(?P<value>-----BEGIN {_PEM}(?:(?:(?!-----)[\s\S]){{16,}}-----END {_PEM}"
            rf"|{_BREAK}*(?:[A-Za-z0-9+/=]{{16,}}+{_BREAK}*)+))",
        ),
        ("TOKEN", "eyJ", r"(?<![\w-])(?P<value>eyJ[\w=-]{8,}+\.[\w=-]{8,}+(?:\.[\w=+/-]*+)?)"),
        (
            "TOKEN",
            "earer|EARER",
            r"(?i:\bbearer)\s{1,4}(?=[a-zA-Z_.~+/=-]{0,400}\d)(?P<value>[\w.~+/=-]{16,}+)",
        ),
        (
            "TOKEN",
            "uthorization|UTHORIZATION",
            r"(?i:\bauthorization\W{1,6}(?:bearer|basic|token|apikey))\s{1,4}(?P<value>[\w.~+/=-]{8,}+)",
        ),
        (
            "API_KEY",
            "AKIA|ASIA|ABIA|ACCA|A3T",
            r"(?<![A-Za-z0-9])(?P<value>A(?:KIA|SIA|BIA|CCA|3T[A-Z0-9])[A-Z0-9]{16})(?![A-Za-z0-9])",
        ),
        ("API_KEY", "gh", r"(?<![A-Za-z0-9])(?P<value>gh[oprsu]_[A-Za-z0-9]{30,}+)"),
        ("API_KEY", "github_pat_", r"(?<![A-Za-z0-9])(?P<value>github_pat_\w{22,}+)"),
        ("API_KEY", "xox", r"(?<![A-Za-z0-9])(?P<value>xox[abeoprs]-[\w-]{10,}+)"),
        # OpenAI, Anthropic and others; `sk-toggleable__content` is the class of a style sheet.
        (
            "API_KEY",
            "sk-",
            r"(?<![\w-])(?P<value>sk-(?:(?:ant|proj|or|svcacct|admin)-[\w-]{8,}+|[A-Za-z0-9]{20,}+[\w-]*+"
            r"|(?=(?:[a-zA-Z_-]{0,400}\d){2})[\w-]{20,}+))",
        ),
        (
            "PASSWORD",
            "://",
            r"://[^\s/?#@:\"'<>\\]*+:(?!\$\{?\w+\}?@|\{\w*\}@|\*+@)(?P<value>[^\s/?#@\"'<>\\]{1,256}+)@",
        ),
    )
]
# A key by its name: `api_key = "..."`. Its value has letters and digits, and is no call, index or attribute.
_ASSIGNED = re.compile(r"[:=]\s{0,2}(?P<quote>[\"']?)(?P<value>[\w.+/=~-]{16,}+)")
_KEY_NAME = re.compile(
    r"(?:(?i:api|secret|access|auth|client|refresh)[_ -]?(?i:key|token|secret)|(?<![A-Za-z])(?i:token))"
    r"[\"']{0,2}\s{0,2}\Z"
)
_KEY_NAME_LENGTH = 24
_KEY_WORDS = ("key", "Key", "KEY", "oken", "OKEN", "ecret", "ECRET")

_LOCAL = r"A-Za-z0-9\u00c0-\u024f_.+%'!#$&?^~-"
_LABEL = r"[A-Za-z0-9\u00c0-\u024f](?:[A-Za-z0-9\u00c0-\u024f-]{0,61}[A-Za-z0-9\u00c0-\u024f])?"
# What follows the local part: no call (`q@k.transpose(1, 2)`), and a last label of letters (no `lar@1.2.3`).
_DOMAIN = re.compile(rf"(?:@|%40)(?:{_LABEL}\.){{1,126}}[A-Za-z\u00c0-\u024f]{{2,24}}(?![\w(]|-\w)")
_BEFORE = re.compile(rf"[{_LOCAL}]*\Z")
_MAX_LOCAL = 64
_CONTINUED = bytes(range(0x80, 0xC0))  # the bytes of a character but its first
_IN_URL = re.compile(r"://[^\s/?#@]*+\Z")  # behind it stands a user or a password, and a host

_INTERNATIONAL = re.compile(r"\+(?<![\w+.]\+)\d[\d ().\-]{5,20}(?<=\d)(?!(?!x\d)\w)")
# Groups of digits with separators; the first group may stand in brackets, or behind one digit. The first
# character is consumed before what precedes it is examined: a search for one of a set is fast.
_NATIONAL = re.compile(
    r"[\d(](?<![\w.,:+#$/=-][\d(])"
    r"(?:(?<=\()\d{2,5}\)[ .-]?|(?<=\d)(?:\d{1,4}[ .-]|[ .-](?:\(\d{2,5}\)[ .-]?|\d{2,5}[ .-])))"
    r"\d{2,5}(?:[ .-]\d{2,5}){0,4}(?!(?!x\d)[\w-]|[.,:/]\d)"
)
_EXTENSION = re.compile(r"(?i:[ ,]{0,2}(?:x|ext\.?) ?)\d{1,6}(?!\w)")
# Ten digits alone are no phone number (an order, a product, a time), unless they are called one.
_LABELLED = [
    (
        label,
        re.compile(
            rf"{label}(?<![A-Za-z]{label})\w{{0,12}}[^\w\n+]{{0,6}}"
            r"(?:(?:[Nn]umber|[Nn]o|[Nn]um|is|at|to)\b[^\w\n+]{0,4}){0,2}(?P<value>\+?\d{10,15})(?![\w-]|\.\d)"
        ),
    )
    for label in ("phone", "Phone", "PHONE", "telephone", "Telephone", "mobile", "Mobile", "MOBILE")
]
# Written as a number of North America, though nobody can have it: people make up such numbers.
_MADE_UP = re.compile(
    r"(?:\+?1[ .-]|001-)?(?:(?:\(\d{3}\) ?|\d{3}-)\d{3}-\d{4}|[2-9]\d\d\.\d{3}\.\d{4})|\+1[ .-]555[ .-]\d{4}"
)


class Detector:
    """Finds private values in texts.

    `region` is the country whose phone numbers are found without a country code, as ISO's two letters. Raises
    MissingExtraError where the libraries are not installed.
    """

    def __init__(self, region: str = "US") -> None:
        try:
            kingfisher: Any = importlib.import_module("kingfisher_sdk")
            self._phonenumbers: Any = importlib.import_module("phonenumbers")
        except ImportError as error:
            raise MissingExtraError(
                f"redaction needs the package {error.name}: {install_command('redact')}"
            ) from None
        self.region = region
        self._scanner = kingfisher.Scanner(kingfisher.Rules(confidence="low"), base64=True)
        self._phone = lru_cache(4096)(self._is_phone)
        self._found: dict[str, list[Span]] = {}  # instructions, tools and calls recur
        self._room = _HELD

    def find(self, text: str) -> list[Span]:
        """Return the private values of `text` in order; they do not overlap."""
        if (spans := self._found.get(text)) is None:
            self._room -= len(text)
            if self._room < 0:
                self._found, self._room = {}, _HELD
            spans = self._found[text] = self._find(text)
        return spans

    def _find(self, text: str) -> list[Span]:
        if "\\" in text:
            text = _without_breaks(text)
        phones = (_with_extension(text, phone) for phone in self._phones(text))
        found = [*_shapes(text), *_emails(text), *phones, *self._secrets(text)]
        return merged(span for span in found if text[span.start : span.end] not in PLACEHOLDERS)

    def _secrets(self, text: str) -> list[Span]:
        data = text.encode("utf-8", "surrogatepass")
        if not (findings := self._scanner.scan(data)):
            return []
        spans = []
        at = count = 0  # in bytes, in characters
        for start, end, rule in sorted((*_place(finding, data), finding.rule_id) for finding in findings):
            count, at = count + _characters(data[at:start]), start
            spans.append(Span(count, count + _characters(data[start:end]), _kind(rule)))
        return spans

    def _phones(self, text: str) -> Iterator[Span]:
        if "+" in text:
            for match in _INTERNATIONAL.finditer(text):
                if made_up := _MADE_UP.match(match[0]):
                    yield Span(match.start(), match.start() + made_up.end(), "PHONE")
                for found in self._phonenumbers.PhoneNumberMatcher(match[0], None):
                    yield Span(match.start() + found.start, match.start() + found.end, "PHONE")
        for match in _NATIONAL.finditer(text):
            if 9 <= sum(map(str.isdigit, match[0])) <= 13 and self._phone(match[0]):
                yield Span(*match.span(), "PHONE")
        for label, pattern in _LABELLED:
            if label in text:
                yield from (Span(*match.span("value"), "PHONE") for match in pattern.finditer(text))

    def _is_phone(self, text: str) -> bool:
        """Whether grouped digits are a number of the region, in the groups that people write there."""
        library = self._phonenumbers
        if _MADE_UP.fullmatch(text) and library.country_code_for_region(self.region) == 1:
            return True
        number = self.number(text)
        if number is None or not library.is_valid_number(number):
            return False
        forms = (library.PhoneNumberFormat.NATIONAL, library.PhoneNumberFormat.INTERNATIONAL)
        groups = re.findall(r"\d+", text)
        return groups in [re.findall(r"\d+", library.format_number(number, form)) for form in forms]

    def number(self, text: str) -> Any:
        """Return the phone number that `text` is, of the region where it has no country code; or None."""
        library = self._phonenumbers
        try:
            number = library.parse(text, self.region)
        except library.NumberParseException:
            return None
        possible = library.is_possible_number_with_reason(number) == library.ValidationResult.IS_POSSIBLE
        return number if possible else None


PLACEHOLDERS = frozenset(f"<{kind}>" for kind in KINDS)


def merged(spans: Iterable[Span]) -> list[Span]:
    """The spans in order, those that overlap as one of the first one's kind."""
    result: list[Span] = []
    for span in sorted(spans, key=lambda span: (span.start, -span.end)):
        if result and span.start < result[-1].end:
            last = result[-1]
            result[-1] = Span(last.start, max(last.end, span.end), last.kind)
        else:
            result.append(span)
    return result


def _without_breaks(text: str) -> str:
    r"""`text` with two spaces for `\n`, `\r` and `\t`, whose letter would belong to the next word."""
    return text.replace("\\n", "  ").replace("\\r", "  ").replace("\\t", "  ")


def _shapes(text: str) -> Iterator[Span]:
    for kind, anchors, pattern in _SHAPES:
        if _any_in(anchors, text):
            yield from (Span(*match.span("value"), kind) for match in pattern.finditer(text))
    if not _any_in(_KEY_WORDS, text):
        return
    for match in _ASSIGNED.finditer(text):
        if _KEY_NAME.search(text, max(0, match.start() - _KEY_NAME_LENGTH), match.start()) and _is_key(match):
            yield Span(*match.span("value"), "API_KEY")


def _any_in(words: Iterable[str], text: str) -> bool:
    for word in words:  # noqa: SIM110 (twice as fast as `any`)
        if word in text:
            return True
    return False


def _is_key(match: re.Match[str]) -> bool:
    value, after = match["value"], match.string[match.end() : match.end() + 1]
    quoted = match["quote"] != "" and after == match["quote"]
    mixed = any(map(str.isdigit, value)) and any(map(str.isalpha, value))
    return mixed and (quoted or not (re.search(r"[.+/=~]", value) or after in ("(", "[")))


def _emails(text: str) -> Iterator[Span]:
    if "@" not in text and "%40" not in text:
        return
    for match in _DOMAIN.finditer(text):
        before = _BEFORE.search(text[max(0, match.start() - _MAX_LOCAL) : match.start()])
        local = before[0].lstrip(".+%'!#$&?^~-") if before else ""
        start = match.start() - len(local)
        if (
            local
            and not _IN_URL.search(text, max(0, start - 256), start)
            and not (local == "git" and text[match.end() : match.end() + 1] in (":", "/"))
        ):
            yield Span(start, match.end(), "EMAIL")


def _with_extension(text: str, phone: Span) -> Span:
    extension = _EXTENSION.match(text, phone.end)
    return phone if extension is None else phone._replace(end=extension.end())


def _characters(data: bytes) -> int:
    """How many characters begin in UTF-8's `data`."""
    return len(data.translate(None, _CONTINUED))


def _place(finding: Any, data: bytes) -> tuple[int, int]:
    """The bytes of the secret; of all that was encoded where the secret was found in base64."""
    location = finding.location
    start, end = location["start_offset"], location["end_offset"]
    if not finding.is_base64_encoded:
        secret = finding.secret.encode()
        at = data.find(secret, start, end)
        if at >= 0:
            return at, at + len(secret)
    return start, end


def _kind(rule: str) -> str:
    if "private-key" in rule or "privatekey" in rule:
        return "PRIVATE_KEY"
    if "credential-uri" in rule or "password" in rule:
        return "PASSWORD"
    return "TOKEN" if any(word in rule for word in ("jwt", "auth-header", "bearer")) else "API_KEY"
