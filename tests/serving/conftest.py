"""A server with a fake model of each kind, shared by the tests of a file."""

import pytest
from support.server_requests import LIMITS, send_request
from support.serving_fakes import make_serving, running, start


@pytest.fixture(scope="module")
def serving(tmp_path_factory):
    return start(make_serving(LIMITS), tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def port(serving):
    with running(serving) as (_, port):
        yield port


@pytest.fixture
def send(port):
    def send_to(path, body=None, **headers):
        return send_request(port, path, body, **headers)

    return send_to
