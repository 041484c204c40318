"""What the tests of each chapter's exercises share."""

from mstlib.exercises import check


def refused(number, answer, word):
    """See that an answer is taken for a wrong one, and that the message has a word in it."""
    result = check(number, answer)
    assert not result.passed
    assert result.attempted
    assert word in result.message
