"""Finds what would run or load in a piece of HTML: the judge of every page and output."""

from html.parser import HTMLParser

ACTIVE = {
    *("script", "iframe", "frame", "object", "embed", "form", "input", "button", "link", "base"),
    *("svg", "math", "audio", "video", "applet", "template", "noscript", "marquee", "portal"),
}
ADDRESSES = ("href", "src", "srcset", "action", "formaction", "data", "poster", "xlink:href")


class _Finder(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.live: list[str] = []
        self.text: list[str] = []
        self.tags: list[tuple[str, dict[str, str]]] = []

    def handle_starttag(self, tag, attrs):
        held = {name: value or "" for name, value in attrs}
        self.tags.append((tag, held))
        if tag in ACTIVE:
            self.live.append(f"<{tag}>")
        if tag == "meta" and held.get("http-equiv", "").lower() == "refresh":
            self.live.append("meta refresh")
        for name, value in held.items():
            if name.startswith("on") or name in ("srcdoc", "data-commandlinker-command"):
                self.live.append(f"{tag} {name}")
            if name in ADDRESSES and not value.startswith(("data:image/png;base64,", "#")):
                self.live.append(f"{tag} {name}={value[:60]}")
            if name == "style" and ("url(" in value.lower() or "expression" in value.lower()):
                self.live.append(f"{tag} style")

    def handle_data(self, data):
        self.text.append(data)


def parsed(html: str) -> _Finder:
    """Parse HTML: `live` is what would run or load, `text` and `tags` what is there."""
    finder = _Finder()
    finder.feed(html)
    finder.close()
    return finder


def live(html: str) -> list[str]:
    """List what would run or load when this HTML is opened."""
    return parsed(html).live
