"""Completion in a module of one file shows what is public, and nothing that it imports."""

import types

import pytest

import jaxspike as js

MODULES = {
    name: value
    for name, value in vars(js).items()
    if isinstance(value, types.ModuleType)
    and not name.startswith("_")
    and not hasattr(value, "__path__")
}


@pytest.mark.parametrize("name", MODULES)
def test_completion_shows_public_names_only(name):
    module = MODULES[name]
    shown = [n for n in dir(module) if not n.startswith("_")]
    assert shown == sorted(module.__all__)
    defined = {
        n for n, v in vars(module).items() if getattr(v, "__module__", "") == module.__name__
    }
    assert {n for n in defined if not n.startswith("_")} == set(module.__all__)
