"""Print the peak of one contestant's memory in bytes: contestant, network, images, steps."""

import sys

from benchmark import networks
from benchmark.contestants import CONTESTANTS
from benchmark.memory import peak_memory


def main(contestant: str, network: str, images: str, steps: str) -> None:
    """Warm up on one image and one step, then measure."""
    ann, x = networks.load(network, int(images))
    CONTESTANTS[contestant](ann, x[:1], 1)()
    print(peak_memory(CONTESTANTS[contestant](ann, x, int(steps))))


if __name__ == "__main__":
    main(*sys.argv[1:])
