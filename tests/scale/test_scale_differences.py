"""What a folder holds against what is asked for."""

from mstlib.scale.differences import differences


def test_they_are_named_in_order_and_kept_short():
    there, now = {"b": 1, "a": "x" * 200, "gone": 3}, {"new": 4, "a": 2, "b": 1}
    long = "'" + "x" * 76 + "…"
    assert differences(there, now) == (
        f"a: {long} there, 2 now; gone: 3 there, None now; new: None there, 4 now"
    )


def test_the_same_has_none():
    assert differences({"a": 1, "b": [2]}, {"b": [2], "a": 1}) == ""
