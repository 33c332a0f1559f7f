"""docs/fit.md: its code runs as it is, and prints what the page shows."""

import contextlib
import io
import re

import numpy as np
import pytest
from support.common import ROOT

PAGE = (ROOT / "docs" / "fit.md").read_text(encoding="utf-8")
NUMBER = re.compile(r"\b\d+\.\d+\b")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Gradients do not exist:UserWarning")
def test_the_page_about_fit_shows_what_comes_out(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {}
    blocks = re.findall(r"^```(\w*)\n(.*?)^```$", PAGE, re.M | re.S)
    num_shown = 0
    for (language, code), (following, shown) in zip(
        blocks, [*blocks[1:], ("end", "")], strict=True
    ):
        if language != "python":
            continue
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(code, names)
        if following == "":
            assert_about_equal(printed.getvalue(), shown)
            num_shown += 1
        else:
            assert printed.getvalue() == ""
    assert num_shown == 5
    assert (tmp_path / "messages_export" / "saved_model.pb").exists()


def assert_about_equal(printed, shown):
    """Another machine may round a score to the next tenth."""
    assert NUMBER.sub("0", printed) == NUMBER.sub("0", shown)
    found, expected = (
        [float(number) for number in NUMBER.findall(text)]
        for text in (printed, shown)
    )
    np.testing.assert_allclose(found, expected, atol=0.11)
