"""A recording seen at a glance: all its events in one picture, of characters or of pixels."""

import numpy as np

SHADES = " .:-=+*#%@"
DARKER, BRIGHTER = (0xD5, 0x5E, 0x00), (0x00, 0x72, 0xB2)  # told apart by colour-blind eyes too


def sketch(events: np.ndarray, size: tuple[int, int]) -> list[str]:
    """Draw where the events are, as lines of characters.

    Args:
        events: `EVENT` (n,), every pixel within the size.
        size: (height, width) in pixels.

    Returns:
        The lines, of up to 64 characters. The more events in a cell, the darker its character, by
        the root of their number; a cell is twice as high as wide, as characters are.
    """
    height, width = size
    columns = max(1, min(64, width))
    rows = max(1, round(columns * height / max(width, 1) / 2))
    y = events["y"].astype(int) * rows // max(height, 1)
    x = events["x"].astype(int) * columns // max(width, 1)
    counts = np.bincount(y * columns + x, minlength=rows * columns).reshape(rows, columns)
    root = np.sqrt(counts / max(counts.max(), 1))
    shade = np.ceil(root * (len(SHADES) - 1)).astype(int)  # no cell with an event stays blank
    return ["".join(SHADES[k] for k in line) for line in shade]


def picture(events: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Draw how many events each pixel sent, and of which polarity.

    Args:
        events: `EVENT` (n,), every pixel within the size.
        size: (height, width) in pixels.

    Returns:
        Uint8 (height, width, 3): white without events, and the more, the nearer to blue
        (brighter), orange (darker) or what lies between. Pixels that send more than 99 of 100
        that send at all are drawn like those.
    """
    height, width = size
    place = events["y"].astype(int) * width + events["x"]
    counts = np.bincount(place * 2 + events["p"], minlength=height * width * 2)
    counts = counts.reshape(height, width, 2)
    total = counts.sum(2, keepdims=True)
    most = np.quantile(total[total > 0], 0.99) if total.any() else 1
    ink = np.sqrt(np.minimum(total / most, 1))
    hue = counts @ np.array([DARKER, BRIGHTER]) / np.maximum(total, 1)
    return np.rint(255 * (1 - ink) + hue * ink).astype(np.uint8)
