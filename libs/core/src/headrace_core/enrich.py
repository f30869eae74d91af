"""Enrichment that needs no data files: page path, referrer medium, campaign parameters of a URL."""

from __future__ import annotations

from functools import lru_cache
from typing import Literal, TypeAlias
from urllib.parse import unquote_plus

__all__ = ["NO_CAMPAIGN", "Campaign", "Medium", "campaign_of_url", "host_of", "path_of", "referrer_medium"]

Medium: TypeAlias = Literal["internal", "search", "social", "email", "unknown"]


Campaign: TypeAlias = tuple[str | None, str | None, str | None]
"""utm_source, utm_medium, utm_campaign; None where one is not given."""

NO_CAMPAIGN: Campaign = (None, None, None)

_SEARCH = (
    "google bing yahoo duckduckgo baidu yandex ecosia startpage qwant naver seznam sogou ask aol brave kagi"
)
_SOCIAL = (
    "facebook instagram twitter linkedin pinterest reddit tiktok youtube snapchat tumblr vk weibo whatsapp telegram "
    "discord threads bsky xing quora"
)
_MEDIUM_OF_NAME: dict[str, Medium] = {
    **dict.fromkeys(_SEARCH.split(), "search"),
    **dict.fromkeys(_SOCIAL.split(), "social"),
}
_MEDIUM_OF_HOST: dict[str, Medium] = {
    "t.co": "social",
    "x.com": "social",
    "lnkd.in": "social",
    "fb.com": "social",
    "fb.me": "social",
    "youtu.be": "social",
    "t.me": "social",
    "news.ycombinator.com": "social",
    "mail.google.com": "email",
    "mail.yahoo.com": "email",
    "outlook.live.com": "email",
    "outlook.office.com": "email",
    "mail.aol.com": "email",
    "mail.yandex.ru": "email",
    "mail.proton.me": "email",
    "web.de": "email",
    "gmx.net": "email",
}


def host_of(url: str) -> str | None:
    """Host of an absolute URL in lower case, without user, port and a leading www; None where there is none."""
    parts = url.split("/", 3)
    if len(parts) < 3 or parts[1] or parts[0][-1:] != ":":
        return None
    host = parts[2].lower()
    if ":" in host or "@" in host or "?" in host or "#" in host:
        host = _host_of_authority(host)
    return host.removeprefix("www.") or None


def _host_of_authority(authority: str) -> str:
    """The host beside user and port, before a query or fragment that follows it without a path."""
    place = authority.partition("?")[0].partition("#")[0].rpartition("@")[2]
    return place.partition("]")[0] + "]" if place[:1] == "[" else place.partition(":")[0]


def path_of(url: str) -> str | None:
    """Path of an absolute URL, ``/`` where it is empty; None where the URL is not absolute."""
    scheme, found, rest = url.partition("://")
    if not found or "/" in scheme:
        return None
    _, slash, path = rest.partition("#")[0].partition("?")[0].partition("/")
    return slash + path or "/"


def referrer_medium(referrer: str | None, page_url: str | None) -> Medium | None:
    """What kind of place a visitor came from; None without a referrer that names a host."""
    if not referrer:
        return None
    site = page_url or ""
    if site.startswith(("https://", "http://")):
        # Pages are many, their sites few: without its path a URL can be remembered, and has the same host.
        end = site.find("/", _PATH_FROM)
        site = site if end < 0 else site[:end]
    if len(referrer) + len(site) <= _REMEMBERED_LENGTH:
        return _known_medium(referrer, site)
    return _medium_between(referrer, site)


_PATH_FROM = len("https://")
_LONGEST_HOST = 512
_REMEMBERED_LENGTH = 512
"""Longer ones are not kept in memory."""


def _medium_between(referrer: str, site: str) -> Medium | None:
    host = host_of(referrer)
    if host is None:
        return None
    return "internal" if host == host_of(site) else _medium_of(host)


_known_medium = lru_cache(maxsize=4096)(_medium_between)


def _medium_of(host: str) -> Medium:
    """The list knows hosts and, of search engines and networks, the name before any public suffix (google.co.uk)."""
    if len(host) > _LONGEST_HOST:
        return "unknown"
    if known := _MEDIUM_OF_HOST.get(host):
        return known
    for label in host.split(".")[-3:-1]:
        if known := _MEDIUM_OF_NAME.get(label):
            return known
    return "unknown"


def campaign_of_url(url: str | None) -> Campaign:
    """The utm parameters of a URL's query; of repeated ones the first counts."""
    if url is None or "utm_" not in url:
        return NO_CAMPAIGN
    query = url.partition("#")[0].partition("?")[2]
    found: dict[str, str] = {}
    for pair in query.split("&"):
        name, _, value = pair.partition("=")
        if name.startswith("utm_") and value:
            found.setdefault(name, unquote_plus(value))
    return (found.get("utm_source"), found.get("utm_medium"), found.get("utm_campaign"))
