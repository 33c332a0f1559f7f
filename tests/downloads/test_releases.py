"""The table of released models."""

from bert_tf.downloads import releases, unpacking


def test_names_and_sizes_of_releases():
    names = []
    for release in releases.RELEASES:
        names += [name.casefold() for name in releases.names_of(release)]
        assert release.hidden_size % release.num_attention_heads == 0
        for name in releases.names_of(release):
            assert releases.find(name.upper()) is release
    assert len(set(names)) == len(names)
    assert len(releases.RELEASES) == 1 + 24 + 9
    paper = releases.named("bert-base-uncased")
    assert paper.path == "2018_10_18/uncased_L-12_H-768_A-12.zip"
    # The published checkpoint has 440,425,712 bytes.
    assert (paper.num_parameters, paper.checkpoint_bytes) == (
        109_482_240,
        440_425_712,
    )
    other = releases.named("uncased_L-12_H-768_A-12_2020")
    assert other.path == "2020_02_20/uncased_L-12_H-768_A-12.zip"
    assert releases.find("bert-base") is None
    assert releases.suggest("bert-base-uncasd") == "bert-base-uncased"


def test_the_bundled_model_is_what_the_table_says():
    unpacking.check(releases.DEMO_FOLDER, releases.DEMO)
