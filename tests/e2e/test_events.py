"""Events through an installation in a cluster: in by HTTP, out as rows, whatever happens to its pods."""

from __future__ import annotations

from tests.support.cluster import RELEASE, ROOT, Cluster
from tests.support.release import Release, events, gained, open_release


def test_helm_test_follows_an_event_to_its_row(cluster: Cluster) -> None:
    assert '"loaded_s"' in cluster.helm("test", RELEASE, "--logs", "--timeout=6m")


def test_what_was_sent_twice_is_a_row_once(release: Release) -> None:
    before = release.settled()
    batch = events("twice", 200)
    release.send(batch)
    release.send(batch)
    assert gained(before, release.settled()) == {
        "received": 400,
        "accepted": 200,
        "duplicate": 200,
        "loaded": 200,
    }


def test_pods_that_are_killed_lose_nothing(release: Release) -> None:
    before = release.settled()
    for component in ("dedup", "stage", "load"):
        release.send(events(f"killed-{component}", 100))
        release.cluster.kubectl(
            "delete",
            "pod",
            "--selector",
            f"app.kubernetes.io/component={component}",
            "--grace-period=0",
            "--force",
        )
    more = gained(before, release.settled())
    assert (more["accepted"], more["loaded"]) == (300, 300)


def test_an_upgrade_keeps_data_and_credentials(release: Release) -> None:
    before = release.settled()
    release.cluster.helm(
        "upgrade",
        RELEASE,
        ROOT / "helm" / "headrace",
        "--reuse-values",
        "--set",
        "logLevel=DEBUG",
        "--wait",
        "--timeout=10m",
    )
    assert open_release(release.cluster).key == release.key
    release.send(events("upgraded", 100))
    more = gained(before, release.settled())
    assert (more["accepted"], more["loaded"]) == (100, 100)
    release.cluster.helm("rollback", RELEASE, "1", "--wait", "--timeout=10m")
    release.send(events("rolled-back", 100))
    assert gained(before, release.settled())["loaded"] == 200


def test_no_pod_breaks_the_restricted_profile(cluster: Cluster) -> None:
    """The namespace enforces it, so a pod that breaks it is not there; its owner says so by an event."""
    refused = [
        event for event in cluster.objects("events") if "violates PodSecurity" in event.get("message", "")
    ]
    assert refused == []
