"""The device, and the same models on it and on the CPU."""

import os
from copy import deepcopy

import pytest
from conftest import make_model
from second_device.second import NoCompilerError, make_second


@pytest.fixture(scope="session")
def second():
    try:
        return make_second()
    except NoCompilerError as error:
        if os.environ.get("CI"):  # there somebody has to run these tests
            raise
        pytest.skip(str(error))


@pytest.fixture(scope="module", params=["llama", "qwen3"])
def pair(request, second):
    """A tiny model on the CPU, and on the second device."""
    model = make_model(request.param)
    return model, deepcopy(model).to(second)
