// What one image costs: in spikes, masked or not, in numbers of b bits, and in floats.
(function (root) {
  "use strict";
  const { node, select, choice, slider, plot, bands, powersOfTwo, explorer, sum, settings } = root.mstExplorers.parts;
  const FORMS = ["spikes, unmasked", "spikes, masked", "numbers of b bits", "floats"];
  const STYLES = ["mst-blue", "mst-red mst-dashed", "mst-green", "mst-ink mst-dotted"];
  const BARS = ["mst-blue", "mst-red mst-hollow", "mst-green", "mst-ink mst-hollow"];
  const ACCOUNTS = ["Eq. 10, step", "Eq. 10, run", "delivered", "operations", "MAC + AC", "+ memory"];
  const COLUMNS = ["unmasked", "masked", "b bits", "floats"];
  const PARTS = ["multiply", "add", "weights", "states", "sent"];
  const LAST = 256;

  // mstlib.energy.matched_bits
  const bitsFor = (steps) => Math.floor(Math.log2(steps)) + 1;

  // mstlib.analysis.operations.Totals.energy, in microjoules, by part
  function ofSpikes(c, steps, cost) {
    return [
      c.macs * cost.mac, c.adds * cost.ac, c.fetches * cost.weight, 2 * c.neurons * cost.word, c.delivered * cost.word,
    ].map((picojoules) => 1e-6 * steps * picojoules);
  }

  // mstlib.analysis.operations.Totals.energy_of_numbers, in microjoules, by part
  function ofNumbers(c, bits, cost) {
    return [
      (c.dense + c.entry_macs) * cost.mac, c.entry_adds * cost.ac, c.dense * cost.weight, 0,
      (2 * c.neurons * bits * cost.word) / 32,
    ].map((picojoules) => 1e-6 * picojoules);
  }

  // Prices: a word has 32 bits; 0 bits stand for floats (Horowitz 2014), else weights have 8.
  function prices(s, bits) {
    const word = s.memory / 2;
    if (bits === 0) return { mac: 4.6, ac: 0.9, weight: word, word };
    return { mac: (s.multiply * bits) / 8 + s.add, ac: s.add, weight: word / 4, word };
  }

  // The counts without masks, and with those chosen.
  function traced(s) {
    const ratios = s.traces[s.network], plain = Object.values(ratios)[0];
    return [plain, ratios[s.ratio] || plain];
  }

  // The parts of each form after some steps.
  function energies(s, steps) {
    const [plain, masked] = traced(s);
    const spikes = prices(s, s.arithmetic === "floats" ? 0 : 8), bits = bitsFor(steps);
    return [
      ofSpikes(plain, steps, spikes), ofSpikes(masked, steps, spikes),
      ofNumbers(plain, bits, prices(s, bits)), ofNumbers(plain, 32, prices(s, 0)),
    ];
  }

  // One row for each account, one column for each form; null where a form has no such account.
  function accounts(s, steps) {
    const [plain, masked] = traced(s), free = { ...s, memory: 0 };
    const both = (f) => [f(plain), f(masked)];
    return [
      [...both((c) => c.emitted / 1e3), null, null],
      [...both((c) => (steps * c.emitted) / 1e3), null, null],
      [...both((c) => c.delivered / 1e3), null, null],
      [...both((c) => (steps * c.synaptic) / 1e6), plain.dense / 1e6, plain.dense / 1e6],
      energies(free, steps).map(sum),
      energies(s, steps).map(sum),
    ];
  }

  // The cheapest form for T = 1, 2, …: [[first T, form], …]
  function cheapest(s) {
    const turns = [];
    for (let T = 1; T <= LAST; T++) {
      const totals = energies(s, T).map(sum), best = totals.indexOf(Math.min(...totals));
      if (!turns.length || turns[turns.length - 1][1] !== best) turns.push([T, best]);
    }
    return turns;
  }

  function brief(v) {
    if (v >= 100) return v.toFixed(0);
    if (v >= 10) return v.toFixed(1);
    return v >= 1 || v === 0 ? v.toFixed(2) : String(Number(v.toPrecision(3)));
  }

  function render({ model, el }) {
    const names = ["traces", "network", "ratio", "steps", "arithmetic", "add", "multiply", "memory"];
    const networks = Object.keys(model.get("traces"));
    const ratios = Object.keys(model.get("traces")[networks[0]]);
    const picojoules = (v) => `${v.toFixed(2)} pJ`;
    const controls = [
      select(model, "network", { label: "Network", options: networks }),
      choice(model, "ratio", { label: "Masked", options: ratios.map((r) => [r, r]) }),
      slider(model, "steps", { label: "Steps T", min: 0, max: 8, read: (T) => Math.log2(T), write: (k) => 2 ** k }),
      choice(model, "arithmetic", {
        label: "Spikes add", options: [["floats", "floats"], ["whole numbers", "whole numbers"]],
      }),
      slider(model, "add", { label: "Add, 32 bits", min: 0, max: 1, step: 0.01, show: picojoules }),
      slider(model, "multiply", { label: "Multiply, 8 × 8 bits", min: 0, max: 2, step: 0.02, show: picojoules }),
      slider(model, "memory", { label: "Move 64 bits (0: free)", min: 0, max: 100, step: 1, show: picojoules }),
    ];
    const over = plot({
      title: "Energy of one image against T", height: 270,
      items: [
        ...FORMS.map((text, k) => ({ mark: "line", style: STYLES[k], text })),
        { mark: "line", style: "mst-purple mst-dashdot", text: "upright: the cheapest flips" },
      ],
    });
    const bars = plot({ title: "", height: 230 });
    const table = plot({ title: "", height: 250 });
    const parts = plot({ title: "What the energy is spent on, in µJ", height: 220 });
    const units = node("p", { class: "mst-note mst-wide" },
      "Eq. 10 in M α W, its spikes totalled over a step or over the run; spikes delivered in a step, in thousands; " +
      "operations of one image in millions: synaptic operations of spikes, multiply–accumulates of numbers; " +
      "MAC + AC and the same with memory in µJ. Shades compare within a row.");
    for (const panel of [table, parts]) panel.root.classList.add("mst-wide");

    function drawCurves(s, now, turns) {
      const stops = powersOfTwo(LAST).map(([v]) => v);
      const curves = stops.map((T) => energies(s, T).map(sum));
      const all = curves.flat().filter((v) => v > 0);
      const from = Math.floor(Math.log10(Math.min(...all, 1e3))), to = Math.ceil(Math.log10(Math.max(...all, 1e-3)));
      const power = (k) => Number((10 ** k).toPrecision(1));
      const tens = Array.from({ length: to - from + 1 }, (_, k) => [power(from + k), String(power(from + k))]);
      const ends = (k) => `${brief(curves[0][k])} and ${brief(curves[curves.length - 1][k])}`;
      const c = over.frame({
        x: { from: 1, to: LAST, log: true, ticks: powersOfTwo(LAST), label: "steps T (logarithmic)" },
        y: { from: 10 ** from, to: 10 ** to, log: true, ticks: tens, label: "µJ (logarithmic)" },
        label: `Energy against T. At T = 1 and T = ${LAST}: ` + FORMS.map((f, k) => `${f} ${ends(k)}`).join("; ") +
          ` microjoules. The cheapest: ${turns.map(([T, k]) => `${FORMS[k]} from T = ${T}`).join(", ")}. ` +
          `The dots are at T = ${s.steps}.`,
      });
      for (const [T] of turns.slice(1)) c.down(T, "mst-purple mst-dashdot");
      FORMS.forEach((_, k) => {
        c.line(stops.map((T, i) => [T, curves[i][k]]).filter(([, v]) => v > 0), STYLES[k]);
        if (now[k] > 0) c.dot(s.steps, now[k], STYLES[k].split(" ")[0], 5);
      });
    }

    // The cheapest on top, so that the order itself turns.
    function drawRanking(T, now) {
      const order = FORMS.map((_, k) => k).sort((i, j) => now[i] - now[j]);
      bars.heading.textContent = `Ranking at T = ${T}, cheapest first`;
      const b = bars.frame({
        x: { from: 0, to: 1.35 * Math.max(...now) || 1, label: "energy of one image (µJ)" },
        y: bands(order.map((k) => FORMS[k])),
        label: `At T = ${T}, cheapest first: ${order.map((k) => `${FORMS[k]} ${brief(now[k])} µJ`).join(", ")}.`,
      });
      order.forEach((k, row) => b.bar(now[k], row, brief(now[k]), BARS[k]));
      return order;
    }

    function drawTable(rows, T) {
      table.heading.textContent = `Every account of the same trace, T = ${T}`;
      const said = rows.map((row, k) => `${ACCOUNTS[k]}: ` +
        row.flatMap((v, i) => (v === null ? [] : [`${FORMS[i]} ${brief(v)}`])).join(", "));
      const c = table.frame({ x: bands(COLUMNS), y: bands(ACCOUNTS), label: `${said.join(". ")}.` });
      rows.forEach((row, k) => row.forEach((v, i) => {
        if (v !== null) c.cell(i, k, v / (Math.max(...row) || 1), brief(v), "mst-blue");
      }));
    }

    function drawParts(now) {
      const top = Math.max(...now.flat()) || 1;
      const c = parts.frame({
        x: bands(PARTS), y: bands(FORMS),
        label: FORMS.map((f, k) => `${f}: ` + PARTS.map((p, i) => `${p} ${brief(now[k][i])}`).join(", ")).join(". "),
      });
      FORMS.forEach((_, k) => PARTS.forEach((_part, i) =>
        c.cell(i, k, now[k][i] / top, brief(now[k][i]), "mst-blue")));
    }

    function draw() {
      const s = settings(model, names);
      const T = s.steps, now = energies(s, T), totals = now.map(sum), turns = cheapest(s);
      drawCurves(s, totals, turns);
      const [first, second] = drawRanking(T, totals);
      drawTable(accounts(s, T), T);
      drawParts(now);
      const saved = (100 * (totals[1] / totals[0] - 1 || 0)).toFixed(1).replace("-", "−");
      const flips = turns.slice(1).map(([at, k], i) => `at T = ${at} from ${FORMS[turns[i][1]]} to ${FORMS[k]}`);
      return `T = ${T}, b = ${bitsFor(T)} bits. Cheapest now: ${FORMS[first]}, ${brief(totals[first])} µJ, then ` +
        `${FORMS[second]}, ${brief(totals[second])} µJ. ` +
        (flips.length ? `The cheapest flips ${flips.join(" and ")}. ` : `It is so at every T to ${LAST}. `) +
        `Masking ${s.ratio} changes the energy of spikes by ${saved}\u00a0%.`;
    }

    const body = [node("div", { class: "mst-panels" }, over.root, bars.root, table.root, units, parts.root)];
    return explorer({ model, el, watch: names, controls, body, draw });
  }

  root.mstExplorers.views.energy = { render, energies, bitsFor, accounts, cheapest };
})(globalThis);
