// The engine beside golden intermediates of PyTorch (tests/helpers/engine_golden.py), and its rules by hand.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import vm from "node:vm";
import { close, load, plain } from "./load.mjs";

const golden = JSON.parse(readFileSync(new URL("engine_golden.json", import.meta.url), "utf8"));
const page = load(["mst_engine"], { atob, btoa });
const { engine, models } = page.mstExplorers;
for (const { script } of Object.values(golden.networks)) vm.runInContext(script, page);

for (const [name, wanted] of Object.entries(golden.networks)) {
  test(`every spike of the network "${name}" is PyTorch's`, () => {
    const record = Object.keys(wanted.spikes);
    const run = engine.network(models[name]).run({ ...golden.options, pixels: wanted.pixels, record });
    const answer = plain(run.answer());
    for (const layer of record) assert.equal(answer.spikes[layer], wanted.spikes[layer], layer);
    assert.deepEqual(answer.emitted, wanted.emitted);
    assert.deepEqual(answer.delivered, wanted.delivered);
    const counted = Object.entries(answer.additions).filter(([, n]) => n);
    assert.deepEqual(Object.fromEntries(counted), wanted.additions);
    for (const [what, value] of Object.entries(wanted.totals)) close(answer.totals[what] / value, 1);
    wanted.logits.forEach((row, t) => row.forEach((value, k) => close(answer.logits[t][k], value, 1e-9)));
  });
}

test("a run can be taken step by step, and repeated", () => {
  const { pixels, logits } = golden.networks.softmax;
  const network = engine.network(models.softmax);
  for (let again = 0; again < 2; again++) {
    const run = network.start({ ...golden.options, pixels });
    while (!run.done) run.step();
    assert.equal(run.taken, golden.options.steps);
    close(run.logits.at(-1)[0], logits.at(-1)[0], 1e-9);
  }
});

test("masks drop what they say, more of it at a higher ratio, and the same ones again", () => {
  const { pixels } = golden.networks.softmax;
  const network = engine.network(models.softmax);
  const run = (attention, seed) => plain(network.run({ pixels, steps: 40, seed, masking: { attention } }).answer());
  const layer = "layers.0.blocks.0.attn.q_if", mask = "layers.0.blocks.0.attn.q_mask";
  const share = (answer) => answer.delivered[mask] / answer.emitted[layer].reduce((a, b) => a + b, 0);
  close(share(run(0.25, 0)), 0.75, 0.06);
  close(share(run(0.75, 0)), 0.25, 0.06);
  assert.deepEqual(run(0.5, 3), run(0.5, 3));
  assert.notDeepEqual(run(0.5, 3).logits, run(0.5, 4).logits);
  assert.deepEqual(run(0, 0).delivered, {});
  // What has passed at a higher ratio passes at a lower one too: both compare one number.
  assert.ok(run(0.5, 3).totals.synaptic < run(0, 3).totals.synaptic);
});

test("the numbers of the masks are spread evenly", () => {
  const bins = new Array(16).fill(0);
  for (let site = 0; site < 4; site++) {
    for (let step = 0; step < 10; step++) {
      const head = engine.maskHead(1, site, step, 0);
      for (let unit = 0; unit < 1000; unit++) bins[engine.maskNumber(head, unit) >> 20]++;
    }
  }
  for (const count of bins) assert.ok(Math.abs(count - 2500) < 250, `${bins}`);
});

test("an image that settles early stops", () => {
  const { pixels } = golden.networks.softmax;
  const network = engine.network(models.softmax);
  const run = network.run({ pixels, steps: 40, until: { margin: 0.5, every: 2 } });
  assert.ok(run.taken < 40 && run.taken % 2 === 0);
  const sums = run.logits[0].map((_, k) => run.logits.reduce((a, row) => a + row[k], 0)).sort((a, b) => b - a);
  assert.ok(sums[0] - sums[1] >= 0.5);
});

test("the text of the engine makes the same engine elsewhere, as in a worker", () => {
  const other = vm.runInNewContext(engine.source, { atob, btoa });
  const { pixels, emitted } = golden.networks.pure;
  const run = other.network(models.pure).run({ ...golden.options, pixels });
  assert.deepEqual(plain(run.emitted), emitted);
});
