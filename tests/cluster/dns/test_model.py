"""Who may write the name over whom."""

import pytest

from rppam.cluster.dns.model import Mark, mark_of, why_not

OWN = Mark("cluster-001", 7, "node1", "0123456789abcdef")


@pytest.mark.parametrize(
    "own", [OWN, OWN._replace(epoch=1_764_567_890_123, cluster="a", node="b-2", since_ms=1_772_366_400_000)]
)
def test_a_mark_is_read_as_it_was_written(own: Mark) -> None:
    assert mark_of(own.text) == own
    assert len(own.text) < 255, "one string of a TXT record"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "v=spf1 -all",
        OWN.text.replace("rppam1", "rppam2"),
        OWN.text.replace("epoch=7", "epoch=seven"),
        OWN.text.replace("epoch=7", "epoch=-7"),
        OWN.text.replace("epoch=7", "epoch=\u0667"),
        OWN.text.replace(" boot=0123456789abcdef", ""),
        OWN.text.replace("node=node1", "node="),
    ],
)
def test_other_texts_are_no_marks_and_are_not_written_over(text: str) -> None:
    assert mark_of(text) is None
    assert "a text that no leader wrote" in why_not((text,), OWN)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({}, ""),
        ({"epoch": 6, "node": "node2", "boot": "f" * 16}, ""),
        ({"epoch": 8, "node": "node2"}, "node2 wrote it at epoch 8, which is above 7, at which node1 leads"),
        ({"boot": "f" * 16}, r"another process (node1) wrote it at epoch 7"),
        ({"cluster": "staging", "epoch": 1}, "it belongs to the cluster staging: its node node1 wrote it at epoch 1"),
    ],
)
def test_a_lower_epoch_of_the_same_cluster_is_written_over_and_nothing_else(
    changes: dict[str, object], why: str
) -> None:
    found = why_not((OWN._replace(**changes).text,), OWN)  # type: ignore[arg-type]
    assert found.startswith(why)
    assert bool(found) is bool(why)


def test_of_several_texts_each_counts() -> None:
    assert why_not((), OWN) == ""
    assert "epoch 9" in why_not((OWN._replace(epoch=3).text, OWN._replace(epoch=9).text), OWN)
