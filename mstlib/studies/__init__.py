"""Where the book measures: each study one file, one place for its results."""
