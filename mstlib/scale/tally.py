"""What an evaluation counts."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Tally:
    """What was counted: whole numbers, so that tallies of parts add up exactly.

    Attributes:
        images: Images simulated.
        right: Right answers after each of the T steps.
        spike_counts: Spikes emitted by each layer, over all images and steps.
        neurons: Neurons of each layer.
        delivered: Spikes that passed each mask with a ratio above 0.
        classes: How many the network tells apart.
    """

    images: int
    right: tuple[int, ...]
    spike_counts: dict[str, int]
    neurons: dict[str, int]
    delivered: dict[str, int]
    classes: int

    def __add__(self, other: Tally) -> Tally:
        """Count both."""
        return Tally(
            self.images + other.images,
            tuple(a + b for a, b in zip(self.right, other.right, strict=True)),
            {k: n + other.spike_counts[k] for k, n in self.spike_counts.items()},
            self.neurons,
            {k: n + other.delivered[k] for k, n in self.delivered.items()},
            self.classes,
        )

    @property
    def steps(self) -> int:
        """T."""
        return len(self.right)

    @property
    def image_steps(self) -> int:
        """Steps, summed over the images."""
        return self.images * self.steps

    @property
    def accuracy(self) -> list[float]:
        """The share of right answers after each step."""
        return [right / self.images for right in self.right]

    @property
    def firing_rates(self) -> dict[str, float]:
        """Spikes per neuron and step in each layer."""
        return {
            name: spikes / (self.neurons[name] * self.image_steps)
            for name, spikes in self.spike_counts.items()
        }
