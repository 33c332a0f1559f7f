"""Files with a word in each row, as people have them."""

import pytest
from support.common import ROOT

from bert_tf.data import tagging
from bert_tf.data.splits import FileSettings
from bert_tf.data.tagging import LearnedTags, WordColumns
from bert_tf.errors import UserError

REPORTS = ROOT / "tests" / "reports"
TRAIN = REPORTS / "N_train.conll"
TAGS = ["O", "B-LOC", "B-PER", "I-PER"]
FIRST = "Anna Smith went to Rome in May .".split()
FIRST_TAGS = "B-PER I-PER O O B-LOC O O O".split()


def read(path, set_type="train", *, strict=False, missing=None, **columns):
    """The sentences of a file, and the model's tags."""
    files = {f"{set_type}_file": str(path)}
    if set_type != "train":
        files["train_file"] = str(TRAIN)
    settings = FileSettings(**files, strict=strict, missing_label=missing)
    sets = ["train"] if set_type == "train" else ["train", set_type]
    found = tagging.read_sets(settings, sets, None, WordColumns(**columns))
    return found.sets[set_type], found.tags


def written(sentences, spelling=str):
    return "".join(
        tagging.conll_lines(s, ["O"] * len(s.words)) for s in sentences
    )


@pytest.fixture
def file(tmp_path):
    def write(content, name="words.conll"):
        path = tmp_path / name
        path.write_text(content, encoding="utf-8")
        return path

    return write


# ---------------------------------------------------------------------------
# Columns.


@pytest.mark.parametrize(
    "name, tags",
    [
        ("N06_germeval.tsv", TAGS),
        ("N03_space_in_tab.conll", TAGS),
        ("N10_kaggle_ner.csv", ["O", "B-LOC", "B-per", "I-per"]),
    ],
)
def test_columns_of_other_tools(name, tags, caplog):
    sentences, learned = read(REPORTS / name)
    assert len(sentences) == 30
    assert sentences[0].words == FIRST
    expected = [tag.replace("PER", tags[2][2:]) for tag in FIRST_TAGS]
    assert (sentences[0].labels, learned.labels) == (expected, tags)
    # Line for line the file with a column more, and its own separator.
    lines = (REPORTS / name).read_text().splitlines()
    part = "," if name.endswith("csv") else "\t"
    expected = [
        line + f"{part}O" if line and line[0] != "#" else line for line in lines
    ]
    if part == ",":
        expected[0] = lines[0] + ",prediction"
    assert written(sentences).splitlines() == expected


def test_blanks_inside_words_stay():
    sentences, _ = read(REPORTS / "N03_space_in_tab.conll")
    assert sentences[2].words[:3] == ["Anna", "Smith", "New York"]


def test_germeval_without_comments_and_its_inner_tags(file):
    lines = (REPORTS / "N06_germeval.tsv").read_text().splitlines(True)
    path = file("".join(line for line in lines if line[0] != "#"))
    sentences, _ = read(path)
    assert (sentences[0].words, sentences[0].labels) == (FIRST, FIRST_TAGS)
    sentences, learned = read(path, tag_column="4")
    assert sentences[0].labels[4] == "B-OTH"
    assert learned.labels == ["O", "B-OTH"]
    sentences, learned = read(path, word_column="2", tag_column="-2")
    assert sentences[0].labels == FIRST_TAGS


ROWS = [("Anna", "B-PER"), ("saw", "O"), ("#", "O"), ("Oslo", "B-LOC")]
EXPECTED = (["Anna", "saw", "#", "Oslo"], ["B-PER", "O", "O", "B-LOC"])


def rows(form, end="\n"):
    return (
        "".join(f"{form(i, w, t)}\n" for i, (w, t) in enumerate(ROWS)) + end
    ) * 2


CONLLU = "{}\t{}\tlemma\tX\tY\t_\t0\troot\t_\t{}"
FORMS = {
    "tags first": rows(lambda i, w, t: f"{t}\t{w}"),
    "numbers": rows(lambda i, w, t: f"{i + 1}\t{w}\t{t}"),
    "numbers from 0": rows(lambda i, w, t: f"{i} {w} {t}"),
    "chunks": rows(lambda i, w, t: f"{w} NN B-NP {t}"),
    "numbers and chunks": rows(lambda i, w, t: f"{i + 1} {w} B-NP {t}"),
    "label studio": "-DOCSTART- -X- O\n"
    + rows(lambda i, w, t: f"{w} -X- _ {t}"),
    "comments": "# id 7 domain=en\n" + rows(lambda i, w, t: f"{w} _ _ {t}"),
    "two words of comment": "# newdoc\n" + rows(lambda i, w, t: f"{w} {t}"),
    "header": "Token\tNER\n" + rows(lambda i, w, t: f"{w}\t{t}"),
    "header, tag first": "tag,word\n" + rows(lambda i, w, t: f"{t},{w}"),
    "semicolons": "word;pos;tag\n" + rows(lambda i, w, t: f"{w};X;{t}"),
    "csv without header": rows(lambda i, w, t: f"{w},{t}"),
    "index of pandas": ",sentence_id,words,labels\n"
    + "".join(
        f"{s * 4 + i},{s},{w},{t}\n"
        for s in range(2)
        for i, (w, t) in enumerate(ROWS)
    ),
    "kaggle's other file": "lemma,pos,sentence_idx,word,tag\n"
    + "".join(f"x,NN,{s}.0,{w},{t}\n" for s in (1, 2) for w, t in ROWS),
    "sentence: n": "".join(
        f"{'' if i else f'Sentence: {s}'}\t{w}\tNN\t{t}\n"
        for s in (1, 2)
        for i, (w, t) in enumerate(ROWS)
    ),
    "markup": 2
    * f"<s>\n{rows(lambda i, w, t: f'{w} {t}').split(chr(10) * 2)[0]}\n</s>\n",
    "quoted tsv": rows(lambda i, w, t: f'"{w}"\t"{t}"'),
    "zero for o": rows(lambda i, w, t: f"{w} {t.replace('O', '0')}").replace(
        "B-L0C", "B-LOC"
    ),
    "wikiann": rows(lambda i, w, t: f"en:{w}\t{t}"),
    "pipes": rows(lambda i, w, t: f"{w}|{t}"),
    "conll-2012": "#begin document (a); part 000\n"
    + rows(
        lambda i, w, t: (
            f"a 0 {i} {w} NN (S* - - - A "
            + ("*" if t == "O" else f"({t[2:]})")
            + " -"
        )
    )
    + "#end document\n",
    "trailing tabs": rows(lambda i, w, t: f"{w}\t{t}\t"),
    "conll-u with entities": "# sent_id = 1\n# text = Anna saw # Oslo\n"
    + rows(
        lambda i, w, t: (
            ("2-3\tsaw#" + "\t_" * 8 + "\n" if i == 1 else "")
            + CONLLU.format(i + 1, w, "_" if t == "O" else f"NER={t}|x=1")
        )
    ),
    "lists in cells": "Sentence #,Sentence,Tag\n"
    + 2
    * (
        f'Sentence: 1,"{" ".join(w for w, _ in ROWS)}",'
        f'"{[t for _, t in ROWS]}"\n'
    ),
    "lists with commas": "sentence,word_labels\n"
    + 2
    * (f'"{" ".join(w for w, _ in ROWS)}","{",".join(t for _, t in ROWS)}"\n'),
}


@pytest.mark.parametrize("content", FORMS.values(), ids=FORMS)
def test_forms_of_rows(file, content):
    sentences, tags = read(file(content))
    found = [(s.words, s.labels) for s in sentences]
    assert found == [EXPECTED] * 2
    assert tags.labels == ["O", "B-LOC", "B-PER"]


def test_columns_by_name_and_number(file):
    path = file("Wort,Typ,Rest\n" + rows(lambda i, w, t: f"{w},{t},x"))
    for word, tag in [("Wort", "Typ"), ("wort", "TYP"), ("1", "2")]:
        if word == "1":
            path = file(rows(lambda i, w, t: f"{w} {t} x"))
        sentences, _ = read(path, word_column=word, tag_column=tag)
        assert (sentences[0].words, sentences[0].labels) == EXPECTED


def test_conllu_has_the_tags_that_are_asked_for(file):
    content = rows(lambda i, w, t: CONLLU.format(i + 1, w, "_"))
    content = content.replace("\tX\tY\t", "\tNOUN\tY\t", 1)
    with pytest.raises(UserError, match="tag_column chooses it; there are ID"):
        read(file(content))
    sentences, tags = read(file(content), tag_column="UPOS")
    assert sentences[0].labels == ["NOUN", "X", "X", "X"]
    assert tags.labels == ["NOUN", "X"]


@pytest.mark.parametrize(
    "content, columns, message",
    [
        (
            "7 1 B-X\n8 2 O\n\n9 7 O\n",
            {},
            ":1: all words are numbers in column 1; word_column and "
            "tag_column choose others: 1 is '7', 2 is '1', 3 is 'B-X'",
        ),
        ("a O\nb B-X\n", {"tag_column": "3"}, " has 2 columns, numbered from"),
        ("a O\nb B-X\n", {"tag_column": "0"}, " has 2 columns, numbered from"),
        ("a O\nb B-X\n", {"word_column": "w"}, " has no header; give the "),
        ("word,tag\na,O\nb,B-X\n", {"tag_column": "tog"}, "it has word, tag"),
        ("a O\nb B-X\n", {"tag_column": "1"}, "cannot be in the same column"),
        ('word,tag\n"a,O\nb,B-X\n', {}, ":2: not a row of a table with ','"),
    ],
)
def test_columns_that_are_not_there(file, content, columns, message):
    with pytest.raises(UserError) as error:
        read(file(content), **columns)
    assert message in str(error.value)


def test_latin_1(tmp_path):
    path = tmp_path / "words.csv"
    content = "Sentence #,Word,Tag\nSentence: 1,café,B-x\n,a,O\n"
    path.write_bytes(content.encode("latin-1"))
    sentences, _ = read(path, encoding="latin-1")
    assert sentences[0].words == ["café", "a"]


# ---------------------------------------------------------------------------
# Running text.


def test_running_text_is_predicted_and_refused_elsewhere(file):
    path = REPORTS / "N12_rawtext.txt"
    sentences, _ = read(path, "test")
    assert len(sentences) == 4 and sentences[0].labels is None
    assert sentences[0].words == "Anna Smith went to Oslo in May .".split()
    assert written(sentences).startswith("Anna O\nSmith O\n")
    assert written(sentences).count("\n\n") == 4
    for set_type in "train", "dev":
        with pytest.raises(UserError, match="txt:1: running text, not words"):
            read(path, set_type)


@pytest.mark.parametrize(
    "content, first",
    [
        ("Anna went.\nShe saw Rome with him\n\nAnd so on.\n", "Anna went ."),
        ("Anna saw him in Oslo last week\n", "Anna saw him in Oslo last week"),
        ("我在北京工作。\n她去了上海看朋友。\n", "我 在 北 京 工 作 。"),
        ("Who?\nSmith's in Rome.\nI don't know it.\n", "Who ?"),
    ],
)
def test_other_running_texts(file, content, first):
    sentences, _ = read(file(content, "texts.txt"), "test")
    assert " ".join(sentences[0].words) == first
    assert len(sentences) == len(content.split("\n")) - 1 - ("\n\n" in content)
    with pytest.raises(UserError, match="running text"):
        read(file(content, "texts.txt"))


SAME_LENGTH = "Anna Smith went to Rome .\nPeter saw Big Corp in May\n" * 6


def test_sentences_of_one_length_are_no_columns(file):
    with pytest.raises(UserError, match="conll:1: running text, not words"):
        read(file(SAME_LENGTH))
    sentences, _ = read(file(SAME_LENGTH, "test.txt"), "test")
    assert len(sentences) == 12
    assert sentences[0].words == "Anna Smith went to Rome .".split()


def test_lemmas_without_blank_lines_are_columns(file):
    text = "Anna Anna NNP\nwent go VBD\nto to TO\nRome Rome NNP\n"
    sentences, tags = read(file(text * 5))
    assert len(sentences) == 1
    assert tags.labels == ["NNP", "TO", "VBD"]


@pytest.mark.parametrize("sign", "/|_")
def test_words_and_tags_in_one_cell(sign, file):
    text = "Anna/B-PER went/O to/O Rome/B-LOC ./O\n" * 3
    with pytest.raises(UserError, match="conll:1: words and tags in one cell"):
        read(file(text.replace("/", sign)))


def test_a_file_without_blank_lines_is_said(file, caplog):
    text = "Anna B-PER\nwent O\n. O\n"
    read(file(text * 4))
    assert "one sentence of 12 words, with 3 full stops" in caplog.text
    caplog.clear()
    read(file(f"{text}\n" * 4))
    assert "one sentence" not in caplog.text


def test_words_without_tags_are_no_running_text(file):
    for content in "Anna\nwent\n\nOslo\n", "Anna NNP\nwent VBD\n\nOslo NNP\n":
        sentences, _ = read(file(content), "test")
        found = [s.words for s in sentences]
        assert found == [["Anna", "went"], ["Oslo"]]
        assert all(s.labels is None for s in sentences)


# ---------------------------------------------------------------------------
# Tags in other spellings and schemes.


def test_bilou():
    sentences, tags = read(REPORTS / "N15_bilou.conll")
    assert tags.labels == ["O", "S-LOC", "B-PER", "E-PER"]
    assert tags.scheme == "BIOES"
    write = [tags.spelling.write(tag) for tag in tags.labels]
    assert write == ["O", "U-LOC", "B-PER", "L-PER"]


@pytest.mark.parametrize(
    "change",
    [
        lambda tag: tag.replace("-", "_"),
        lambda tag: tag.replace("-", ":"),
        lambda tag: "-".join(reversed(tag.split("-"))),
        lambda tag: tag.lower().replace("per", "PER").replace("loc", "LOC"),
        lambda tag: tag.replace("O", "_") if tag == "O" else tag,
    ],
)
def test_other_spellings(file, change):
    lines = [line.split() for line in TRAIN.read_text().splitlines()]
    content = "\n".join(
        f"{line[0]} {change(line[1])}" if line else "" for line in lines
    )
    sentences, tags = read(file(content))
    assert tags.labels == TAGS and sentences[0].labels == FIRST_TAGS
    written = [tags.spelling.write(tag) for tag in sentences[0].labels]
    assert written == [change(tag) for tag in FIRST_TAGS]
    # And as files of a model that learned the usual spelling.
    for set_type in "dev", "test":
        sentences, tags = read(file(content), set_type)
        assert sentences[0].labels == FIRST_TAGS


IOB1 = "I-PER I-PER O I-LOC B-LOC".split()
SAME = {
    "IOB1": IOB1,
    "BIO": "B-PER I-PER O B-LOC B-LOC".split(),
    "BIOES": "B-PER E-PER O S-LOC S-LOC".split(),
    "BILOU": "B-PER L-PER O U-LOC U-LOC".split(),
}


@pytest.mark.parametrize("one", SAME)
@pytest.mark.parametrize("other", SAME)
def test_other_schemes_are_the_same_tags(file, one, other, tmp_path):
    """CoNLL-2003 is found with IOB1 in training and BIO in the test file."""
    paths = {}
    for name, scheme in (("train", one), ("dev", other), ("test", other)):
        words = "Anna Smith saw Rome Oslo".split()
        pairs = zip(words, SAME[scheme], strict=True)
        content = "".join(f"{w} {t}\n" for w, t in pairs)
        paths[f"{name}_file"] = str(file(content, f"{name}.conll"))
    found = tagging.read_sets(FileSettings(**paths), ["train", "dev", "test"])
    expected = found.sets["train"][0].labels
    assert found.sets["dev"][0].labels == expected
    assert found.sets["test"][0].labels == expected
    # A later run knows it from task.json.
    learned = LearnedTags.from_record(found.tags.record())
    assert learned == found.tags
    again = tagging.read_sets(FileSettings(**paths), ["test"], learned)
    assert again.sets["test"][0].labels == expected


def test_types_alone_and_plain_tags(file):
    content = "Anna PER\nSmith PER\nis O\nin O\nOslo LOC\n. O\n"
    sentences, tags = read(file(content))
    assert tags.labels == ["O", "I-LOC", "I-PER"]
    content = "Anna PROPN\nis VERB\nin ADP\nOslo PROPN\n. PUNCT\n"
    sentences, tags = read(file(content))
    assert tags.labels == ["ADP", "PROPN", "PUNCT", "VERB"]
    assert sentences[0].labels[1] == "VERB"


# ---------------------------------------------------------------------------
# Unknown and missing tags.


def test_a_new_tag_is_counted_as_missed(caplog):
    path = REPORTS / "N13_dev_newtag.conll"
    for set_type in "dev", "test":
        sentences, tags = read(path, set_type)
        assert sentences[0].labels[5] == "B-ORG" and tags.labels == TAGS
    with pytest.raises(UserError, match=r"conll:6: 2 of 48 words .* strict$"):
        read(path, "dev", strict=True)


@pytest.mark.parametrize("mark", ["_", "-", "?", "-100", "null"])
def test_marks_for_no_tag(file, mark):
    content = f"Anna B-PER\nis O\n. O\n\nOslo {mark}\nis O\n\na {mark}\n"
    path = file(content)
    sentences, tags = read(path)
    assert tags.labels == ["O", "B-PER"]
    assert [s.labels for s in sentences] == [["B-PER", "O", "O"], [None, "O"]]
    sentences, _ = read(path, "test")
    assert [s.label for s in sentences][1:] == [[None, "O"], None]
    with pytest.raises(UserError, match="no tag for 2 words .* strict"):
        read(path, strict=True)


def test_marks_that_are_named(file):
    path = file("Anna B-PER\nis O\n\nOslo B-none\n")
    sentences, tags = read(path, missing=["B-none"])
    assert tags.labels == ["O", "B-PER"] and len(sentences) == 1


def test_marks_that_training_has_as_tags_are_tags(file):
    train = file("a B-X\nb _\nc _\n", "train.conll")
    test = file("a B-X\nb _\nc B-X\n", "test.conll")
    settings = FileSettings(train_file=str(train), test_file=str(test))
    found = tagging.read_sets(settings, ["train", "test"])
    assert found.sets["test"][0].labels == ["B-X", "O", "B-X"]


def test_what_rows_show_is_not_said_where_a_column_is_asked_for(file, caplog):
    path = file("1\tAnna\tB-PER\tB-X\n2\tran\tO\tO\n\n")
    with caplog.at_level("DEBUG", logger="absl"):
        read(path, tag_column="3")
        assert "inner tags" in caplog.text
        caplog.clear()
        read(path, tag_column="4")
        assert "column" not in caplog.text


def test_conll_2012_has_other_tags_by_number(file):
    row = "wb 0 {} {} NNP (TOP* - - - A {} -\n"
    cells = ((0, "Anna", "(PERSON)"), (1, "ran", "*"), (2, "off", "*"))
    path = file("".join(row.format(*one) for one in cells) + "\n")
    assert read(path)[0][0].labels == ["B-PERSON", "O", "O"]
    row = row.replace("NNP", "{}")
    tags = [
        (*one[:2], tag, one[2]) for one, tag in zip(cells, "NVP", strict=True)
    ]
    path = file("".join(row.format(*one) for one in tags) + "\n")
    assert read(path, tag_column="5")[0][0].labels == ["N", "V", "P"]
