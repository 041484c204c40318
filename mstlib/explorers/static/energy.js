// What one image costs: in spikes, masked or not, in numbers of b bits, and in floats.
(function (root) {
  "use strict";
  const { node, select, choice, slider, plot, bands, powersOfTwo, explorer } = root.mstExplorers.parts;
  const FORMS = ["spikes, unmasked", "spikes, masked", "numbers of b bits", "floats"];
  const STYLES = ["mst-blue", "mst-red mst-dashed", "mst-green", "mst-ink mst-dotted"];
  const BARS = ["mst-blue", "mst-red mst-hollow", "mst-green", "mst-ink mst-hollow"];
  const PARTS = ["multiply", "add", "weights", "states", "sent"];
  const LAST = 256;

  // mstlib.energy.matched_bits
  const bitsFor = (steps) => Math.floor(Math.log2(steps)) + 1;

  // mstlib.operations.Totals.energy, in microjoules, by part
  function ofSpikes(c, steps, cost) {
    return [
      c.macs * cost.mac, c.adds * cost.ac, c.fetches * cost.weight, 2 * c.neurons * cost.word, c.delivered * cost.word,
    ].map((picojoules) => 1e-6 * steps * picojoules);
  }

  // mstlib.operations.Totals.energy_of_numbers, in microjoules, by part
  function ofNumbers(c, bits, cost) {
    return [
      (c.dense + c.entry_macs) * cost.mac, c.entry_adds * cost.ac, c.dense * cost.weight, 0, (2 * c.neurons * bits * cost.word) / 32,
    ].map((picojoules) => 1e-6 * picojoules);
  }

  // Prices: a word has 32 bits; 0 bits stand for floats (Horowitz 2014), else weights have 8.
  function prices(s, bits) {
    const word = s.memory / 2;
    if (bits === 0) return { mac: 4.6, ac: 0.9, weight: word, word };
    return { mac: (s.multiply * bits) / 8 + s.add, ac: s.add, weight: word / 4, word };
  }

  // The parts of each form after some steps.
  function energies(s, steps) {
    const ratios = s.traces[s.network];
    const plain = Object.values(ratios)[0], masked = ratios[s.ratio] || plain;
    const spikes = prices(s, s.arithmetic === "floats" ? 0 : 8), bits = bitsFor(steps);
    return [
      ofSpikes(plain, steps, spikes), ofSpikes(masked, steps, spikes),
      ofNumbers(plain, bits, prices(s, bits)), ofNumbers(plain, 32, prices(s, 0)),
    ];
  }

  const sum = (values) => values.reduce((a, b) => a + b, 0);
  const brief = (v) => (v >= 100 ? v.toFixed(0) : v >= 10 ? v.toFixed(1) : v >= 0.01 || v === 0 ? v.toFixed(2) : v.toPrecision(1));

  function render({ model, el }) {
    const names = ["traces", "network", "ratio", "steps", "arithmetic", "add", "multiply", "memory"];
    const networks = Object.keys(model.get("traces"));
    const ratios = Object.keys(model.get("traces")[networks[0]]);
    const picojoules = (v) => `${v.toFixed(2)} pJ`;
    const controls = [
      select(model, "network", { label: "Network", options: networks }),
      choice(model, "ratio", { label: "Masked", options: ratios.map((r) => [r, r]) }),
      slider(model, "steps", { label: "Steps T", min: 0, max: 8, read: (T) => Math.log2(T), write: (k) => 2 ** k }),
      choice(model, "arithmetic", { label: "Spikes add", options: [["floats", "floats"], ["whole numbers", "whole numbers"]] }),
      slider(model, "add", { label: "Add, 32 bits", min: 0, max: 1, step: 0.01, show: picojoules }),
      slider(model, "multiply", { label: "Multiply, 8 × 8 bits", min: 0, max: 2, step: 0.02, show: picojoules }),
      slider(model, "memory", { label: "Move 64 bits (0: free)", min: 0, max: 100, step: 1, show: picojoules }),
    ];
    const over = plot({
      title: "Energy of one image against T", height: 270,
      items: FORMS.map((text, k) => ({ mark: "line", style: STYLES[k], text })),
    });
    const bars = plot({ title: "", height: 230 });
    const parts = plot({ title: "What it is spent on, in µJ", height: 220 });
    parts.root.classList.add("mst-wide");

    function draw() {
      const s = Object.fromEntries(names.map((name) => [name, model.get(name)]));
      const T = s.steps, now = energies(s, T), totals = now.map(sum);
      const stops = powersOfTwo(LAST).map(([v]) => v);
      const curves = stops.map((t) => energies(s, t).map(sum));
      const all = curves.flat().filter((v) => v > 0).concat(1e-3);
      const from = Math.floor(Math.log10(Math.min(...all.slice(0, -1), 1e3))), to = Math.ceil(Math.log10(Math.max(...all)));
      const tens = Array.from({ length: to - from + 1 }, (_, k) => [10 ** (from + k), String(Number((10 ** (from + k)).toPrecision(1)))]);
      const c = over.frame({
        x: { from: 1, to: LAST, log: true, ticks: powersOfTwo(LAST), label: "steps T (logarithmic)" },
        y: { from: 10 ** from, to: 10 ** to, log: true, ticks: tens, label: "µJ (logarithmic)" },
        label: `Energy against T. At T = 1 and T = ${LAST}: ` +
          FORMS.map((f, k) => `${f} ${brief(curves[0][k])} and ${brief(curves[curves.length - 1][k])}`).join("; ") + " microjoules.",
      });
      FORMS.forEach((_, k) => {
        const points = stops.map((t, i) => [t, curves[i][k]]).filter(([, v]) => v > 0);
        c.line(points, STYLES[k]);
        if (totals[k] > 0) c.dot(T, totals[k], STYLES[k].split(" ")[0], 5);
      });

      bars.heading.textContent = `Energy of one image at T = ${T}`;
      const b = bars.frame({
        x: { from: 0, to: 1.35 * Math.max(...totals) || 1, label: "µJ" },
        y: bands(FORMS),
        label: `At T = ${T}: ` + FORMS.map((f, k) => `${f} ${brief(totals[k])} µJ`).join(", ") + ".",
      });
      FORMS.forEach((_, k) => b.bar(totals[k], k, brief(totals[k]), BARS[k]));

      const top = Math.max(...now.flat()) || 1;
      const h = parts.frame({
        x: bands(PARTS), y: bands(FORMS),
        label: FORMS.map((f, k) => `${f}: ` + PARTS.map((p, i) => `${p} ${brief(now[k][i])}`).join(", ")).join(". "),
      });
      FORMS.forEach((_, k) => PARTS.forEach((_, i) => h.cell(i, k, now[k][i] / top, brief(now[k][i]), "mst-blue")));

      const best = totals.indexOf(Math.min(...totals));
      const wins = stops.filter((_, i) => curves[i][0] < curves[i][2]);
      return `T = ${T}, b = ${bitsFor(T)} bits: least with ${FORMS[best]}, ${brief(totals[best])} µJ. ` +
        `Masking ${s.ratio} changes the spiking network's energy by ${(100 * (totals[1] / totals[0] - 1 || 0)).toFixed(1).replace("-", "−")} %. ` +
        (wins.length ? `Unmasked spikes beat the b-bit network up to T = ${Math.max(...wins)}.` : "Spikes beat the b-bit network at no T.");
    }

    const body = [node("div", { class: "mst-panels" }, over.root, bars.root, parts.root)];
    return explorer({ model, el, watch: names, controls, body, draw });
  }

  root.mstExplorers.views.energy = { render, energies, bitsFor };
})(globalThis);
