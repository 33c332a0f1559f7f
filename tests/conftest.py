"""Settings and fixtures of all tests."""

import gc
import pathlib

import hypothesis
import pytest

from bert_tf import extras

TESTS = pathlib.Path(__file__).parent
# A process takes one file after the other. These take longest, so they come
# first, and no process waits for another one's long file at the end.
LONGEST = [
    "programs/test_processes.py",
    "programs/test_training_run.py",
    "programs/test_labelled_texts.py",
    "test_notebooks.py",
    "tools/test_serve.py",
    "test_demo.py",
    "training/test_distribution.py",
    "tools/test_serve_workers.py",
    "test_docs.py",
    "training/test_vector_trainer.py",
    "tools/test_train_embeddings.py",
    "tools/test_benchmark_inference.py",
    "export/test_serving_modules.py",
    "test_preprocessing.py",
    "export/test_engines.py",
    "programs/test_defaults.py",
    "test_run_squad.py",
    "export/test_fitted.py",
    "test_run_classifier.py",
    "export/test_question_answering.py",
    "tools/test_benchmark.py",
    "training/test_loop.py",
    "test_run_pretraining.py",
    "serving/test_load.py",
    "export/test_lite.py",
    "test_embeddings.py",
    "test_heads.py",
]

# {extra: files that import its packages}; without it they are left out.
OF_EXTRAS = {
    "serving": [
        "serving",
        "export/test_fitted.py",
        "export/test_inputs.py",
        "programs/test_calibration.py",
        "tools/test_serve.py",
    ],
    "lite": ["export/test_lite.py"],
    "tables": [
        "data/test_json_objects.py",
        "data/test_other_tables.py",
        "data/test_text_rows.py",
    ],
}
ABSENT = [extra for extra in OF_EXTRAS if extras.missing(extra)]
collect_ignore = [path for extra in ABSENT for path in OF_EXTRAS[extra]]


def pytest_report_header():
    if ABSENT:
        return f"without the extras {', '.join(ABSENT)}: files are left out"
    return None


# TensorFlow makes millions of objects that stay. Looking for cycles among them
# after every 700 new ones, as Python does, took a fifteenth of all time.
gc.set_threshold(20_000, 20, 20)

# The first example of a property traces graphs: seconds, then milliseconds.
hypothesis.settings.register_profile("without deadline", deadline=None)
hypothesis.settings.load_profile("without deadline")


@pytest.hookimpl(tryfirst=True)  # Before tests are chosen by their marks.
def pytest_collection_modifyitems(items):
    places = {TESTS / name: place for place, name in enumerate(LONGEST)}
    for path in places:
        if not path.exists():
            raise pytest.UsageError(f"LONGEST in conftest.py: no {path}")
    items.sort(key=lambda item: places.get(item.path, len(places)))
    for item in items:
        if item.get_closest_marker("thorough"):
            item.add_marker("slow")


@pytest.fixture(scope="module", autouse=True)
def no_garbage_of_other_files():
    """Collects what earlier files left, and does not look at the rest again.

    Python would look at millions of TensorFlow's objects, for seconds, while
    a test waits for a server that runs in its own process.
    """
    gc.collect()
    gc.freeze()


@pytest.fixture
def here(tmp_path, monkeypatch):
    """Files have short names, as errors show them."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def warnings(caplog):
    """Function that gives the messages so far."""
    return lambda: [record.getMessage() for record in caplog.records]
