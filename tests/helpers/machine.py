"""What else the machine does while a test measures times."""

import os


def overbooked() -> float:
    """How many times over the cores are booked, at least 1: so much slower may be what is timed."""
    return max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))
