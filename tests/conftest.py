"""Settings and fixtures of all tests."""

import hypothesis
import pytest

# The first example of a property traces graphs: seconds, then milliseconds.
hypothesis.settings.register_profile("without deadline", deadline=None)
hypothesis.settings.load_profile("without deadline")


@pytest.fixture
def here(tmp_path, monkeypatch):
    """Files have short names, as errors show them."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def warnings(caplog):
    """Function that gives the messages so far."""
    return lambda: [record.getMessage() for record in caplog.records]
