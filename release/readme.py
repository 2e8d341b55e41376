"""The README for a package index, where a relative link leads nowhere: `python -m release.readme`.

The release rewrites README.md in the sources that it builds. In the repository it keeps relative links, which
work in a checkout and in a fork.
"""

import re
import sys
from pathlib import Path

from release.project import ROOT, repository, version

# Code, which has no links; or what stands before a link's target, and the target. Before it stands [text](,
# ![text](, )]( after a picture that is a link's text, [name]: or an attribute of HTML.
_LINK = re.compile(
    r"```.*?```|`[^`\n]*`|"
    r"(?P<before>(?P<image>!?)\[[^][]*\]\(|(?<=\))\]\(|^\[[^][]+\]: +|\b(?P<attribute>src|srcset|href)=[\"'])"
    r"(?P<target>[^)\s\"']+)",
    re.DOTALL | re.MULTILINE,
)


def absolute(text: str, *, url: str, ref: str) -> str:
    """Return the README `text` with absolute links: pages at `url`, as of `ref`, and pictures as raw files.

    Raises:
        ValueError: a relative link names no file.
    """

    def link(match: re.Match[str]) -> str:
        target = match["target"]
        if target is None or re.match(r"[a-z][a-z0-9+.-]*:|#", target):
            return match[0]
        path = target.partition("#")[0]
        if not (ROOT / path).exists():
            raise ValueError(f"README.md: {target}: no such file")
        kind = "raw" if match["image"] or match["attribute"] in ("src", "srcset") else "blob"
        return f"{match['before']}{url}/{kind}/{ref}/{target}"

    return _LINK.sub(link, text)


def targets(text: str) -> list[str]:
    """Return where the links of the Markdown `text` lead."""
    return [match["target"] for match in _LINK.finditer(text) if match["target"]]


def main() -> None:
    """Rewrite the README in place."""
    file = Path("README.md")
    try:
        text = absolute(file.read_text(encoding="utf-8"), url=repository(), ref=f"v{version()}")
    except ValueError as error:
        sys.exit(str(error))
    file.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
