// The staircase of QCFS against the output of an integrate-and-fire neuron after T steps.
(function (root) {
  "use strict";
  const { slider, plot, explorer, fixed } = root.mstExplorers.parts;
  const POINTS = 700;

  const clip = (x, low, high) => Math.min(Math.max(x, low), high);

  // mstlib.qcfs: θ · clip(⌊zL/θ + ½⌋ / L, 0, 1)
  const qcfs = (z, threshold, levels) => threshold * clip(Math.floor((z * levels) / threshold + 0.5) / levels, 0, 1);

  // mstlib.neurons with soft reset: θ N_T / T for the constant input z
  function fire(z, threshold, steps, start) {
    let v = start * threshold, spikes = 0;
    for (let t = 0; t < steps; t++) {
      v += z;
      if (v >= threshold) {
        v -= threshold;
        spikes++;
      }
    }
    return (threshold * spikes) / steps;
  }

  // For z uniform on [0, θ] the k-th of T stairs rises at θ(k − start)/T, so the neuron's mean is
  // θ(½ + (start − ½)/T), and that of QCFS, whose stairs rise half a stair early, is θ/2.
  const meanDifference = (threshold, steps, start) => (threshold * (start - 0.5)) / steps;

  function render({ model, el }) {
    const names = ["threshold", "levels", "steps", "start"];
    const controls = [
      slider(model, "threshold", { label: "Threshold θ", min: 0.5, max: 2, step: 0.05, show: (v) => fixed(v, 2) }),
      slider(model, "levels", { label: "Levels L of QCFS", min: 1, max: 32 }),
      slider(model, "steps", { label: "Steps T of the neuron", min: 1, max: 64 }),
      slider(model, "start", { label: "Start v₀", min: 0, max: 1, step: 0.05, show: (v) => `${fixed(v, 2)} θ` }),
    ];
    const stairs = plot({
      title: "Output against input z", height: 290, left: 56,
      items: [
        { mark: "line", style: "mst-blue mst-thick", text: "QCFS" },
        { mark: "line", style: "mst-red mst-dashed", text: "neuron, θN/T" },
        { mark: "line", style: "mst-green mst-dotted", text: "clipped ReLU" },
        { mark: "box", style: "mst-purple mst-hollow", text: "between the two: here they differ" },
      ],
    });
    const gap = plot({
      title: "Difference: neuron minus QCFS (dotted: its mean; dot: its largest)", height: 170, left: 56,
    });

    function draw() {
      const [threshold, levels, steps, start] = names.map((name) => model.get(name));
      const from = -0.25 * threshold, to = 1.25 * threshold;
      const curves = { qcfs: [], neuron: [], gap: [] };
      let largest = 0, worst = 0;
      for (let i = 0; i < POINTS; i++) {
        const z = from + ((i + 0.414) / POINTS) * (to - from); // never on the edge of a stair
        const [q, f] = [qcfs(z, threshold, levels), fire(z, threshold, steps, start)];
        curves.qcfs.push([z, q]);
        curves.neuron.push([z, f]);
        // equal stairs may differ in the last bit when L ≠ T
        const d = Math.abs(f - q) < 1e-12 ? 0 : f - q;
        curves.gap.push([z, d]);
        if (Math.abs(d) > largest + 1e-12) [largest, worst] = [Math.abs(d), i];
      }
      const mean = meanDifference(threshold, steps, start);
      const inside = curves.gap.filter(([z]) => z > 0 && z < threshold);
      const share = `${fixed((100 * inside.filter(([, d]) => d !== 0).length) / inside.length, 0)} %`;

      const c = stairs.frame({
        x: { from, to },
        y: { from: 0, to: 1.08 * threshold, label: "output" },
        label: `QCFS with ${levels} levels and the neuron's rate after ${steps} steps from ${fixed(start, 2)} θ, ` +
          `both against the input, over the clipped ReLU they approximate; θ = ${fixed(threshold, 2)}. ` +
          `They differ on ${share} of the inputs from 0 to θ.`,
      });
      c.line([[from, 0], [0, 0], [threshold, threshold], [to, threshold]], "mst-green mst-dotted");
      if (largest > 0) c.line([...curves.qcfs, ...curves.neuron.slice().reverse()], "mst-purple mst-fill");
      c.stairs(curves.qcfs, "mst-blue mst-thick");
      c.stairs(curves.neuron, "mst-red mst-dashed");

      const reach = 1.15 * Math.max(largest, threshold / 16);
      const g = gap.frame({
        x: { from, to, label: "input z" },
        y: { from: -reach, to: reach, label: "difference" },
        label: largest === 0
          ? `The difference is zero everywhere, for inputs from ${fixed(from, 2)} to ${fixed(to, 2)}.`
          : `The difference reaches ${fixed(largest, 3)}, at an input of ${fixed(curves.gap[worst][0], 3)}; ` +
            `its mean for uniform inputs is ${fixed(mean, 4)}.`,
      });
      g.across(0, "mst-ink mst-thin");
      g.stairs(curves.gap, "mst-purple");
      if (mean !== 0) g.across(mean, "mst-ink mst-dotted");
      if (largest > 0) g.dot(...curves.gap[worst], "mst-ink", 4);

      const verdict = largest === 0 ? "the two staircases coincide" :
        `they differ by up to ${fixed(largest, 3)}, on ${share} of [0,\u00a0θ]`;
      return `L = ${levels}, T = ${steps}, v₀ = ${fixed(start, 2)} θ: ${verdict}. ` +
        `Mean difference for z uniform in [0,\u00a0θ]: ${fixed(mean, 4)}`;
    }

    return explorer({ model, el, watch: names, controls, body: [stairs.root, gap.root], draw });
  }

  root.mstExplorers.views.qcfs = { render, qcfs, fire, meanDifference };
})(globalThis);
