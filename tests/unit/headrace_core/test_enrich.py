"""Pages, referrers and campaigns from URLs alone."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace_core.enrich import campaign_of_url, host_of, path_of, referrer_medium


@pytest.mark.parametrize(
    ("url", "host", "path"),
    [
        ("https://shop.example.com/p/1?q=2#top", "shop.example.com", "/p/1"),
        ("https://WWW.Example.com", "example.com", "/"),
        ("https://example.com?x=/y", "example.com", "/"),
        ("https://example.com#/route", "example.com", "/"),
        ("http://user:secret@example.com:8080/a", "example.com", "/a"),
        ("http://[2001:db8::1]:80/a", "[2001:db8::1]", "/a"),
        ("android-app://com.google.android.gm/", "com.google.android.gm", "/"),
        ("/only/a/path", None, None),
        ("example.com/a", None, None),
        ("mailto:someone@example.com", None, None),
        ("//example.com/a", None, None),
        ("", None, None),
        ("https://", None, "/"),
    ],
)
def test_host_and_path(url: str, host: str | None, path: str | None) -> None:
    assert host_of(url) == host
    assert path_of(url) == path


@pytest.mark.parametrize(
    ("referrer", "page", "medium"),
    [
        (None, "https://example.com/", None),
        ("", "https://example.com/", None),
        ("not a url", "https://example.com/", None),
        ("https://www.example.com/a", "https://example.com/b", "internal"),
        ("https://Example.com:8443/a", "https://EXAMPLE.com/b", "internal"),
        ("https://example.com/a", "https://other.org/?from=example.com", "unknown"),
        ("https://www.google.co.uk/", "https://example.com/", "search"),
        ("https://google.com/search?q=x", None, "search"),
        ("https://search.yahoo.com/", None, "search"),
        ("https://yandex.ru/", None, "search"),
        ("https://t.co/abc", None, "social"),
        ("https://m.facebook.com/", None, "social"),
        ("https://www.reddit.com/r/x", None, "social"),
        ("https://mail.google.com/mail", None, "email"),
        ("https://blog.example.net/post", None, "unknown"),
        ("https://facebook/", None, "unknown"),
        ("https://" + "a" * 60_000 + ".com/", None, "unknown"),
    ],
)
def test_referrer_medium(referrer: str | None, page: str | None, medium: str | None) -> None:
    assert referrer_medium(referrer, page) == medium


@pytest.mark.parametrize(
    ("url", "campaign"),
    [
        (None, (None, None, None)),
        ("https://example.com/?q=1", (None, None, None)),
        ("https://e.com/?utm_source=news&utm_medium=e%2Dmail&utm_campaign=a+b", ("news", "e-mail", "a b")),
        ("https://e.com/?utm_source=a&utm_source=b", ("a", None, None)),
        ("https://e.com/?utm_source=&utm_medium=x", (None, "x", None)),
        ("https://e.com/#utm_source=a", (None, None, None)),
        ("https://e.com/?x=1;utm_source=a", (None, None, None)),
        ("https://e.com/?utm_source=%ff", ("\ufffd", None, None)),
        ("utm_", (None, None, None)),
    ],
)
def test_campaign_of_url(url: str | None, campaign: tuple[str | None, str | None, str | None]) -> None:
    assert campaign_of_url(url) == campaign


@given(st.text(), st.text())
def test_any_text_is_taken(referrer: str, page: str) -> None:
    referrer_medium(referrer, page)
    path_of(page)
    campaign_of_url("?utm_source=" + page)


_HOSTS = st.sampled_from(
    ["a.example", "WWW.a.example", "u:p@a.example:8080", "b.example", "google.com", "", "a.example?x"]
)
_URLS = st.builds(
    "{}{}{}".format,
    st.sampled_from(["https://", "http://", "HTTPS://", "app://", "//", "httpapp://", "https:/"]),
    _HOSTS,
    st.sampled_from(["", "/", "/p/1", "//a.example/", "#/a", "?q=/a"]),
)


@given(referrer=_URLS, page=_URLS, padding=st.sampled_from([0, 600]))
def test_internal_is_what_comes_from_the_host_of_the_page(referrer: str, page: str, padding: int) -> None:
    host = host_of(referrer)
    medium = referrer_medium(referrer, page + "x" * padding)
    assert (medium == "internal") == (host is not None and host == host_of(page + "x" * padding))
    assert (medium is None) == (host is None)
