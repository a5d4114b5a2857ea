"""Finds email addresses, IP addresses, and secrets in URLs."""

import ipaddress
import re
from collections.abc import Iterator

from tasks.texts.redaction.plain import Span

# Lengths are bounded everywhere, so that no text makes a pattern slow.
# scripts whose words touch an address
UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\uf900-\ufaff"
LETTER = rf"(?![{UNSPACED}])[^\W\d_]"
MOST_LOCAL = 64  # characters before the @ (RFC 5321)
# Read backwards from the @: a quoted part, a run without scripts that touch, or such a run.
LOCAL = re.compile(rf"\"[^\"\n<>]{{1,62}}\"|(?:(?![{UNSPACED}])[\w.+%'~-])+|[\w.+%'~-]+")
ASCII_DOMAIN = re.compile(
    rf"(?:[a-z0-9_-]{{1,63}}\.){{1,8}}(?:xn--[a-z0-9-]{{2,59}}|[a-z]{{2,24}}+(?!{LETTER}))", re.IGNORECASE
)
DOMAIN = re.compile(
    rf"(?:[\w-]{{1,63}}\.){{1,8}}(?:[a-z]{{2,24}}+(?!{LETTER})|(?:{LETTER}){{2,24}}|[{UNSPACED}]{{2,24}})",
    re.IGNORECASE,
)
NOBODYS = re.compile(
    r"git@[\w.-]+[:/]|[^@]+@\dx\.(?:png|jpe?g|gif|svg|webp)\b"
)  # where code is, and pictures for fine screens
NEXT_SENTENCE = re.compile(r"(?<=[a-z0-9])\.[A-Z][a-z]*\Z")
CREDENTIALS = re.compile(r"\b([a-z][a-z0-9+.-]{1,15}://)[^\s/@:]{0,100}:[^\s/]{1,200}@", re.IGNORECASE)
SECRET = re.compile(
    r"([?&](?:access_token|api_?key|auth|code|key|password|pwd|secret|sig|signature|token)=)[^\s&#\"'<>]{1,2000}",
    re.IGNORECASE,
)
OUR_KEY = re.compile(r"\banneal-[0-9a-f]{8}-[\w-]{20,100}|\bsk-[\w-]{16,200}")
IP4 = re.compile(r"(?<![\w.])(?:\d{1,3}\.){3}\d{1,3}(?![\w]|\.\d)")
IP6 = re.compile(r"(?<![\w:.])[0-9a-f:]{2,39}:[0-9a-f:.]{0,39}(?![\w:])", re.IGNORECASE)


def without_secrets(text: str) -> str:
    """`text` with `<SECRET>` for passwords and tokens in URLs, and for keys of gateways."""
    if "://" in text:
        text = CREDENTIALS.sub(r"\1<SECRET>@", text)
    if "=" in text:
        text = SECRET.sub(r"\1<SECRET>", text)
    return OUR_KEY.sub("<SECRET>", text) if "-" in text else text


def mails(text: str) -> Iterator[Span]:
    """Where mail addresses stand in a plain text: around each @, what may be a local part (RFC 5321) and a domain
    with a top level.
    """
    place = text.find("@")
    done = 0
    while place >= 0:
        local = LOCAL.match(text[max(done, place - MOST_LOCAL) : place][::-1])
        name = local[0][::-1].lstrip(".'%-~") if local else ""
        domain = (ASCII_DOMAIN.match(text, place + 1) or DOMAIN.match(text, place + 1)) if name else None
        if domain and not NOBODYS.match(text, place - len(name)):
            done = place + 1 + len(_without_next_sentence(domain[0]))
            yield place - len(name), done
        place = text.find("@", place + 1)


def _without_next_sentence(domain: str) -> str:
    """`example.org` of `example.org.Thanks`, where the blank after the full stop was forgotten."""
    start = NEXT_SENTENCE.search(domain)
    return (
        domain[: start.start()]
        if start and "." in domain[: start.start()] and domain[: start.start()].islower()
        else domain
    )


def ips6(text: str) -> Iterator[Span]:
    """Where addresses of version 6 stand in a plain text."""
    return (match.span() for match in IP6.finditer(text) if is_ip(match[0]))


def ips4(text: str) -> Iterator[Span]:
    """Where addresses of version 4 stand in a plain text."""
    return (match.span() for match in IP4.finditer(text) if is_ip(match[0]))


def is_ip(text: str) -> bool:
    """An address of version 4 or 6, but not the empty ones, which are words of computing and nobody's."""
    try:
        return int(ipaddress.ip_address(text.rstrip("."))) > 1
    except ValueError:
        return False
