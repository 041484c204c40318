// What the views compute, beside what can be worked out by hand. That they agree with mstlib is
// tested from Python, in a browser.
import assert from "node:assert/strict";
import { test } from "node:test";
import { close, plain, view } from "./load.mjs";

test("a neuron with soft reset keeps what is left over, and one reset to zero loses it", () => {
  const { simulate } = view("neuron");
  const settings = { current: 0.75, threshold: 1, start: 0, steps: 4 };
  const soft = plain(simulate({ ...settings, reset: "soft" }));
  assert.deepEqual(soft.spikes, [0, 1, 1, 1]);
  assert.deepEqual(soft.peaks, [0.75, 1.5, 1.25, 1]);
  assert.deepEqual(soft.potentials, [0.75, 0.5, 0.25, 0]);
  const zero = plain(simulate({ ...settings, reset: "zero" }));
  assert.deepEqual(zero.spikes, [0, 1, 0, 1]);
  assert.deepEqual(zero.potentials, [0.75, 0, 0.75, 0]);
});

test("a neuron that meets its threshold exactly fires", () => {
  const { simulate } = view("neuron");
  const run = simulate({ current: 0.5, threshold: 2, start: 0.5, steps: 2, reset: "soft" });
  assert.deepEqual(plain(run.spikes), [0, 1]);
});

test("QCFS has L stairs of equal height, half a stair early, and ends", () => {
  const { qcfs } = view("qcfs");
  const at = (z) => qcfs(z, 2, 4);
  assert.deepEqual([-1, 0.24, 0.25, 0.74, 0.75, 1.74, 1.75, 9].map(at), [0, 0, 0.5, 0.5, 1, 1.5, 2, 2]);
});

test("QCFS and the neuron coincide at L = T from half the threshold, and nowhere else", () => {
  const { qcfs, fire, meanDifference } = view("qcfs");
  let apart = 0;
  for (let k = 0; k < 400; k++) {
    const z = (1.5 * (k + 0.414)) / 400 - 0.25;
    close(fire(z, 1, 8, 0.5), qcfs(z, 1, 8));
    apart = Math.max(apart, Math.abs(fire(z, 1, 8, 0) - qcfs(z, 1, 8)));
  }
  close(apart, 1 / 8);
  close(meanDifference(1, 8, 0.5), 0);
  close(meanDifference(1, 8, 0), -1 / 16);
});

// Eight events, one every 10 µs but for a gap, at columns 0 to 7.
const EVENTS = {
  size: [2, 8], t: [0, 10, 20, 30, 40, 50, 60, 100], x: [0, 1, 2, 3, 4, 5, 6, 7], y: [0, 1, 0, 1, 0, 1, 0, 1],
  p: [1, 0, 1, 0, 1, 0, 1, 0],
};
const cutOf = (frames) => plain(frames).map(({ first, last, from, to }) => [first, last, from, to]);

test("slices of equal count hold as many events, slices of equal time last as long", () => {
  const { slices } = view("events");
  assert.deepEqual(cutOf(slices(EVENTS, 2, "count")), [[0, 4, 0, 40], [4, 8, 40, 100]]);
  assert.deepEqual(cutOf(slices(EVENTS, 2, "time")), [[0, 5, 0, 50], [5, 8, 50, 100]]);
  assert.deepEqual(cutOf(slices(EVENTS, 1, "time")), [[0, 8, 0, 100]]);
});

test("shuffled slices keep their events, and follow each other without a gap", () => {
  const { slices, mixed, rearranged } = view("events");
  const typed = Object.fromEntries(["t", "x", "y", "p"].map((name) => [name, Uint8Array.from(EVENTS[name])]));
  const frames = slices(EVENTS, 2, "count");
  const made = plain(rearranged({ ...EVENTS, ...typed }, frames, [1, 0]));
  assert.deepEqual([...made.x], [4, 5, 6, 7, 0, 1, 2, 3]);
  assert.deepEqual([...made.t], [0, 10, 20, 60, 60, 70, 80, 90]);
  assert.deepEqual(made.frames.map((frame) => frame.number), [2, 1]);
  assert.deepEqual(cutOf(made.frames), [[0, 4, 0, 60], [4, 8, 60, 100]]);
  for (let n = 2; n <= 16; n++) {
    const order = plain(mixed(n));
    assert.deepEqual(order.toSorted((a, b) => a - b), Array.from({ length: n }, (_, k) => k));
    assert.notDeepEqual(order, order.toSorted((a, b) => a - b));
  }
});

test("the events of a frame are counted by polarity, cell by cell", () => {
  const { counted } = view("events");
  const [darker, brighter] = plain(counted(EVENTS, { first: 0, last: 8 }, 2, 1));
  assert.deepEqual([[...darker], [...brighter]], [[2, 2], [2, 2]]);
  const one = plain(counted(EVENTS, { first: 6, last: 7 }, 8, 2));
  assert.deepEqual([...one[1]], [0, 0, 0, 0, 0, 0, 1, ...Array(9).fill(0)]);
});

test("two trains of the same phase meet always, of opposite phase never", () => {
  const { fire, products } = view("product");
  assert.deepEqual(plain(fire(0.5, 0.5, 4)), [1, 0, 1, 0]);
  assert.deepEqual(plain(fire(0.5, 0, 4)), [0, 1, 0, 1]);
  const rates = { rate_q: 0.5, rate_k: 0.5, steps: 4 };
  const together = products({ ...rates, start_q: 0, start_k: 0 });
  assert.deepEqual(plain(together.counts), [2, 2, 2]);
  assert.deepEqual(plain(together.mean), [0, 1 / 2, 1 / 3, 1 / 2]);
  assert.deepEqual(plain(together.wanted), [0, 1 / 4, 1 / 9, 1 / 4]);
  assert.deepEqual(plain(products({ ...rates, start_q: 0.5, start_k: 0 }).counts), [2, 2, 0]);
});

test("the nearest stored number of steps is nearest in its logarithm", () => {
  const { nearest, stopsUpTo } = view("conversion");
  assert.equal(nearest([8, 16, 32, 64, 128], 90), 3);
  assert.equal(nearest([8, 16, 32, 64, 128], 91), 4);
  assert.equal(nearest([8, 16], 1000), 1);
  const stops = plain(stopsUpTo(100));
  assert.equal(stops[0], 1);
  assert.equal(stops.at(-1), 100);
  assert.deepEqual(stops, [...new Set(stops)].sort((a, b) => a - b));
});

test("the nearest stored mask ratio is nearest as it stands", () => {
  const { nearest } = view("masking");
  const points = [0, 0.1, 0.5, 0.9].map((ratio) => ({ ratio }));
  assert.deepEqual([0, 0.29, 0.31, 2].map((ratio) => nearest(points, ratio)), [0, 1, 2, 3]);
});

test("levels of a threshold are named from 0 to θ", () => {
  const { levelNames } = view("normalisation");
  assert.deepEqual(plain(levelNames(4)), ["0", "1/3 θ", "2/3 θ", "θ"]);
});

test("T steps match a whole number of bits", () => {
  const { bitsFor } = view("energy");
  assert.deepEqual([1, 2, 3, 4, 7, 8, 255, 256].map(bitsFor), [1, 2, 2, 3, 3, 4, 8, 9]);
});

test("energies add up what is done, at the price of each", () => {
  const { energies } = view("energy");
  const counts = {
    neurons: 0, emitted: 0, delivered: 0, dense: 10, synaptic: 30, adds: 30, macs: 0, fetches: 0, entry_adds: 0,
    entry_macs: 0,
  };
  const settings = {
    traces: { net: { "0 %": counts, "50 %": { ...counts, adds: 15 } } }, network: "net", ratio: "50 %",
    arithmetic: "whole numbers", add: 0.5, multiply: 2, memory: 0,
  };
  const sums = energies(settings, 8).map((parts) => parts.reduce((a, b) => a + b, 0));
  // 8 steps match 4 bits, so a multiplication costs half of the 2 pJ for 8 bits
  const wanted = [8 * 30 * 0.5, 8 * 15 * 0.5, 10 * (1 + 0.5), 10 * 4.6].map((picojoules) => 1e-6 * picojoules);
  sums.forEach((found, k) => close(found, wanted[k]));
});

test("a walk is grouped by what follows one another", () => {
  const { runs, sharedStart } = view("architecture");
  const items = ["a", "a", "b", "a", undefined].map((stage, k) => ({ stage, k }));
  assert.deepEqual(plain(runs(items, "stage")).map(([stage, own]) => [stage, own.length]), [
    ["a", 2], ["b", 1], ["a", 1], ["", 1],
  ]);
  assert.equal(sharedStart(["layers.0.q", "layers.0.k"]), "layers.0.");
  assert.equal(sharedStart(["layers.0.q", "layers.1.k"]), "layers.");
  assert.equal(sharedStart(["head"]), "");
  assert.equal(sharedStart(["stem.a", "head.b"]), "");
});

test("a map's share and peak are those of the cells of the scene", () => {
  const { share, peak } = view("saliency");
  const truth = "T..D............"; // 4 × 4 cells
  const lit = (k) => Array.from({ length: 64 }, (_, i) => Number(i === k));
  assert.deepEqual([0, 1, 2, 7, 15, 16].map((k) => peak(lit(k), truth)), ["T", "T", ".", "D", "D", "."]);
  const map = Array(64).fill(0);
  map[9] = 3; // the second row and column: still the first cell
  map[63] = 1;
  assert.equal(share(map, truth, "T"), 0.75);
  assert.equal(share(Array(64).fill(0), truth, "T"), 0);
  assert.equal(peak(map, truth), "T");
});
