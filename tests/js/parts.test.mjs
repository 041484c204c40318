// The parts that compute: numbers as text, ticks and scales.
import assert from "node:assert/strict";
import { test } from "node:test";
import { close, load, plain } from "./load.mjs";

const { fixed, ticksBetween, powersOfTwo, bands, scale } = load(["mst_parts"]).mstExplorers.parts;

test("numbers have true minus signs and no negative zero", () => {
  assert.equal(fixed(-1.234, 2), "−1.23");
  assert.equal(fixed(-0.004, 2), "0.00");
  assert.equal(fixed(-0.006, 2), "−0.01");
  assert.equal(fixed(7, 0), "7");
});

test("ticks are round numbers between the ends", () => {
  assert.deepEqual(plain(ticksBetween(0, 1, 5)).map(([, text]) => text), ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]);
  assert.deepEqual(plain(ticksBetween(-0.2, 1.5, 4)).map(([, text]) => text), ["0.0", "0.5", "1.0", "1.5"]);
  assert.deepEqual(plain(ticksBetween(0, 100, 4)).map(([, text]) => text), ["0", "50", "100"]);
});

test("ticks stay between the ends and near the wanted number, for any size of axis", () => {
  for (const size of [1e-6, 0.037, 1, 128, 4e7]) {
    for (const count of [3, 5, 9]) {
      const ticks = plain(ticksBetween(-size / 3, size, count)).map(([value]) => value);
      assert.ok(ticks.length >= 2 && ticks.length <= count + 1, `${ticks.length} ticks for ${count}`);
      assert.ok(Math.min(...ticks) >= -size / 3 && Math.max(...ticks) <= size * (1 + 1e-9));
    }
  }
});

test("powers of two end at the last that fits", () => {
  assert.deepEqual(plain(powersOfTwo(9)), [[1, "1"], [2, "2"], [4, "4"], [8, "8"]]);
  assert.deepEqual(plain(powersOfTwo(8)), plain(powersOfTwo(9)));
});

test("bands name the middle of each row", () => {
  assert.deepEqual(plain(bands(["a", "b"])), { from: 0, to: 2, ticks: [[0.5, "a"], [1.5, "b"]], bands: true });
});

test("scales are linear, or linear in the logarithm", () => {
  const linear = scale({ from: -1, to: 3 }, 100, 500);
  assert.deepEqual([-1, 0, 3].map(linear), [100, 200, 500]);
  const log = scale({ from: 1, to: 256, log: true }, 0, 8);
  [1, 2, 16, 256].forEach((v) => close(log(v), Math.log2(v)));
  const down = scale({ from: 0, to: 1 }, 90, 10); // upright axes run upwards
  assert.deepEqual([0, 0.5, 1].map(down), [90, 50, 10]);
});
