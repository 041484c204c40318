"""Hours, energy and throughput: the arithmetic, and that what is measured is what ran."""

import json

import pytest
import torch
from tiny import tiny

from mstlib.checkpoints.hub import save_model
from mstlib.cli import main
from mstlib.models.swin import swin_tiny
from mstlib.scale import cost


def test_operations_are_those_of_the_papers_network():
    # Swin-T at 224 x 224: 4.5 G in the paper of Swin (Liu et al. 2021, Table 1)
    assert cost.macs(swin_tiny()) == pytest.approx(4.5e9, rel=0.01)


def test_counting_leaves_the_network_as_it_is():
    model = tiny().train()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    assert cost.macs(model) > 0
    assert model.training
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())


def test_memory_is_what_the_way_back_needs(monkeypatch):
    model = tiny()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    memory = cost.training_memory(model)
    parameters = sum(p.numel() for p in model.parameters())
    assert memory.fixed == 4 * 4 * parameters
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    assert not model.training

    # A convolution keeps the image, a ReLU what it gives: more of either is seen.
    class Two(torch.nn.Sequential):
        input_shape = (3, 8, 8)

    two = Two(
        torch.nn.Conv2d(3, 5, 1), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(320, 2)
    )
    found = cost.training_memory(two)
    assert found.image == 4 * (3 * 64 + 5 * 64)
    assert found.image > found.half > found.image / 2 - 1


def test_hours_and_energy():
    flops = cost.training_flops(10, 100, 2)
    assert flops == 2 * 10 * 3 * 200
    assert cost.training_flops(10, 100, 2, "distil") == flops * 4 / 3
    assert cost.simulation_flops(10, 100, 8) == 2 * 10 * 800
    hours = cost.estimated_hours(3.6e15, 1e12, 0.5, 2)
    assert hours == 1
    assert cost.energy(hours, 400, 2, 1.25) == 1


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: cost.training_flops(1, 1, 1, "dream"), "what must be one of train, distil"),
        (lambda: cost.estimated_hours(1, 1, 0), r"utilisation must be in \(0, 1\]"),
        (lambda: cost.estimated_hours(1, 1, 1.5), r"utilisation must be in \(0, 1\]"),
        (lambda: cost.estimated_hours(1, 0, 0.5), "peak must be > 0"),
        (lambda: cost.estimated_hours(1, 1, 0.5, 0), "devices >= 1"),
        (lambda: cost.energy(1, 1, 1, 0.9), "pue must be at least 1"),
        (lambda: cost.throughput(tiny(), batch=0), "must be >= 1"),
    ],
)
def test_bad_numbers_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_throughput_is_images_over_the_median_time(monkeypatch):
    ticks = iter([0, 5, 10, 12, 20, 21, 30, 33] * 2)  # after one to warm up: 2, 1 and 3 seconds
    monkeypatch.setattr(cost.time, "perf_counter", lambda: next(ticks))
    model = tiny()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    found = cost.throughput(model, batch=6, steps=2)
    assert (found.training, found.simulation) == (3.0, 3.0)
    assert found.threads == (0 if torch.cuda.is_available() else torch.get_num_threads())
    assert found.device
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())


def test_the_command_names_the_device(tmp_path, capsys):
    folder = save_model(tiny(), tmp_path / "net")
    words = f"throughput {folder} --batch 2 --steps 2 --repeats 1"
    assert main(words.split()) == 0
    out = capsys.readouterr().out
    assert "images a second, T = 2" in out
    assert main([*words.split(), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["device"] in out
    assert found["training"] > 0 < found["simulation"]
