"""The one place of the results."""

from pathlib import Path

FOLDER = Path(__file__).parent / "results"
