"""The page, as a person uses it, in Chromium without a window."""

import numpy as np
import pytest
from support.browser import chromium
from support.common import needs
from support.search_fakes import serving_of, write_index, write_model
from support.server_requests import predictor_of
from support.serving_fakes import (
    TYPES,
    FakePredictor,
    make_serving,
    running,
    start,
    strings,
)

from bert_tf.export.kinds import KINDS
from bert_tf.metrics.entities import entity_spans

needs("selenium.webdriver", "selenium>=4.20,<5")
from selenium.common.exceptions import TimeoutException  # noqa: E402
from selenium.webdriver.common.by import By  # noqa: E402
from selenium.webdriver.common.keys import Keys  # noqa: E402
from selenium.webdriver.support.ui import Select, WebDriverWait  # noqa: E402

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def browser():
    with chromium() as driver:
        yield driver


@pytest.fixture
def serving(tmp_path):
    return start(make_serving(), tmp_path)


@pytest.fixture
def page(browser, serving):
    with running(serving) as (_, port):
        browser.get_log("browser")  # Forgets what earlier pages logged.
        browser.get(f"http://127.0.0.1:{port}/")
        yield Page(browser)
        # Nothing that the page's policy forbids was tried.
        messages = [entry["message"] for entry in browser.get_log("browser")]
        assert not [text for text in messages if "Content Security" in text]
        for command in ("setEmulatedMedia", "clearDeviceMetricsOverride"):
            browser.execute_cdp_cmd(f"Emulation.{command}", {})
        browser.get("about:blank")  # Lets go of its connections.


class Page:
    def __init__(self, browser):
        self.browser = browser
        self.wait_for("textarea")

    def wait_for(self, selector):
        return WebDriverWait(self.browser, 10).until(
            lambda browser: browser.find_elements(By.CSS_SELECTOR, selector)
        )

    def choose(self, model):
        Select(self.wait_for("#model")[0]).select_by_value(model)

    def type(self, **texts):
        for name, text in texts.items():
            area = self.wait_for(f"textarea[name={name}]")[0]
            area.clear()
            area.send_keys(text)

    def ask(self):
        self.wait_for("#send")[0].click()

    def try_example(self):
        """Presses the button, and waits for an answer."""
        self.browser.execute_script("show()")
        self.wait_for("#example")[0].click()
        self.wait_for("#result > *")
        self.wait_for("#send:not(:disabled)")

    def set_scheme(self, scheme):
        self.browser.execute_cdp_cmd(
            "Emulation.setEmulatedMedia",
            {"features": [{"name": "prefers-color-scheme", "value": scheme}]},
        )

    def set_width(self, width):
        """Shows the page as a telephone of this width does."""
        self.browser.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride",
            {
                "width": width,
                "height": 700,
                "deviceScaleFactor": 1,
                "mobile": True,
            },
        )

    def colours(self, selector, name):
        """The colours of the result's elements, each [r, g, b] up to 255."""
        return self.browser.execute_script(
            COLOURS_SCRIPT, f"#result {selector}", name
        )

    def shows(self, selector, *texts):
        """Whether the result's elements have these texts, after a while."""
        script = (
            "return [...document.querySelectorAll(arguments[0])]"
            ".map((element) => element.innerText)"
        )

        def is_so(browser):
            found = browser.execute_script(script, f"#result {selector}")
            return found == [*texts]

        try:
            return WebDriverWait(self.browser, 10).until(is_so)
        except TimeoutException:
            return False


# The canvas turns every notation of a colour into numbers.
COLOURS_SCRIPT = """
const context = new OffscreenCanvas(1, 1).getContext("2d");
return [...document.querySelectorAll(arguments[0])].map((element) => {
  context.fillStyle = getComputedStyle(element)[arguments[1]];
  context.fillRect(0, 0, 1, 1);
  return [...context.getImageData(0, 0, 1, 1).data].slice(0, 3);
});
"""


def luminance(colour):
    """The relative luminance that WCAG 2 defines."""
    parts = [part / 255 for part in colour]
    linear = [
        p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4
        for p in parts
    ]
    return float(np.dot([0.2126, 0.7152, 0.0722], linear))


def contrast(one, other):
    low, high = sorted([luminance(one), luminance(other)])
    return (high + 0.05) / (low + 0.05)


def test_a_text_gets_its_label_and_bars(page):
    page.choose("single_label")
    page.type(text="win a prize")
    page.ask()
    assert page.shows(".best", "win a pri")
    # A label is text, whatever is in it.
    assert page.shows(".row span:first-child", "<b>spam</b>", "ham")
    assert page.shows(".number", "98.9 %", "1.1 %")
    (engine,) = page.wait_for("#engine")
    assert engine.text == "Computed by the engine float32."


def test_the_keyboard_is_enough(page):
    page.choose("regression")
    area = page.wait_for("textarea")[0]
    area.send_keys("four", Keys.CONTROL, Keys.ENTER)
    assert page.shows(".best", "4")


def test_markup_in_a_text_is_text(page):
    page.choose("single_label")
    page.type(text="<img/src=x>")
    page.ask()
    assert page.shows(".best", "<img/src=")
    assert not page.browser.find_elements(By.CSS_SELECTOR, "#result img")


def test_entities_and_answers_are_marked(page):
    page.choose("tags")
    page.type(text="we saw \U00010330 Ann there")  # Two units in JavaScript.
    page.ask()
    assert page.shows("mark", "AnnPER")
    page.choose("question_answering")
    page.type(question="who?", context="abcdefghijkl")
    page.ask()
    assert page.shows(".best", "defghi")
    assert page.shows("mark", "defghi")


def give_tags(serving, tags):
    """Lets the model answer these tags, whatever the words are."""
    predictor = predictor_of(serving, "tags")
    find = FakePredictor._tags

    def give(requests, texts):
        columns = find(predictor, requests, texts)
        return columns | {"tags": np.array([[t.encode() for t in tags]], "O")}

    predictor._tags = give


@pytest.mark.parametrize(
    "tags",
    [
        "B-PER I-PER O B-LOC E-LOC",
        "B-PER E-PER E-PER I-PER",
        "S-PER S-PER I-PER E-PER",
        "S-PER E-PER",
        "I-PER I-LOC E-LOC I-LOC B-LOC B-LOC",
        "O E-PER E-PER B-PER E-PER O I-PER",
        "B-a-b I-a-b I-a E-a-b",
        "B I E B-PER O I-PER",
    ],
)
def test_entities_are_those_of_python(serving, page, tags):
    tags = tags.split()
    give_tags(serving, tags)
    words = [f"w{place}" for place in range(len(tags))]
    page.choose("tags")
    page.type(text=" ".join(words))
    page.ask()
    assert page.shows(
        "mark",
        *[
            " ".join(words[start:end]) + kind
            for kind, start, end in entity_spans(tags)
        ],
    )


def test_an_answer_of_a_model_that_is_no_longer_chosen_is_dropped(
    serving, page
):
    predictor = predictor_of(serving, "single_label")
    predictor.may_run.clear()
    page.choose("single_label")
    page.type(text="win a prize")
    page.ask()
    page.choose("multiple_choice")
    predictor.may_run.set()
    page.wait_for("#send:not(:disabled)")
    assert page.shows("*")  # Nothing, and no error.
    page.choose("regression")
    page.type(text="four")
    page.ask()
    assert page.shows(".best", "4")


def test_the_second_text_of_a_pair_may_be_empty(serving, page):
    page.browser.execute_script(
        "models.single_label.input_names = ['text', 'text_pair']"
    )
    predictor = predictor_of(serving, "single_label")
    predictor.input_names = ("text", "text_pair")
    page.choose("multi_label")
    page.choose("single_label")
    page.ask()
    assert page.shows(".error", "Please fill in the field “Text”.")
    page.type(text="alone")
    page.ask()
    assert page.shows(".best", "alone")


def test_each_kind_shows_something(page):
    page.choose("multiple_choice")
    page.type(text="so", endings="one\ntwo")
    page.ask()
    assert page.shows(".best", "two")
    for kind, best in (("embedding", "3 numbers"), ("multi_label", "ham")):
        page.choose(kind)
        page.type(text="abc")
        page.ask()
        assert page.shows(".best", best)


def test_errors_are_told_in_words(serving, page):
    page.choose("single_label")
    page.ask()
    assert page.shows(".error", "Please fill in the field “Text”.")
    assert page.wait_for("textarea[aria-invalid=true]")
    page.type(text="breaks the model")
    page.ask()
    words = "Something went wrong in the server. Its log says what."
    assert page.shows(".error", words)
    predictor_of(serving, "single_label").input_names = ("text", "text_pair")
    page.ask()
    words = 'Must be an object of text, text_pair, not of "text".'
    assert page.shows(".error", words)


def test_the_heading_says_what_the_model_does(page):
    page.choose("tags")
    assert page.browser.title == "tags – try the model"
    shown = page.browser.execute_script(
        "return ['title', 'does', 'length', 'labels']"
        ".map((id) => byId(id).innerText)"
    )
    assert shown[0] == "tags" and shown[1].startswith("Finds names")
    assert "any length" in shown[2]
    assert "PER person" in shown[3] and "WORK_OF_ART" in shown[3]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_bars_are_seen_and_not_white(page, scheme):
    page.set_scheme(scheme)
    page.choose("single_label")
    page.type(text="win a prize")
    page.ask()
    page.wait_for("#result .bar")
    (track, *_), (bar, *_), (card,) = (
        page.colours(selector, "backgroundColor")
        for selector in (".bar", ".bar > div", "")
    )
    assert contrast(bar, track) > 3 and contrast(bar, card) > 3
    assert (luminance(track) < 0.1) == (scheme == "dark")
    meters = page.browser.find_elements(By.CSS_SELECTOR, "[role=meter]")
    names = ["aria-label", "aria-valuenow", "aria-valuetext"]
    (first, *_) = [[m.get_attribute(name) for name in names] for m in meters]
    assert first == ["<b>spam</b>", "98.9", "98.9 %"]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_each_type_of_entity_has_its_colour(serving, page, scheme):
    types = TYPES + ("UNKNOWN",)
    give_tags(serving, [f"B-{type}" for type in types])
    page.set_scheme(scheme)
    page.choose("tags")
    page.type(text=" ".join(f"w{place}" for place in range(len(types))))
    page.ask()
    page.wait_for("#result mark")
    grounds = page.colours("mark", "backgroundColor")
    texts = page.colours("mark", "color")
    assert len({*map(tuple, grounds)}) == len(types) == len(grounds)
    for pair in zip(grounds, texts, strict=True):
        assert contrast(*pair) >= 4.5
    # The colour is the type's, whatever else is in the text.
    give_tags(serving, ["B-MISC", "O", "B-PER"])
    page.type(text="a b c")
    page.ask()
    assert page.shows("mark", "aMISC", "cPER")
    again = page.colours("mark", "backgroundColor")
    assert again == [grounds[types.index("MISC")], grounds[0]]
    assert page.shows(".chips li", "MISC other name", "PER person")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_each_kind_fits_a_telephone_and_answers_its_example(page, scheme):
    page.set_scheme(scheme)
    page.set_width(360)
    for kind in KINDS:
        page.choose(kind)
        page.try_example()
        assert not page.browser.find_elements(By.CSS_SELECTOR, ".error")
        widths = page.browser.execute_script(
            "return [...document.querySelectorAll('body, body *')]"
            ".map((e) => Math.ceil(e.getBoundingClientRect().right))"
        )
        assert max(widths) <= 360, kind
        assert (
            page.browser.execute_script(
                "return document.documentElement.scrollWidth"
            )
            <= 360
        ), kind


def test_names_are_marked_with_a_button(page):
    page.choose("relation")
    page.type(text="Ann saw Bo")
    select = "document.querySelector('textarea').setSelectionRange({}, {})"
    for place, button in (((0, 3), 0), ((17, 19), 1), ((4, 7), 0)):
        page.browser.execute_script(select.format(*place))
        page.wait_for("#inputs button")[button].click()
    area = page.wait_for("textarea")[0]
    assert area.get_property("value") == "[E1]Ann[/E1] saw [E2]Bo[/E2]"
    page.ask()
    assert page.shows("mark", "Anne1", "Boe2")


def test_many_labels_are_shown_in_part(serving, page):
    predictor = predictor_of(serving, "single_label")
    answer = predictor._single_label
    labels = [f"a label with the number {i}" for i in range(40)]

    def give(requests, texts):
        columns = {
            "labels": strings([labels] * len(texts)),
            "probabilities": np.linspace([0.0], [0.1], 40).T,
        }
        return answer(requests, texts) | columns

    predictor._single_label = give
    page.choose("single_label")
    page.try_example()
    shown = "#result .row:not([hidden])"
    assert len(page.wait_for(shown)) == 10
    page.wait_for("#result button")[0].click()
    assert len(page.wait_for(shown)) == 40


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_all_addresses_are_listed_without_a_network(page, scheme):
    page.set_scheme(scheme)
    page.wait_for("footer a")[0].click()
    page.wait_for(".opblock-summary-path")
    paths = page.browser.execute_script(
        "return [...document.querySelectorAll('.opblock-summary-path')]"
        ".map((element) => element.dataset.path)"
    )
    assert {"/v1/models/{model}:predict", "/encode", "/status"} <= {*paths}
    loaded = page.browser.execute_script(
        "return [location.origin, ...performance.getEntriesByType('resource')"
        ".map((entry) => new URL(entry.name).origin)]"
    )
    assert len(loaded) > 3 and {*loaded} - {"null"} == {loaded[0]}
    (ink, *_) = page.browser.execute_script(
        COLOURS_SCRIPT, ".opblock-summary-path", "color"
    )
    assert (luminance(ink) > 0.4) == (scheme == "dark")
    page.wait_for(".opblock-summary-control")[0].click()
    page.wait_for(".try-out__btn")[0].click()
    page.wait_for(".execute")[0].click()
    assert page.wait_for(".live-responses-table")


def test_a_model_with_an_index_finds_texts(browser, tmp_path):
    predictor = write_model(tmp_path / "models", 1)
    texts = ["<b>ab</b>", "cd"]
    index = write_index(tmp_path / "index", predictor, texts)
    with running(serving_of(tmp_path / "models", index)) as (_, port):
        browser.get(f"http://127.0.0.1:{port}/")
        page = Page(browser)
        page.type(text="ef")
        page.ask()
        assert page.shows(".found .text", "cd", "<b>ab</b>")
        browser.get("about:blank")
