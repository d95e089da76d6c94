"""Layers equal Keras's: outputs, updated statistics and gradients, from the same weights."""

import pytest

from .check import Case, compare
from .table import CORE, MORE


@pytest.mark.parametrize("case", CORE, ids=str)
def test_layer_equals_keras(case: Case):
    compare(case)


@pytest.mark.slow
@pytest.mark.parametrize("case", MORE, ids=str)
def test_configuration_equals_keras(case: Case):
    compare(case)
