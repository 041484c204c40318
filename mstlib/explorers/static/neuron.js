// One integrate-and-fire neuron under a constant current, with both kinds of reset side by side.
(function (root) {
  "use strict";
  const { slider, choice, timeline, legend, plot, bands, node, explorer, fixed, settings, sum: total } =
    root.mstExplorers.parts;
  const STYLE = { soft: "mst-blue", zero: "mst-red mst-dashed" };
  const NAME = { soft: "soft reset", zero: "reset to zero" };

  // Eq. 2 and 3, step by step as in mstlib.neurons: `peaks` before the reset, `potentials` after it,
  // and `lost`, what a reset to zero threw away above the threshold.
  function simulate({ current, threshold, reset, start, steps }) {
    const spikes = [], peaks = [], potentials = [], lost = [];
    let v = start * threshold;
    for (let t = 0; t < steps; t++) {
      const u = v + current;
      const fires = u >= threshold;
      v = fires ? (reset === "soft" ? u - threshold : 0) : u;
      spikes.push(fires ? 1 : 0);
      peaks.push(u);
      potentials.push(v);
      lost.push(fires && reset !== "soft" ? u - threshold : 0);
    }
    return { spikes, peaks, potentials, lost };
  }

  const spikesOf = (n) => `${n} ${n === 1 ? "spike" : "spikes"}`;

  function render({ model, el }) {
    const names = ["current", "threshold", "reset", "start", "steps"];
    const controls = [
      slider(model, "current", { label: "Current", min: -0.2, max: 1.5, step: 0.01, show: (v) => fixed(v, 2) }),
      slider(model, "threshold", { label: "Threshold θ", min: 0.5, max: 2, step: 0.05, show: (v) => fixed(v, 2) }),
      slider(model, "steps", { label: "Steps T", min: 1, max: 128 }),
      timeline(model, "time", { label: "Cursor", last: () => model.get("steps") }),
      choice(model, "reset", {
        label: "Your neuron, after a spike", options: [["soft", "subtract θ (soft)"], ["zero", "back to zero"]],
      }),
      choice(model, "start", { label: "Start at", options: [[0, "0"], [0.5, "θ/2"]] }),
    ];
    const key = legend([
      { mark: "line", style: "mst-green mst-dotted", text: "threshold" },
      { mark: "dot", style: "mst-ink", text: "spike" },
      { mark: "line", style: "mst-purple mst-bar", text: "thrown away by a reset to zero" },
    ]);
    const potentials = {
      soft: plot({ title: "Membrane potential, soft reset", height: 165, left: 52 }),
      zero: plot({ title: "Membrane potential, reset to zero", height: 165, left: 52 }),
    };
    const raster = plot({ title: "Spikes, for both kinds of reset", height: 112, left: 52 });
    const rate = plot({
      title: "Firing rate against current", height: 380,
      items: [
        { mark: "line", style: STYLE.soft, text: "soft reset" },
        { mark: "line", style: STYLE.zero, text: "reset to zero" },
        { mark: "line", style: "mst-green mst-dotted", text: "ideal: clipped ReLU" },
        { mark: "dot", style: "mst-ink", text: "your neuron" },
      ],
    });
    const note = node("p", { class: "mst-note" });

    function drawPotentials(runs, { threshold, start, steps }, cursor) {
      const v0 = start * threshold, both = Object.values(runs);
      const low = Math.min(0, v0, ...both.flatMap((run) => run.potentials));
      const high = Math.max(threshold, v0, ...both.flatMap((run) => run.peaks));
      const pad = 0.08 * (high - low);
      for (const [kind, run] of Object.entries(runs)) {
        const style = kind === "soft" ? "mst-blue" : "mst-red";
        const thrown = kind === "zero" ? `; ${fixed(total(run.lost), 2)} thrown away` : "";
        const c = potentials[kind].frame({
          x: { from: 0, to: steps },
          y: { from: low < 0 ? low - pad : 0, to: high + pad, label: "potential v" },
          label: `Membrane potential with ${NAME[kind]} over ${steps} steps: it starts at ${fixed(v0, 2)} and ends ` +
            `at ${fixed(run.potentials[steps - 1], 2)}; the threshold is ${fixed(threshold, 2)}${thrown}.` +
            (cursor < steps ? ` Strong up to step ${cursor}, faint after it.` : ""),
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
          if (!s) return;
          if (run.lost[t] > 0 && t < cursor) c.line([[t + 1, threshold], [t + 1, run.peaks[t]]], "mst-purple mst-bar");
          c.dot(t + 1, run.peaks[t], t < cursor ? "mst-ink" : "mst-ink mst-faint", 4);
        });
        if (cursor < steps) c.down(cursor, "mst-ink mst-thin");
      }
    }

    function drawRaster(runs, { steps }, cursor) {
      const first = runs.soft.spikes.indexOf(1); // until then the two are one
      const c = raster.frame({
        x: { from: 0, to: steps, label: "time step" },
        y: bands(["soft", "zero"]),
        label: `Spike raster: ${spikesOf(total(runs.soft.spikes))} with soft reset, ` +
          `${total(runs.zero.spikes)} with reset to zero${first < 0 ? "" : `, the first in step ${first + 1}`}.` +
          (cursor < steps ? ` Strong up to step ${cursor}, faint after it.` : ""),
      });
      ["soft", "zero"].forEach((kind, row) => {
        const style = kind === "soft" ? "mst-blue" : "mst-red";
        runs[kind].spikes.forEach((s, t) => {
          if (s) c.spikes([t + 1], row, t < cursor ? style : `${style} mst-faint`);
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
        label: `Firing rate against current, from a start at ${fixed(now.start, 1)} θ: the soft reset follows ` +
          `the ideal line in steps of ${fixed(threshold / steps, 3)}, the reset to zero stays at or below it. ` +
          `Your neuron: ${fixed(theta(spikes), 3)} at ${fixed(current, 2)}.`,
      });
      for (const reset of ["soft", "zero"]) {
        const curve = Array.from({ length: points }, (_, i) => {
          // not at round numbers, where potential and threshold would tie
          const z = from + ((i + 0.414) / points) * (to - from);
          return [z, theta(total(simulate({ ...now, current: z, reset }).spikes))];
        });
        c.stairs(curve, STYLE[reset]);
      }
      const full = Math.min(threshold, to);
      c.line([[from, 0], [0, 0], [full, full], [to, full]], "mst-green mst-dotted");
      c.dot(current, theta(spikes), "mst-ink");
    }

    function draw() {
      const now = settings(model, names);
      const runs = { soft: simulate({ ...now, reset: "soft" }), zero: simulate({ ...now, reset: "zero" }) };
      const cursor = Math.min(model.get("time") ?? now.steps, now.steps);
      const spikes = total(runs[now.reset].spikes);
      drawPotentials(runs, now, cursor);
      drawRaster(runs, now, cursor);
      drawRate(now, spikes);
      const soFar = Object.entries(runs).map(([kind, run]) => {
        const v = cursor ? run.potentials[cursor - 1] : now.start * now.threshold;
        return `${NAME[kind]} v = ${fixed(v, 3)}, ${spikesOf(total(run.spikes.slice(0, cursor)))}`;
      });
      const lost = fixed(total(runs.zero.lost.slice(0, cursor)), 3);
      note.textContent = `After step ${cursor}: ${soFar.join("; ")}, ${lost} thrown away.`;
      const other = now.reset === "soft" ? "zero" : "soft", others = total(runs[other].spikes);
      const theta = (n) => `θN/T = ${fixed((now.threshold * n) / now.steps, 3)}`;
      return `${spikesOf(spikes)} in ${now.steps} ${now.steps === 1 ? "step" : "steps"}: ${theta(spikes)} ` +
        `for a current of ${fixed(now.current, 3)}. With ${NAME[other]}: ${spikesOf(others)}, ${theta(others)}`;
    }

    const left = node("div", {}, key, potentials.soft.root, potentials.zero.root, raster.root, note);
    const body = [node("div", { class: "mst-panels" }, left, rate.root)];
    return explorer({ model, el, watch: [...names, "time"], controls, body, draw });
  }

  root.mstExplorers.views.neuron = { render, simulate };
})(globalThis);
