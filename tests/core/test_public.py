"""The public names: each is there, and none is imported before it is used."""

import subprocess
import sys

import pytest

import palpate


@pytest.mark.parametrize("name", palpate.__all__)
def test_every_public_name_is_there(name):
    value = getattr(palpate, name)
    assert name == "__version__" or value.__doc__
    assert name in dir(palpate)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="has no attribute 'swep'"):
        palpate.swep  # noqa: B018


def test_palpate_itself_imports_nothing_heavy():
    code = "import sys, palpate; print(sorted({'torch', 'numpy', 'polars', 'pydantic'} & set(sys.modules)))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
