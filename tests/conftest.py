"""What all tests share: property tests that try the same examples everywhere, without a clock."""

from hypothesis import settings

settings.register_profile("repeatable", deadline=None, derandomize=True)
settings.load_profile("repeatable")
