"""Checks of occlusion chains: each kind of problem by the smallest record that has it."""

import pytest
from sound_records import ROW, TABLES, changed, check, pixel, sound

from maskrcnn_benchmark.data.detail.checks import Tables, check_image


def changed_edges(**values):
    return changed("annos_occlusion", edges={**sound()["annos_occlusion"][0]["edges"], **values})


CHAINS = sound()["annos_occlusion"][0]["edges"]["indices"]


OCCLUSION = "annos_occlusion entry 0 of image 7"


@pytest.mark.parametrize(
    ("chain", "what"),
    [
        ([239, 240], "occlusion chain leaves the image"),
        ([-1, 0], "occlusion chain leaves the image"),
        ([10**400], "occlusion chain leaves the image"),
        (["5"], "occlusion chain is no list of pixel numbers"),
        ([5.5], "occlusion chain is no list of pixel numbers"),
        ([True], "occlusion chain is no list of pixel numbers"),
        ([float("nan")], "occlusion chain is no list of pixel numbers"),
        ([[5]], "occlusion chain is no list of pixel numbers"),
        (5, "occlusion chain is no list of pixel numbers"),
    ],
)
def test_chain_that_is_none_is_left_out(chain, what):
    kept, problems = check(changed_edges(indices=[chain, CHAINS[1]]))
    assert kept["annos_occlusion"] == [
        {**sound()["annos_occlusion"][0], "ne": 1, "edges": {"indices": CHAINS[1:], "edgelabel": [2]}}
    ]
    assert [p[:2] for p in problems] == [(what, f"chain 0 of {OCCLUSION}")]


def test_chains_count_from_where_the_file_counts():
    from_one = Tables(TABLES.categories, TABLES.parts, 1)
    records = changed_edges(indices=[[239, 240], [1]])
    assert check_image(ROW, records, from_one) == (records, [])
    records = changed_edges(indices=[[1, 0], [1]])
    kept, problems = check_image(ROW, records, from_one)
    assert kept["annos_occlusion"][0]["edges"]["indices"] == [[1]]
    assert [p.what for p in problems] == ["occlusion chain leaves the image"]


@pytest.mark.parametrize("label", [0, 3, None, "1", True, float("nan"), [1]])
def test_chain_of_another_label_is_left_out(label):
    kept, problems = check(changed_edges(edgelabel=[1, label]))
    assert kept["annos_occlusion"] == [
        {**sound()["annos_occlusion"][0], "ne": 1, "edges": {"indices": CHAINS[:1], "edgelabel": [1]}}
    ]
    assert [p[:2] for p in problems] == [("label of an occlusion chain is not 1 or 2", f"chain 1 of {OCCLUSION}")]


def test_chains_with_gaps_are_kept_and_counted():
    # from the foot of a column to the head of the next, numbers follow each other, but the pixels are far apart
    chains = [[pixel(3, 11), pixel(4, 0), pixel(5, 1)], [], [pixel(9, 9), pixel(9, 9)], [pixel(0, 0), pixel(2, 0)]]
    records = changed("annos_occlusion", ne=4, edges={"indices": chains, "edgelabel": [1, 1, 2, 2]})
    assert check(records) == (
        records,
        [("occlusion chains are not 8-connected", OCCLUSION, "kept: 2 gaps in 2 of 4 chains")],
    )


def test_other_faults_of_occlusion_records():
    kept, problems = check(changed("annos_occlusion", ne=5))
    assert kept == sound() and [p[0] for p in problems] == ["ne differs from the number of chains"]
    kept, problems = check(changed_edges(edgelabel=[1]))
    assert kept["annos_occlusion"] == []
    assert [p[0] for p in problems] == ["occlusion record has not as many labels as chains"]
    for edges in (None, [], {"indices": []}, {"indices": {}, "edgelabel": []}, ...):
        kept, problems = check(changed("annos_occlusion", edges=edges))
        assert kept["annos_occlusion"] == []
        assert [p[0] for p in problems] == ["occlusion record without lists of chains and labels"]
    for imsize in (None, [12], "12", [0, 5], ...):
        kept, problems = check(changed("annos_occlusion", imsize=imsize))
        assert kept == sound() and [p[0] for p in problems] == ["imsize of an occlusion record is missing or odd"]
    records = sound()
    records["annos_occlusion"].append(sound()["annos_occlusion"][0])
    kept, problems = check(records)
    assert kept == sound()
    assert [p[:2] for p in problems] == [
        ("second occlusion record of an image", "annos_occlusion entry 1 of image 7"),
    ]


def test_chains_are_held_against_their_own_imsize():
    records = changed("annos_occlusion", imsize=[24, 40])
    records["annos_occlusion"][0]["edges"]["indices"] = [[24 * 40 - 1, 24 * 40 - 2], [0]]
    kept, problems = check(records)
    assert kept == records
    assert [p[0] for p in problems] == ["imsize of an occlusion record is not the image's size"]
