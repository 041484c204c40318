// Two spike trains, the steps at which they meet, what the mean of their product is worth, and how
// that depends on their phases.
(function (root) {
  "use strict";
  const { slider, plot, bands, powersOfTwo, node, explorer, fixed, settings } = root.mstExplorers.parts;
  const SEEN = 64; // steps drawn in the raster
  const PHASES = 40; // starts tried for the bias by phase
  const NAMES = ["rate_q", "rate_k", "start_q", "start_k", "steps"];

  // mstlib.neurons with soft reset, θ = 1: the spikes of a constant current
  function fire(current, start, steps) {
    const spikes = [];
    let v = start;
    for (let t = 0; t < steps; t++) {
      v += current;
      spikes.push(v >= 1 ? 1 : 0);
      if (v >= 1) v -= 1;
    }
    return spikes;
  }

  // After each step: mean product, product of means, and the counts they are made of.
  function products({ rate_q, rate_k, start_q, start_k, steps }) {
    const q = fire(rate_q, start_q, steps), k = fire(rate_k, start_k, steps);
    let [nq, nk, both] = [0, 0, 0];
    const mean = [], wanted = [];
    for (let t = 0; t < steps; t++) {
      nq += q[t];
      nk += k[t];
      both += q[t] * k[t];
      mean.push(both / (t + 1));
      wanted.push((nq * nk) / (t + 1) ** 2);
    }
    return { q, k, mean, wanted, counts: [nq, nk, both] };
  }

  function render({ model, el }) {
    const rate = (name, label) =>
      slider(model, name, { label, min: 0, max: 1, step: 0.005, show: (v) => fixed(v, 3) });
    const start = (name, label) =>
      slider(model, name, { label, min: 0, max: 1, step: 0.05, show: (v) => `${fixed(v, 2)} θ` });
    const controls = [
      rate("rate_q", "Rate of the query"),
      rate("rate_k", "Rate of the key"),
      start("start_q", "Start of the query"),
      start("start_k", "Start of the key"),
      slider(model, "steps", { label: "Steps T", min: 8, max: 512, step: 8 }),
    ];
    const raster = plot({ title: "", height: 150, left: 62 });
    const means = plot({
      title: "Mean of the product, after t steps", height: 270, left: 62,
      items: [
        { mark: "line", style: "mst-red mst-thick", text: "mean of the products" },
        { mark: "line", style: "mst-blue mst-dashed", text: "product of the means" },
        { mark: "line", style: "mst-purple mst-bar", text: "their difference at T: the bias" },
      ],
    });
    const phases = plot({
      title: "", height: 200, left: 62, items: [{ mark: "dot", style: "mst-ink", text: "your phase of the key" }],
    });

    function drawRaster(run, steps) {
      const seen = Math.min(steps, SEEN);
      raster.heading.textContent = `Spikes, ${steps > SEEN ? `the last ${SEEN} of` : "all"} ${steps} steps`;
      const from = steps - seen;
      const times = (spikes) => spikes.flatMap((s, t) => (s && t >= from ? [t + 1] : []));
      const both = run.q.map((s, t) => s * run.k[t]);
      const told = (spikes) => {
        const [first] = times(spikes);
        return first ? `${times(spikes).length} from step ${first} on` : "0";
      };
      const c = raster.frame({
        x: { from: from + 0.3, to: steps + 0.7, label: "time step" },
        y: bands(["query", "key", "both"]),
        label: `Spike raster of the last ${seen} steps: query ${told(run.q)}, key ${told(run.k)}, ` +
          `both in the same step ${told(both)}.`,
      });
      c.spikes(times(run.q), 0, "mst-blue");
      c.spikes(times(run.k), 1, "mst-green");
      c.spikes(times(both), 2, "mst-red");
    }

    // The bias at T, if the key neuron had started elsewhere and all else were the same.
    function drawPhases(now, bias) {
      const points = Array.from({ length: PHASES + 1 }, (_, i) => {
        const run = products({ ...now, start_k: i / PHASES });
        return [i / PHASES, run.mean[now.steps - 1] - run.wanted[now.steps - 1]];
      });
      const all = points.map(([, v]) => v), reach = 1.15 * Math.max(0.02, ...all.map(Math.abs));
      phases.heading.textContent = `Bias at T = ${now.steps} against the phase of the key`;
      const c = phases.frame({
        x: { from: 0, to: 1, label: "start of the key (θ)" },
        y: { from: -reach, to: reach, label: "bias" },
        label: `Bias at T = ${now.steps} for other phases of the key: from ${fixed(Math.min(...all), 3)} to ` +
          `${fixed(Math.max(...all), 3)}; yours ${fixed(bias, 3)} at ${fixed(now.start_k, 2)}.`,
      });
      c.across(0, "mst-ink mst-thin");
      c.stairs(points, "mst-purple");
      c.dot(now.start_k, bias, "mst-ink");
    }

    function draw() {
      const now = settings(model, NAMES);
      const run = products(now), steps = now.steps;
      drawRaster(run, steps);
      const [mean, wanted] = [run.mean[steps - 1], run.wanted[steps - 1]];
      const top = Math.max(0.05, ...run.mean.slice(3), ...run.wanted.slice(3));
      const m = means.frame({
        x: { from: 1, to: steps, log: true, ticks: powersOfTwo(steps), label: "steps t (logarithmic)" },
        y: { from: 0, to: Math.min(1.12 * top, 1.05), label: "mean" },
        label: `After ${steps} steps the mean of the products is ${fixed(mean, 3)}, ` +
          `the product of the means ${fixed(wanted, 3)}.`,
      });
      // The first steps may lie above the frame: cut them there.
      const cut = (v) => Math.min(v, Math.min(1.12 * top, 1.05));
      m.line(run.mean.map((v, t) => [t + 1, cut(v)]), "mst-red mst-thick");
      m.line(run.wanted.map((v, t) => [t + 1, cut(v)]), "mst-blue mst-dashed");
      m.line([[steps, cut(wanted)], [steps, cut(mean)]], "mst-purple mst-bar");
      const [nq, nk, both] = run.counts;
      const bias = mean - wanted;
      drawPhases(now, bias);
      return `T = ${steps}: query ${nq}, key ${nk}, together ${both} times. Mean product ${fixed(mean, 3)}, ` +
        `product of means ${fixed(wanted, 3)}: bias ${bias > 5e-4 ? "+" : ""}${fixed(bias, 3)}`;
    }

    const left = node("div", {}, raster.root, phases.root);
    const body = [node("div", { class: "mst-panels" }, left, means.root)];
    return explorer({ model, el, watch: NAMES, controls, body, draw });
  }

  root.mstExplorers.views.product = { render, fire, products };
})(globalThis);
