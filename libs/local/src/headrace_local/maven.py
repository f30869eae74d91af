"""Which Maven repository to fetch jars from: a setting, else the user's configured mirror, else the usual one."""

import re
import xml.etree.ElementTree as ET
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from headrace_local.errors import LocalStackError

__all__ = ["Repository", "choose_repository", "mirror_of_central"]

_CENTRAL = "central"
_URL_VARIABLES = ("HEADRACE_MAVEN_URL", "MAVEN_REPO_URL")


@dataclass(frozen=True, slots=True)
class Repository:
    """A Maven repository: its address without a trailing slash, and credentials if it asks for them."""

    url: str
    username: str | None = None
    password: str | None = field(default=None, repr=False)


def choose_repository(environ: Mapping[str, str], home: Path) -> Repository:
    """The repository that the environment names, else the mirror in `home`'s settings.xml, else the usual one."""
    for variable in _URL_VARIABLES:
        if url := environ.get(variable):
            return Repository(url.rstrip("/"))
    settings = home / ".m2" / "settings.xml"
    if settings.is_file():
        mirror = mirror_of_central(settings.read_text(), environ)
        if mirror is not None:
            return mirror
    return Repository(_usual_url().rstrip("/"))


def mirror_of_central(settings_xml: str, environ: Mapping[str, str]) -> Repository | None:
    """The mirror that a Maven settings file sets for the central repository; None if it sets none.

    An exact `mirrorOf` wins over a pattern, then the order of the file decides, as Maven does it.
    """
    try:
        root = ET.fromstring(settings_xml)  # noqa: S314 - the user's own Maven configuration
    except ET.ParseError as error:
        raise LocalStackError(
            "The Maven settings file cannot be read.",
            why=f"it is not XML: {error}.",
            fix="correct or remove it, or name a repository by HEADRACE_MAVEN_URL.",
            code="local.maven_settings",
        ) from error
    mirrors = [_children(mirror) for mirror in _find(root, "mirror")]
    usable = [m for m in mirrors if m.get("url") and m.get("blocked") != "true"]
    exact = [m for m in usable if m.get("mirrorOf") == _CENTRAL]
    wide = [m for m in usable if _covers_central(m.get("mirrorOf", ""))]
    for mirror in exact + wide:
        servers = [_children(server) for server in _find(root, "server")]
        login = next((s for s in servers if s.get("id") == mirror.get("id")), {})
        return Repository(
            _interpolate(mirror["url"], environ).rstrip("/"),
            _interpolate(login["username"], environ) if "username" in login else None,
            _interpolate(login["password"], environ) if "password" in login else None,
        )
    return None


def _covers_central(mirror_of: str) -> bool:
    patterns = [pattern.strip() for pattern in mirror_of.split(",")]
    return f"!{_CENTRAL}" not in patterns and bool({_CENTRAL, "*", "external:*"} & set(patterns))


def _interpolate(text: str, environ: Mapping[str, str]) -> str:
    return re.sub(r"\$\{env\.(\w+)\}", lambda found: environ.get(found[1], ""), text)


def _find(root: ET.Element, name: str) -> list[ET.Element]:
    return [element for element in root.iter() if _local_name(element) == name]


def _children(element: ET.Element) -> dict[str, str]:
    return {_local_name(child): (child.text or "").strip() for child in element}


def _local_name(element: ET.Element) -> str:
    return element.tag.rpartition("}")[2]


def _usual_url() -> str:
    # The default of a published Maven client: no address of a host is written into this code.
    from maven_artifact import Downloader

    return str(Downloader().resolver.base)
