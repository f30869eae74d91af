"""Which repository the jars come from."""

from pathlib import Path

import pytest

from headrace_local.errors import LocalStackError
from headrace_local.maven import Repository, choose_repository, mirror_of_central


def _settings(*mirrors: str, servers: str = "") -> str:
    return (
        '<settings xmlns="urn:settings">'
        f"<mirrors>{''.join(mirrors)}</mirrors><servers>{servers}</servers></settings>"
    )


def _mirror(of: str, url: str = "https://mirror.test/m", *, name: str = "m", extra: str = "") -> str:
    return f"<mirror><id>{name}</id><mirrorOf>{of}</mirrorOf><url>{url}</url>{extra}</mirror>"


@pytest.mark.parametrize("of", ["central", "*", "external:*", "*,!internal", "other, central"])
def test_a_mirror_that_covers_central_is_used(of: str) -> None:
    assert mirror_of_central(_settings(_mirror(of)), {}) == Repository("https://mirror.test/m")


@pytest.mark.parametrize("of", ["other", "*,!central", "external:http:*", ""])
def test_a_mirror_of_something_else_is_not(of: str) -> None:
    assert mirror_of_central(_settings(_mirror(of)), {}) is None


def test_the_exact_name_wins_over_an_earlier_pattern() -> None:
    text = _settings(_mirror("*", "https://wide.test"), _mirror("central", "https://exact.test"))
    assert mirror_of_central(text, {}) == Repository("https://exact.test")


def test_the_first_of_two_patterns_wins() -> None:
    text = _settings(_mirror("*", "https://first.test"), _mirror("external:*", "https://second.test"))
    assert mirror_of_central(text, {}) == Repository("https://first.test")


def test_a_blocked_mirror_is_skipped() -> None:
    text = _settings(_mirror("central", extra="<blocked>true</blocked>"), _mirror("*", "https://open.test"))
    assert mirror_of_central(text, {}) == Repository("https://open.test")


def test_credentials_come_from_the_server_of_the_same_id_and_the_environment() -> None:
    server = "<server><id>m</id><username>reader</username><password>${env.MAVEN_SECRET}</password></server>"
    text = _settings(_mirror("*", "https://${env.HOST_NAME}/m/"), servers=server)
    found = mirror_of_central(text, {"MAVEN_SECRET": "open sesame", "HOST_NAME": "inside.test"})
    assert found == Repository("https://inside.test/m", "reader", "open sesame")
    assert "open sesame" not in repr(found)


def test_settings_that_are_no_xml_are_an_error_with_a_fix() -> None:
    with pytest.raises(LocalStackError, match="HEADRACE_MAVEN_URL"):
        mirror_of_central("<settings>", {})


def test_the_environment_wins_over_the_settings_file(tmp_path: Path) -> None:
    (tmp_path / ".m2").mkdir()
    (tmp_path / ".m2" / "settings.xml").write_text(_settings(_mirror("*", "https://file.test")))
    both = {"HEADRACE_MAVEN_URL": "https://ours.test/", "MAVEN_REPO_URL": "https://theirs.test"}
    assert choose_repository(both, tmp_path).url == "https://ours.test"
    assert choose_repository({"MAVEN_REPO_URL": "https://theirs.test"}, tmp_path).url == "https://theirs.test"
    assert choose_repository({}, tmp_path).url == "https://file.test"


def test_without_any_setting_the_default_of_a_maven_client_is_used(tmp_path: Path) -> None:
    assert choose_repository({}, tmp_path).url.startswith("https://")
