"""One time step of a converted network as an ONNX file, its state outside; and a runner for it.

The graph has no time and no memory: it takes the images and every membrane potential, and gives the
logits of this step, the spikes of each layer, and the new potentials, for whoever runs it to hand
back at the next step. It knows no masks.

In float32 a network exported so goes apart from ours as any two libraries do that add in another
order: a spike more here, one less there. In float64 it gives the same spikes, each of them. ONNX
Runtime has no convolution and no pooling in float64, so that there they are written as products
and sums.
"""

from __future__ import annotations

import io
import json
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mstlib._version import __version__
from mstlib.checkpoints.files import write_whole
from mstlib.convert import SpikingNetwork
from mstlib.interop.exchange import ExchangeError, Outcome, black, frame, rebuild, units
from mstlib.simulate import check_shown

if TYPE_CHECKING:
    import onnxruntime

OPSET = 17
ANSWER = "the class with the greatest mean of the logits over the steps taken so far"
START = "threshold / 2 in every neuron of the layer"


class _Neuron(nn.Module):
    """Integrate-and-fire neurons whose potential comes from outside: Eq. 2 and 3."""

    def __init__(self, threshold: Tensor) -> None:
        super().__init__()
        self.register_buffer("threshold", threshold)
        self.v: Tensor | None = None
        self.count: Tensor | None = None

    def forward(self, current: Tensor) -> Tensor:
        v = self.v + current.reshape(self.v.shape)
        fired = v >= self.threshold
        charge = fired.to(v.dtype) * self.threshold
        self.v, self.count = v - charge, fired.sum(1)
        return charge.view(current.shape)


class _Step(nn.Module):
    """Images and potentials to logits, spike counts ``(B, layers)`` and potentials."""

    def __init__(self, net: nn.Module, neurons: dict[str, nn.Module]) -> None:
        super().__init__()
        self.net, self.neurons = net, list(neurons.values())

    def forward(self, image: Tensor, *potentials: Tensor) -> tuple[Tensor, ...]:
        for neuron, v in zip(self.neurons, potentials, strict=True):
            neuron.v = v
        logits = self.net(image)
        counts = torch.stack([neuron.count for neuron in self.neurons], 1)
        return logits, counts, *(neuron.v for neuron in self.neurons)


class _MatrixConv(nn.Module):
    """A convolution as a product of matrices."""

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        self.conv = conv

    def forward(self, x: Tensor) -> Tensor:
        conv = self.conv
        patches, sides = _patches(x, conv.kernel_size, conv.dilation, conv.padding, conv.stride)
        y = conv.weight.flatten(1) @ patches
        if conv.bias is not None:
            y = y + conv.bias[:, None]
        return y.reshape(-1, conv.out_channels, *sides)


class _SumPool(nn.Module):
    """An average pooling as a sum."""

    def __init__(self, pool: nn.AvgPool2d) -> None:
        super().__init__()
        self.pool = pool

    def forward(self, x: Tensor) -> Tensor:
        kernel, stride, padding = map(
            _pair, (self.pool.kernel_size, self.pool.stride, self.pool.padding)
        )
        patches, sides = _patches(x, kernel, (1, 1), padding, stride)
        size = kernel[0] * kernel[1]
        total = patches.reshape(-1, x.shape[1], size, patches.shape[2]).sum(2)
        if not self.pool.count_include_pad:
            size = _patches(torch.ones_like(x[:1, :1]), kernel, (1, 1), padding, stride)[0].sum(1)
        return (total / size).reshape(-1, x.shape[1], *sides)


class _Mean(nn.Module):
    """An average pooling of the whole map."""

    def forward(self, x: Tensor) -> Tensor:
        return x.mean((2, 3), keepdim=True)


def _pair(n: int | tuple[int, int]) -> tuple[int, int]:
    return (n, n) if isinstance(n, int) else tuple(n)


def _patches(
    x: Tensor,
    kernel: tuple[int, int],
    dilation: tuple[int, int],
    padding: tuple[int, int],
    stride: tuple[int, int],
) -> tuple[Tensor, list[int]]:
    """Return what each place of a kernel sees, ``(B, C·k·k, places)``, and the sides of its map."""
    reach = [d * (k - 1) for d, k in zip(dilation, kernel, strict=True)]
    sides = zip(x.shape[2:], padding, reach, stride, strict=True)
    patches = F.unfold(x, kernel, dilation, padding, stride)
    return patches, [(n + 2 * p - r - 1) // s + 1 for n, p, r, s in sides]


def export_onnx(snn: SpikingNetwork, path: str | Path) -> Path:
    """Write one time step of a converted network as an ONNX file.

    Inputs are ``image`` ``(B, channels, height, width)`` and for each layer its potentials,
    ``v.LAYER`` ``(B, neurons)``; outputs ``logits`` ``(B, classes)``, ``spikes`` ``(B, layers)``,
    the number of spikes that each layer emitted, and ``next.v.LAYER``. B is free. The file's
    metadata name the layers, their neurons and thresholds, and say how to start and how to read the
    answer.

    Args:
        snn: The network, without masks, in float32 or, for the very same spikes, in float64
            (``convert(ann.double())``).
        path: The file; one that is there is replaced.

    Returns:
        The path.

    Raises:
        TypeError: `snn` is not a converted network.
        ExchangeError: it has masks, was trained with masks, does not say what images it takes, has
            a layer or a number format that the file cannot hold, or there is no such folder.
    """
    path = Path(path)
    if not path.parent.is_dir() or path.is_dir():
        raise ExchangeError(f"{path} must be a file in a folder that exists")
    net, neurons = rebuild(snn, _Neuron)
    image = black(snn)
    if image.dtype == torch.float64:
        _without_kernels(net)
    layers = [
        {"name": name, "neurons": count, "threshold": float(snn.neurons[name].threshold)}
        for name, count in units(snn).items()
    ]
    about = {
        "mstlib": __version__,
        "what": "one time step of a converted network, without masks",
        "input_shape": list(snn.input_shape),
        "dtype": str(image.dtype).removeprefix("torch."),
        "layers": layers,
        "start": START,
        "answer": ANSWER,
    }
    write_whole(path, _with_metadata(_trace(_Step(net, neurons), layers, image), about))
    return path


def _without_kernels(net: nn.Module) -> None:
    """Write all convolutions and poolings of a network as products and sums."""
    for name, module in list(net.named_modules()):
        if isinstance(module, nn.Conv2d):
            plain = module.groups == 1 and module.padding_mode == "zeros"
            if not plain or isinstance(module.padding, str):
                raise ExchangeError(
                    f"{name}: in float64 only a convolution without groups, padded with a number "
                    "of zeros, can be exported; export it in float32"
                )
            net.set_submodule(name, _MatrixConv(module))
        elif isinstance(module, nn.AvgPool2d):
            if module.ceil_mode or module.divisor_override:
                raise ExchangeError(
                    f"{name}: in float64 no pooling that rounds its map up, or has a divisor of "
                    "its own, can be exported; export it in float32"
                )
            net.set_submodule(name, _SumPool(module))
        elif isinstance(module, nn.AdaptiveAvgPool2d):
            if _pair(module.output_size) != (1, 1):
                raise ExchangeError(
                    f"{name}: in float64 an adaptive pooling must be of the whole map, not to "
                    f"{module.output_size}; export it in float32"
                )
            net.set_submodule(name, _Mean())


def _trace(step: _Step, layers: list, image: Tensor) -> bytes:
    """Return the graph of one step as an ONNX file."""
    names = [f"v.{layer['name']}" for layer in layers]
    inputs = ["image", *names]
    outputs = ["logits", "spikes", *(f"next.{name}" for name in names)]
    batch = 2  # a trace could take 1 for a constant
    values = [image.expand(batch, -1, -1, -1)]
    values += [image.new_zeros(batch, layer["neurons"]) for layer in layers]
    file = io.BytesIO()
    with warnings.catch_warnings(), torch.no_grad():
        # The exporter that follows a trace is deprecated; the other one needs onnxscript.
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.onnx.export(
            step.eval(),
            tuple(values),
            file,
            dynamo=False,
            opset_version=OPSET,
            input_names=inputs,
            output_names=outputs,
            dynamic_axes={name: {0: "images"} for name in (*inputs, *outputs)},
        )
    return file.getvalue()


def _with_metadata(content: bytes, about: dict) -> bytes:
    import onnx

    model = onnx.load_model_from_string(content)
    model.producer_name, model.producer_version = "mstlib", __version__
    model.doc_string = f"{about['what']}; start: {START}; answer: {ANSWER}"
    texts = {key: v if isinstance(v, str) else json.dumps(v) for key, v in about.items()}
    onnx.helper.set_model_props(model, texts)
    onnx.checker.check_model(model, full_check=True)
    return model.SerializeToString()


def run_onnx(path: str | Path, images: Tensor, steps: int) -> Outcome:
    """Run a file of `export_onnx` over time with ONNX Runtime, on the processor.

    Args:
        path: The file.
        images: ``(B, channels, height, width)``, or films ``(B, n, channels, height, width)``, as
            for `mstlib.simulate`.
        steps: T ≥ 1; for films a multiple of n.

    Returns:
        The logits of each step, and the spikes of each layer.

    Raises:
        ExchangeError: no such file, or not one of `export_onnx`.
        ValueError: no steps, or images of the wrong shape or with values that are not finite.
    """
    session = _open(Path(path))
    about = session.get_modelmeta().custom_metadata_map
    if not {"input_shape", "layers", "dtype"} <= about.keys():
        raise ExchangeError(f"{path} was not written by export_onnx: it does not name its layers")
    check_shown(images, steps, tuple(json.loads(about["input_shape"])))
    images = images.cpu().to(getattr(torch, about["dtype"]))
    layers = json.loads(about["layers"])
    state = {
        f"v.{layer['name']}": torch.full(
            (len(images), layer["neurons"]), layer["threshold"] / 2, dtype=images.dtype
        ).numpy()
        for layer in layers
    }
    logits, counts = [], torch.zeros(len(layers), dtype=torch.long)
    for t in range(steps):
        shown = frame(images, t, steps).contiguous().numpy()
        now, spikes, *potentials = session.run(None, {"image": shown, **state})
        logits.append(torch.from_numpy(now))
        counts += torch.from_numpy(spikes).sum(0)
        state = dict(zip(state, potentials, strict=True))
    names = (layer["name"] for layer in layers)
    return Outcome(torch.stack(logits), dict(zip(names, counts.tolist(), strict=True)))


def _open(path: Path) -> onnxruntime.InferenceSession:
    import onnxruntime

    if not path.is_file():
        raise ExchangeError(f"no file {path}")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    try:
        return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as trouble:  # its own kinds have no other ancestor in common
        raise ExchangeError(f"ONNX Runtime cannot read {path}: {trouble}") from None
