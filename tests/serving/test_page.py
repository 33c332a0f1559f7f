"""The page, as a person uses it, in Chromium without a window."""

import shutil

import numpy as np
import pytest
from support.common import needs
from support.serving_fakes import make_serving, running, start

from bert_tf.metrics.entities import entity_spans

webdriver = needs("selenium.webdriver", "selenium>=4.20,<5")
from selenium.common.exceptions import TimeoutException  # noqa: E402
from selenium.webdriver.common.by import By  # noqa: E402
from selenium.webdriver.common.keys import Keys  # noqa: E402
from selenium.webdriver.support.ui import Select, WebDriverWait  # noqa: E402

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
DRIVER = shutil.which("chromedriver")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not (CHROMIUM and DRIVER),
        reason="Chromium or its driver is not installed: apt-get install "
        "chromium-driver",
    ),
]


@pytest.fixture(scope="module")
def browser():
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu"):
        options.add_argument(argument)
    service = webdriver.ChromeService(executable_path=DRIVER)
    with webdriver.Chrome(options=options, service=service) as driver:
        yield driver


@pytest.fixture
def serving(tmp_path):
    return start(make_serving(), tmp_path)


@pytest.fixture
def page(browser, serving):
    with running(serving) as (_, port):
        browser.get(f"http://127.0.0.1:{port}/")
        yield Page(browser)
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


def test_a_text_gets_its_label_and_bars(page):
    page.choose("single_label")
    page.type(text="win a prize")
    page.ask()
    assert page.shows(".best", "win a pri")
    # A label is text, whatever is in it.
    assert page.shows(".row span:first-child", "<b>spam</b>", "ham")
    assert page.shows(".number", "98.9 %", "1.1 %")


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


def predictor_of(serving, name):
    with serving.models[name].use() as version:
        return version.predictor


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
    predictor = predictor_of(serving, "tags")
    find = predictor._tags

    def give(requests, texts):
        columns = find(requests, texts)
        return columns | {"tags": np.array([[t.encode() for t in tags]], "O")}

    predictor._tags = give
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
    assert page.shows(".error", "Text: nothing is typed.")
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


def test_errors_are_told_in_words(page):
    page.choose("single_label")
    page.ask()
    assert page.shows(".error", "Text: nothing is typed.")
    page.type(text="breaks the model")
    page.ask()
    assert page.shows(".error", "internal error; see the server's log")
