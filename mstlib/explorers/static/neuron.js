// One integrate-and-fire neuron under a constant current.
(function (root) {
  "use strict";
  const { slider, choice, timeline, plot, bands, node, explorer, fixed } = root.mstExplorers.parts;
  const STYLE = { soft: "mst-blue", zero: "mst-red mst-dashed" };

  // Eq. 2 and 3, step by step as in mstlib.neurons: `peaks` before the reset, `potentials` after it.
  function simulate({ current, threshold, reset, start, steps }) {
    const spikes = [], peaks = [], potentials = [];
    let v = start * threshold;
    for (let t = 0; t < steps; t++) {
      const u = v + current;
      const fires = u >= threshold;
      v = fires ? (reset === "soft" ? u - threshold : 0) : u;
      spikes.push(fires ? 1 : 0);
      peaks.push(u);
      potentials.push(v);
    }
    return { spikes, peaks, potentials };
  }

  const count = (spikes) => spikes.reduce((sum, s) => sum + s, 0);

  function render({ model, el }) {
    const names = ["current", "threshold", "reset", "start", "steps"];
    const settings = () => Object.fromEntries(names.map((name) => [name, model.get(name)]));
    const controls = [
      slider(model, "current", { label: "Current", min: -0.2, max: 1.5, step: 0.01, show: (v) => fixed(v, 2) }),
      slider(model, "threshold", { label: "Threshold θ", min: 0.5, max: 2, step: 0.05, show: (v) => fixed(v, 2) }),
      slider(model, "steps", { label: "Steps T", min: 1, max: 128 }),
      timeline(model, "time", { label: "Cursor", last: () => model.get("steps") }),
      choice(model, "reset", { label: "After a spike", options: [["soft", "subtract θ (soft)"], ["zero", "back to zero"]] }),
      choice(model, "start", { label: "Start at", options: [[0, "0"], [0.5, "θ/2"]] }),
    ];
    const potential = plot({
      title: "", height: 230, left: 52,
      items: [
        { mark: "line", style: "mst-green mst-dotted", text: "threshold" },
        { mark: "dot", style: "mst-ink", text: "spike" },
      ],
    });
    const raster = plot({ title: "Spikes, for both kinds of reset", height: 112, left: 52 });
    const rate = plot({
      title: "Firing rate against current", height: 340,
      items: [
        { mark: "line", style: STYLE.soft, text: "soft reset" },
        { mark: "line", style: STYLE.zero, text: "reset to zero" },
        { mark: "line", style: "mst-green mst-dotted", text: "ideal: clipped ReLU" },
        { mark: "dot", style: "mst-ink", text: "your neuron" },
      ],
    });
    const note = node("p", { class: "mst-note" });

    function drawPotential(run, { threshold, start, steps, reset }, cursor) {
      const style = reset === "soft" ? "mst-blue" : "mst-red";
      potential.heading.textContent = `Membrane potential, ${reset === "soft" ? "soft reset" : "reset to zero"}`;
      const v0 = start * threshold;
      const low = Math.min(0, v0, ...run.potentials), high = Math.max(threshold, v0, ...run.peaks);
      const pad = 0.08 * (high - low);
      const c = potential.frame({
        x: { from: 0, to: steps },
        y: { from: low < 0 ? low - pad : 0, to: high + pad, label: "potential v" },
        label: `Membrane potential over ${steps} steps: it starts at ${fixed(v0, 2)} and ends at ` +
          `${fixed(run.potentials[steps - 1], 2)}; the threshold is ${fixed(threshold, 2)}.`,
      });
      // Each step climbs from the last potential to its peak; a spike then drops it at once.
      const points = (last) => {
        const line = [[0, v0]];
        for (let t = 0; t < last; t++) line.push([t + 1, run.peaks[t]], [t + 1, run.potentials[t]]);
        return line;
      };
      c.across(threshold, "mst-green mst-dotted");
      c.line(points(steps), `${style} mst-faint`);
      c.line(points(cursor), style);
      run.spikes.forEach((s, t) => {
        if (s) c.dot(t + 1, run.peaks[t], t < cursor ? "mst-ink" : "mst-ink mst-faint", 4);
      });
      if (cursor < steps) c.down(cursor, "mst-ink mst-thin");
    }

    function drawRaster(runs, { steps, reset }, cursor) {
      const c = raster.frame({
        x: { from: 0, to: steps, label: "time step" },
        y: bands(["soft", "zero"]),
        label: `Spike raster: ${count(runs.soft.spikes)} spikes with soft reset, ` +
          `${count(runs.zero.spikes)} with reset to zero.`,
      });
      ["soft", "zero"].forEach((kind, row) => {
        const style = kind === "soft" ? "mst-blue" : "mst-red";
        runs[kind].spikes.forEach((s, t) => {
          if (s) c.spikes([t + 1], row, t < cursor && kind === reset ? style : `${style} mst-faint`);
        });
      });
      if (cursor < steps) c.down(cursor, "mst-ink mst-thin");
    }

    function drawRate(now, spikes) {
      const { threshold, steps, current } = now;
      const [from, to, points] = [-0.2, 1.5, 340];
      const theta = (n) => (threshold * n) / steps;
      const c = rate.frame({
        x: { from, to, label: "current" },
        y: { from: 0, to: 1.08 * threshold, label: "θN/T" },
        label: `Firing rate against current: the soft reset follows the ideal line in steps of ` +
          `${fixed(threshold / steps, 3)}, the reset to zero stays at or below it. ` +
          `Your neuron: ${fixed(theta(spikes), 3)} at ${fixed(current, 2)}.`,
      });
      for (const reset of ["soft", "zero"]) {
        const curve = Array.from({ length: points }, (_, i) => {
          // not at round numbers, where potential and threshold would tie
          const z = from + ((i + 0.414) / points) * (to - from);
          return [z, theta(count(simulate({ ...now, current: z, reset }).spikes))];
        });
        c.stairs(curve, STYLE[reset]);
      }
      const full = Math.min(threshold, to);
      c.line([[from, 0], [0, 0], [full, full], [to, full]], "mst-green mst-dotted");
      c.dot(current, theta(spikes), "mst-ink");
    }

    function draw() {
      const now = settings();
      const runs = { soft: simulate({ ...now, reset: "soft" }), zero: simulate({ ...now, reset: "zero" }) };
      const run = runs[now.reset];
      const cursor = Math.min(model.get("time") ?? now.steps, now.steps);
      const spikes = count(run.spikes);
      drawPotential(run, now, cursor);
      drawRaster(runs, now, cursor);
      drawRate(now, spikes);
      const v = cursor ? run.potentials[cursor - 1] : now.start * now.threshold;
      const soFar = count(run.spikes.slice(0, cursor));
      note.textContent = `After step ${cursor}: v = ${fixed(v, 3)}, ${soFar} ${soFar === 1 ? "spike" : "spikes"} so far.`;
      return `${spikes} ${spikes === 1 ? "spike" : "spikes"} in ${now.steps} ${now.steps === 1 ? "step" : "steps"}: ` +
        `θN/T = ${fixed((now.threshold * spikes) / now.steps, 3)} for a current of ${fixed(now.current, 3)}`;
    }

    const left = node("div", {}, potential.root, raster.root, note);
    const body = [node("div", { class: "mst-panels" }, left, rate.root)];
    return explorer({ model, el, watch: [...names, "time"], controls, body, draw });
  }

  root.mstExplorers.views.neuron = { render, simulate };
})(globalThis);
