"""Pages of runs: what they show, and that all text stays text."""

import html.parser
import pathlib
import re
import xml.etree.ElementTree as ElementTree

import pytest
from support.browser import chromium
from support.common import needs
from support.report_folders import OTHER_KINDS, make_other
from support.report_runs import EVIL, KINDS, make_run

from bert_tf.errors import UserError
from bert_tf.report import blocks, page, stored
from bert_tf.report.markup import isolated, tag

needs("matplotlib", "matplotlib>=3.9,<4")
from bert_tf.report import certainty, pictures, sections, writing  # noqa: E402
from bert_tf.report.answers import Answers  # noqa: E402

WIDTHS = (1200, 390)
ALL_KINDS = [*KINDS, *OTHER_KINDS]
# What is wrong with a page, as a list of texts.
PROBLEMS = """
const found = [];
const root = document.documentElement;
const color = getComputedStyle(document.body).backgroundColor;
const light = color.match(/\\d+/g).map(Number)[0] > 127;
if (light === matchMedia('(prefers-color-scheme: dark)').matches)
  found.push(`paper is ${color}`);
if (root.scrollWidth > innerWidth)
  found.push(`${root.scrollWidth} wide in ${innerWidth}`);
for (const entry of performance.getEntriesByType('resource'))
  found.push(`fetched ${entry.name}`);
if (!document.querySelectorAll('svg').length) found.push('no picture');
for (const details of document.querySelectorAll('details'))
  details.open = true;
if (root.scrollWidth > innerWidth)
  found.push(`${root.scrollWidth} wide in ${innerWidth} when all is open`);
for (const svg of document.querySelectorAll('svg')) {
  const name = svg.querySelector('title').textContent;
  const box = svg.getBoundingClientRect();
  if (box.width < 100 || box.height < 40)
    found.push(`${name}: ${box.width} x ${box.height}`);
  const drawn = svg.querySelectorAll('path, use, rect').length;
  if (drawn < 4) found.push(`${name}: ${drawn} shapes`);
  for (const text of svg.querySelectorAll('text')) {
    const inner = text.getBoundingClientRect();
    if (inner.left < box.left - 3 || inner.right > box.right + 3 ||
        inner.top < box.top - 3 || inner.bottom > box.bottom + 3)
      found.push(`${name}: "${text.textContent}" is cut off`);
  }
}
return found;
"""


SVG = "{http://www.w3.org/2000/svg}"


class Reader(html.parser.HTMLParser):
    """The elements of a page, and its text."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.ids, self.texts = [], [], []
        self.feed(text)

    def handle_starttag(self, name, attributes):
        self.elements.append((name, dict(attributes)))
        self.ids += [value for key, value in attributes if key == "id"]

    def handle_data(self, data):
        self.texts.append(data)

    @property
    def text(self):
        return "".join(self.texts)


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    """{kind: path of the page of a run}."""
    folder = tmp_path_factory.mktemp("runs")
    made = {}
    for kind in ALL_KINDS:
        if kind in OTHER_KINDS:
            run = make_other(folder / kind, kind)
        else:
            run = make_run(folder / kind, kind, known=kind != "relation")
        made[kind] = writing.write_page(run)
        assert made[kind] == f"{run}/report.html"
    return made


@pytest.fixture(scope="module")
def pages(paths):
    """{kind: the page of a run}."""
    return {
        kind: pathlib.Path(path).read_text("utf-8")
        for kind, path in paths.items()
    }


@pytest.mark.parametrize("kind", ALL_KINDS)
def test_nothing_in_the_data_becomes_markup(pages, kind):
    text = pages[kind]
    assert "<script" not in text and "alert(1)</" not in text
    reader = Reader(text)
    assert not {name for name, _ in reader.elements} & {"script", "iframe"}
    handlers = [
        key
        for _, attributes in reader.elements
        for key in attributes
        if key.startswith("on")
    ]
    assert not handlers
    # Character for character, but for the one that no page can hold.
    assert EVIL.replace("\x07", "\ufffd") in reader.text
    # Nothing is fetched: links lead to files and to places in the page.
    for name, attributes in reader.elements:
        assert "src" not in attributes
        for key in ("href", "xlink:href"):
            link = attributes.get(key, "#")
            assert link.startswith(("#", "file:///")), (name, link)


@pytest.mark.parametrize("kind", ALL_KINDS)
def test_pictures_are_valid_and_have_text_alternatives(pages, kind):
    found = re.findall("<svg.*?</svg>", pages[kind], flags=re.DOTALL)
    assert len(found) > (2 if kind in OTHER_KINDS else 5)
    for text in found:
        root = ElementTree.fromstring(text)
        assert root.get("role") == "img"
        names = {
            child.get("id"): child.text
            for child in root
            if child.tag in (f"{SVG}title", f"{SVG}desc")
        }
        assert all(names[root.get(f"aria-{key}")] for key in NAMED), names
        # Colours are the page's; a reader in the dark sees all of it.
        assert not re.findall("#[0-9a-f]{6}", text)


NAMED = ("labelledby", "describedby")


@pytest.mark.parametrize("kind", ALL_KINDS)
def test_ids_are_unique_and_links_lead_somewhere(pages, kind):
    reader = Reader(pages[kind])
    assert len(reader.ids) == len(set(reader.ids))
    for _, attributes in reader.elements:
        for key in ("href", "xlink:href"):
            link = attributes.get(key) or ""
            assert not link.startswith("#") or link[1:] in reader.ids, link
    used = set(re.findall(r"url\(#([^)]+)\)", pages[kind]))
    assert used <= set(reader.ids)


def test_a_page_of_labels_shows_the_worst_mistake_and_its_place(pages):
    text = Reader(pages["single_label"]).text
    assert "The most confident mistakes (dev set)" in text
    assert re.search(r"predicted ham \(\d\d\.\d\s%\)", text)
    links = re.findall(r'href="(file:///[^"]*#L\d+)"', pages["single_label"])
    assert links and all("%3Cscript%3E" in link for link in links)
    # The label's own column, not the row's number.
    assert "best: step 30" in pages["single_label"]
    assert "A sequence holds 9 WordPieces" in text
    assert "1 h 1 min" in text or "1 h 2 min" in text


def test_many_labels_get_a_table_of_confusions(pages):
    text = Reader(pages["relation"]).text
    assert "The commonest confusions (dev set)" in text
    assert "The 20 labels with the lowest F1, of 24." in text
    assert "Predictions (test set)" in text  # Its labels are not known.


def test_calibration_is_shown_before_and_after(tmp_path):
    run = make_run(tmp_path / "run", "single_label", temperature=2.0)
    answers = Answers.of(stored.read(run), "eval")
    shown = certainty.blocks(answers)
    text = Reader("".join(block.html() for block in shown)).text
    errors = re.findall(
        r"Reliability (before|after) calibration: the expected calibration "
        r"error is (\d+\.\d) %",
        text,
    )
    found = dict(errors)
    assert set(found) == {"before", "after"}
    assert found["before"] != found["after"]


def test_a_run_that_only_trained_has_a_page(tmp_path):
    run = make_run(tmp_path / "run", "single_label")
    for name in ("eval", "test"):
        (tmp_path / f"run/{name}_report.json").unlink()
        (tmp_path / f"run/report/{name}.jsonl").unlink()
    text = Reader(sections.page_of(stored.read(run))).text
    assert "Training" in text and "mistakes" not in text


def test_results_of_another_file_know_the_run_s_task(tmp_path):
    make_run(tmp_path / "run", "single_label")
    inside = tmp_path / "run" / "predictions" / "new"
    make_run(inside, "single_label", known=False)
    (inside / "task.json").unlink()
    (inside / "report" / "eval.jsonl").unlink()
    (inside / "eval_report.json").unlink()
    text = Reader(sections.page_of(stored.read(str(inside)))).text
    assert "Predictions (test set)" in text
    assert "The least certain texts:" in text


@pytest.mark.parametrize(
    "damage, expected",
    [
        (lambda run: run / "no", "no: no such folder"),
        (lambda run: run / "report", "report: not the folder of a run"),
        (
            lambda run: broken(run, "report/eval.jsonl"),
            "eval.jsonl:1: not JSON",
        ),
        (lambda run: broken(run, "task.json"), "task.json:1: not JSON"),
    ],
)
def test_what_is_wrong_is_named(tmp_path, damage, expected):
    make_run(tmp_path / "run", "regression")
    with pytest.raises(UserError, match=re.escape(expected)):
        writing.write_page(str(damage(tmp_path / "run")))


def broken(run, name):
    (run / name).write_text("{,\n")
    return run


def test_texts_in_pictures_stay_as_they_are():
    text = pictures.bars(
        "t", "d", ['id="x" 1.23456 #010203'], [("a", [1.0])], x_label="$x$"
    )
    inside = [*ElementTree.fromstring(text).itertext()]
    assert 'id="x" 1.23456 #010203' in inside and "$x$" in inside


def test_elements_escape_what_is_not_markup():
    inner = tag("b", "<&")
    assert tag("p", inner, None, ["'", 1], title='"<') == (
        '<p title="&quot;&lt;"><b>&lt;&amp;</b>&#x27;1</p>'
    )


def test_long_curves_are_thinned_out():
    many = pictures.thinned(100_000)
    assert many[0] == 0 and many[-1] == 99_999 and len(many) <= 300
    steps = range(100_000)
    text = pictures.curves(
        "t", "d", [pictures.Curve("", steps, steps)], x_label="", y_label=""
    )
    assert len(text) < 20_000


def test_a_long_text_is_shortened_and_can_be_opened():
    item = blocks.Example([("", "word " * 500)])
    shown = item.html()
    summary = re.search("<summary>(.*?)</summary>", shown)[1]
    assert len(summary) < 450 and " […] " in summary
    assert shown.startswith("<li><details")


def test_the_table_of_contents_leads_to_sections_with_content():
    several = [
        page.Section("A & b", [blocks.Paragraph("x")]),
        page.Section("Empty", []),
        page.Section("C", [blocks.Code("y")]),
    ]
    reader = Reader(page.render("Title", several))
    links = [a["href"] for name, a in reader.elements if name == "a"]
    assert links == ["#a-b", "#c"] and {"a-b", "c"} <= set(reader.ids)


@pytest.fixture(scope="module")
def browser():
    with chromium() as driver:
        yield driver


@pytest.mark.slow
def test_pages_show_all_they_have(browser, paths):
    for kind, path in paths.items():
        for width in WIDTHS:
            browser.execute_cdp_cmd(
                "Emulation.setDeviceMetricsOverride",
                {
                    "width": width,
                    "height": 800,
                    "deviceScaleFactor": 1,
                    "mobile": width < 500,
                },
            )
            scheme = "dark" if width < 500 else "light"
            feature = {"name": "prefers-color-scheme", "value": scheme}
            browser.execute_cdp_cmd(
                "Emulation.setEmulatedMedia", {"features": [feature]}
            )
            browser.get(f"file://{path}")
            problems = browser.execute_script(PROBLEMS)
            assert not problems, (kind, width, problems)
            assert not browser.get_log("browser"), (kind, width)


def test_answers_that_are_not_numbers_are_left_out_and_named(tmp_path):
    run = make_run(tmp_path, "single_label")
    path = pathlib.Path(run, "report", "eval.jsonl")
    lines = path.read_text("utf-8").splitlines()
    lines[0] = re.sub(r'"logits": ?\[[^,\]]*', '"logits":[null', lines[0])
    path.write_text("\n".join(lines) + "\n", "utf-8")
    stored_run = stored.read(str(run))
    assert stored_run.not_finite == {"eval": 1}
    assert len(stored_run.rows["eval"]) == len(lines) - 1
    text = Reader(sections.page_of(stored_run)).text
    assert "1 answer is no finite number: the model has diverged" in text


def test_a_line_that_lacks_something_is_one_error(tmp_path):
    run = make_run(tmp_path, "single_label")
    path = pathlib.Path(run, "report", "eval.jsonl")
    path.write_text('{"logits": [1, 2]}\n', "utf-8")
    with pytest.raises(UserError, match=r"report: a file is damaged.*'label'"):
        writing.write_page(str(run))


def test_words_from_right_to_left_do_not_pull_numbers_along():
    assert isolated("שלום") == "\u2068שלום\u2069"
    assert isolated("ham") == "ham"
