"""All tests here run machine code."""

from tests.where_unicorn_is import unicorn  # noqa: F401  a fixture for all of them
