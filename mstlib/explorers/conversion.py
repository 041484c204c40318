"""The conversion explorer: accuracy over time, and where the conversion error comes from."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import traitlets

from mstlib.explorers.base import Explorer, Name, Number, require, table


class ConversionExplorer(Explorer):
    """Accuracy of spiking networks after each step, and their conversion error by cause.

    Numbers are rounded (accuracies to four decimals, errors to three digits), so that a page made
    again on another machine is the same page. All settings are synced traits.

    Args:
        curves: ``{network: {"steps": [...], "accuracy": [...], "qcfs": float}}``; steps increase,
            accuracies are 0 to 1.
        ledger: ``{network: {"steps": [...], "causes": [...], "error": [[...], ...]}}``, one row of
            errors a cause, one column a step. A network may be absent.
        network: The network shown at first; by default the first.
        steps: T, from 1 to the last step stored.
        measure: What the errors measure: the label of their axis.

    Raises:
        traitlets.TraitError: the curves or the ledger are not as above, or the network is unknown;
            the message names the network and the trouble.
    """

    _view = "conversion"

    curves = traitlets.Dict().tag(sync=True)
    ledger = traitlets.Dict().tag(sync=True)
    network = Name("curves")
    steps = Number(32, 1, 4096, whole=True)
    measure = traitlets.Unicode("error").tag(sync=True)

    def __init__(
        self,
        curves: Mapping[str, Mapping[str, Any]],
        ledger: Mapping[str, Mapping[str, Any]],
        **settings: Any,
    ) -> None:
        super().__init__(curves=dict(curves), ledger=dict(ledger), **settings)

    @traitlets.validate("curves")
    def _check_curves(self, proposal: dict) -> dict[str, dict]:
        require(proposal["value"], "curves must hold at least one network")
        return {name: _check_curve(name, curve) for name, curve in proposal["value"].items()}

    @traitlets.validate("ledger")
    def _check_ledger(self, proposal: dict) -> dict[str, dict]:
        # Traitlets checks in no fixed order; an empty `curves` has its own message.
        known = list(self.curves or proposal["value"])
        for name in proposal["value"]:
            require(name in known, f"ledger must be among {known}, not {name!r}")
        return {name: _check_account(name, one) for name, one in proposal["value"].items()}

    def fallback(self) -> str:
        """Accuracy of every network at a few steps, then each ledger."""
        stored = set.intersection(*(set(curve["steps"]) for curve in self.curves.values()))
        shown = [T for T in (1, 2, 4, 8, 16, 32, 64, 128) if T in stored]
        rows = [
            [name]
            + [f"{curve['accuracy'][curve['steps'].index(T)]:.3f}" for T in shown]
            + [f"{curve['qcfs']:.3f}"]
            for name, curve in self.curves.items()
        ]
        head = ["network", *(f"T = {T}" for T in shown), "QCFS"]
        tables = [table("Accuracy after T steps", head, rows)]
        for name, account in self.ledger.items():
            head = ["cause", *(f"T = {T}" for T in account["steps"])]
            rows = zip(account["causes"], account["error"], strict=True)
            said = [[cause, *(f"{e:g}" for e in errors)] for cause, errors in rows]
            tables.append(table(f"{name}: {self.measure} by cause", head, said))
        return "".join(tables)

    def __repr__(self) -> str:
        return f"ConversionExplorer({', '.join(self.curves)}; steps={self.steps})"


def _check_steps(where: str, steps: Any) -> list[int]:
    steps = [int(T) for T in steps]
    rising = steps and steps[0] >= 1 and steps == sorted(set(steps))
    require(rising, f"steps of {where} must increase from 1 or more, not {steps}")
    return steps


def _check_curve(name: str, curve: Mapping[str, Any]) -> dict[str, Any]:
    where = f"the curve of {name!r}"
    _check_keys(where, curve, {"steps", "accuracy", "qcfs"})
    steps = _check_steps(where, curve["steps"])
    accuracy = [round(float(a), 4) for a in curve["accuracy"]]
    qcfs = round(float(curve["qcfs"]), 4)
    found, wanted = len(accuracy), len(steps)
    require(found == wanted, f"{where} has {wanted} steps, {found} accuracies")
    for value in (*accuracy, qcfs):
        require(0 <= value <= 1, f"accuracies of {where} must be 0 to 1, not {value}")
    return {"steps": steps, "accuracy": accuracy, "qcfs": qcfs}


def _check_account(name: str, account: Mapping[str, Any]) -> dict[str, Any]:
    where = f"the ledger of {name!r}"
    _check_keys(where, account, {"steps", "causes", "error"})
    steps = _check_steps(where, account["steps"])
    causes = [str(cause) for cause in account["causes"]]
    error = [[float(f"{float(e):.3g}") for e in row] for row in account["error"]]
    require(
        [len(row) for row in error] == [len(steps)] * len(causes),
        f"error of {where} must have {len(causes)} rows (one a cause) of {len(steps)} (one a step)",
    )
    for value in (e for row in error for e in row):
        fits = math.isfinite(value) and value >= 0
        require(fits, f"errors of {where} must be finite and >= 0, not {value}")
    return {"steps": steps, "causes": causes, "error": error}


def _check_keys(where: str, given: Mapping[str, Any], needed: set[str]) -> None:
    has = sorted(given)
    require(has == sorted(needed), f"{where} must have {sorted(needed)}, not {has}")
