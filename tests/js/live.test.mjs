// What the live explorer reads off a run, and what becomes of a drawing: by hand, on small cases.
import assert from "node:assert/strict";
import { test } from "node:test";
import { close, load, plain } from "./load.mjs";

const { mstExplorers } = load(["mst_parts", "mst_runs", "mst_canvas", "network"], { atob, Map });
const { runs, drawings } = mstExplorers, { network } = mstExplorers.views;

test("packed spikes are read lowest bit first, step after step", () => {
  // 3 neurons, 3 steps: 101 010 111 → bits 1,0,1,0,1,0,1,1 | 1 → bytes 213, 1
  const fired = runs.spikes(btoa(String.fromCharCode(213, 1)), 3);
  const read = [0, 1, 2].map((t) => [0, 1, 2].map((n) => Number(fired(t, n))).join(""));
  assert.deepEqual(read, ["101", "010", "111"]);
  assert.deepEqual(plain(runs.counts(fired, 3, 3)), [2, 2, 2]);
});

test("a raster shows neurons that fire, evenly spaced from the busiest to the laziest", () => {
  assert.deepEqual(plain(runs.sample([0, 5, 1, 0, 3], 9)), [1, 4, 2]);
  assert.deepEqual(plain(runs.sample([9, 8, 7, 6, 5, 4, 3], 3)), [0, 3, 6]);
  assert.deepEqual(plain(runs.sample([0, 0], 3)), []);
});

test("the answer builds up, and settles where it no longer changes", () => {
  const means = plain(runs.runningMeans([[1, 0], [0, 4], [1, 0], [5, 0]]));
  assert.deepEqual(means, [[1, 0], [0.5, 2], [2 / 3, 4 / 3], [1.75, 1]]);
  assert.equal(runs.settled(means), 4);
  assert.equal(runs.settled([[1, 0], [2, 0]]), 1);
  assert.deepEqual(plain(runs.ranking([1, 3, 3])), [1, 2, 0]); // the first of equals, as argmax has it
});

test("an activation map weighs a spike by those before it", () => {
  const fired = (t, n) => [[1, 0], [1, 1], [1, 0]][t][n] === 1; // two channels of one token
  const [first, second, third] = plain(runs.activationMaps(fired, 3, 1, 2)).map(([value]) => value);
  const e = Math.exp(-0.5);
  assert.equal(first, 0);
  close(second, e);
  close(third, e * (e + 1));
});

test("energy counts multiplications and additions of all steps", () => {
  close(runs.picojoules({ macs: 10, adds: 100 }, 4), 4 * (46 + 90));
});

test("accuracy is read off the line, and not beyond it", () => {
  const points = [{ ratio: 0, a: 1 }, { ratio: 0.5, a: 0.8 }, { ratio: 0.9, a: 0.2 }];
  close(runs.between(points, 0.25, "a"), 0.9);
  close(runs.between(points, 0.9, "a"), 0.2);
  assert.equal(runs.between(points, 0.95, "a"), null);
  assert.equal(runs.between([], 0.5, "a"), null);
});

test("costs leave out what one run does not know", () => {
  const totals = { emitted: 3, delivered: 2, synaptic: 10, macs: 1, adds: 10 };
  const rows = (ms) => plain(network.costs({ totals, milliseconds: ms }, { totals, milliseconds: 8 }, 2));
  assert.deepEqual(rows(4).map(([, now]) => now), [6, 4, 20, 2 * (4.6 + 9), 4]);
  assert.equal(rows(null).length, 4);
});

test("layers are told in words, with their block counted from the input", () => {
  const names = network.describe([
    "patch_embed.proj_if", "layers.0.blocks.0.attn.q_if", "layers.0.blocks.1.mlp.fc1_if",
    "layers.0.downsample.reduction_if", "layers.1.blocks.0.attn.attn_if",
  ]);
  assert.deepEqual([...names.values()], [
    "patches", "block 0: Q", "block 1: hidden layer of the MLP", "merged patches", "block 2: A",
  ]);
});

test("ink is counted field by field, and comes back as cells", () => {
  const cells = new Uint8Array(1024);
  cells[0] = cells[33] = cells[4 * 32 + 4] = 1; // two cells of the first field, one of the tenth
  const text = drawings.inks(cells);
  assert.equal(text, `2${"0".repeat(8)}1${"0".repeat(54)}`);
  assert.equal(drawings.inks(drawings.cellsOf(text)), text);
  assert.equal(drawings.inks(drawings.cellsOf("g".repeat(64))), "g".repeat(64));
  assert.equal(drawings.inks(new Uint8Array(1024)), "");
});

// The cells that are inked, as [left, top, right, bottom].
function box(cells) {
  const inked = [...cells.keys()].filter((k) => cells[k]);
  const x = inked.map((k) => k % 32), y = inked.map((k) => Math.floor(k / 32));
  return [Math.min(...x), Math.min(...y), Math.max(...x), Math.max(...y)];
}

test("a stroke is four cells wide", () => {
  assert.deepEqual(box(drawings.render([[[10, 5], [10, 25]]])), [8, 3, 11, 26]);
});

test("a drawing of any size and place is brought to the size of the data set's digits", () => {
  const zigzag = [[3, 4], [9, 4], [3, 14], [9, 14]];
  const wanted = box(drawings.render(drawings.fitted([zigzag])));
  assert.deepEqual(wanted, [5, 0, 26, 31]); // 22 wide, 32 high, in the middle
  const moved = [zigzag.map(([x, y]) => [12 + 1.5 * x, 5 + 1.5 * y])];
  assert.deepEqual(box(drawings.render(drawings.fitted(moved))), wanted);
});

test("an upright line stays narrow, a dot stays small", () => {
  const [left, top, right, bottom] = box(drawings.render(drawings.fitted([[[3, 5], [4, 15]]])));
  assert.ok(right - left < 10 && top === 0 && bottom === 31);
  assert.deepEqual(box(drawings.render(drawings.fitted([[[3, 5]]]))), [14, 14, 17, 17]);
});
