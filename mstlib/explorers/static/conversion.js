// What conversion costs: accuracy as the steps go by, and where the error comes from.
(function (root) {
  "use strict";
  const { node, networkChoice, slider, plot, bands, powersOfTwo, explorer, percent, least } =
    root.mstExplorers.parts;

  // The three that any converted network has; the others come with attention and normalisation.
  const CLASSIC = ["clipping", "quantisation", "unevenness"];
  const styleOf = (cause) => (CLASSIC.includes(cause) ? "mst-blue" : "mst-red mst-hollow");

  // The index of the stored step nearest to T on a logarithmic axis.
  const nearest = (steps, T) => least(steps, (step) => Math.abs(Math.log(step / T)));

  // Slider stops evenly spaced in log T, eight to a doubling.
  function stopsUpTo(last) {
    const stops = Array.from({ length: Math.floor(8 * Math.log2(last)) + 1 }, (_, k) => Math.round(2 ** (k / 8)));
    return [...new Set(stops).add(last)];
  }

  // Three significant digits (two where space is short), or powers of ten for the very small.
  const brief = (v, digits = 3) =>
    v !== 0 && v < 0.001 ? v.toExponential(0).replace("e-", "e−") : String(Number(v.toPrecision(digits)));

  function render({ model, el }) {
    const curve = () => model.get("curves")[model.get("network")];
    const lastStep = () => Math.max(...curve().steps);
    const stops = () => stopsUpTo(lastStep());
    const controls = [
      ...networkChoice(model, "curves"),
      slider(model, "steps", {
        label: "Steps T", min: 0, max: () => stops().length - 1,
        read: (T) => nearest(stops(), T), write: (k) => stops()[k], show: (T) => String(Math.min(T, lastStep())),
      }),
    ];
    const accuracy = plot({
      title: "Accuracy against steps", height: 260,
      items: [
        { mark: "line", style: "mst-blue", text: "spiking network" },
        { mark: "line", style: "mst-green mst-dotted", text: "QCFS network" },
        { mark: "dot", style: "mst-ink", text: "your T" },
      ],
    });
    const causes = plot({
      title: "", height: 260,
      items: [
        { mark: "box", style: "mst-blue", text: "in any converted network" },
        { mark: "box", style: "mst-red mst-hollow", text: "added by attention and norms" },
      ],
    });
    const table = plot({ title: "The same at every stored T", height: 250 });
    table.root.classList.add("mst-wide");

    function drawAccuracy({ steps, accuracy: values, qcfs }, k) {
      const low = Math.min(...values, qcfs);
      const c = accuracy.frame({
        x: { from: 1, to: lastStep(), log: true, ticks: powersOfTwo(lastStep()), label: "steps T (logarithmic)" },
        y: { from: low > 0.5 ? 0.5 : 0, to: 1.02, label: "accuracy",
          ticks: (low > 0.5 ? [0.5, 0.6, 0.7, 0.8, 0.9, 1] : [0, 0.25, 0.5, 0.75, 1])
            .map((v) => [v, percent(v, 0)]) },
        label: `Accuracy of the spiking network from ${percent(values[0])} at T = ${steps[0]} to ` +
          `${percent(values[values.length - 1])} at T = ${lastStep()}; the QCFS network has ${percent(qcfs)}. ` +
          `At your T = ${steps[k]} it is ${percent(values[k])}.`,
      });
      c.across(qcfs, "mst-green mst-dotted");
      c.line(steps.map((T, i) => [T, values[i]]), "mst-blue");
      c.dot(steps[k], values[k], "mst-ink");
    }

    function drawLedger({ steps, causes: names, error }, measure, k) {
      const top = Math.max(...error.flat()) || 1;
      causes.heading.textContent = `Error by cause at T = ${steps[k]}`;
      const said = names.map((name, row) => `${name} ${brief(error[row][k])}`).join(", ");
      const c = causes.frame({
        x: { from: 0, to: 1.3 * top, label: measure },
        y: bands(names),
        label: `Error by cause at T = ${steps[k]}: ${said}.`,
      });
      names.forEach((name, row) => c.bar(error[row][k], row, brief(error[row][k]), styleOf(name)));

      const h = table.frame({
        x: { ...bands(steps), label: "steps T" },
        y: bands(names),
        label: `Error of each cause at T = ${steps.join(", ")}. ` +
          names.map((name, row) => `${name}: ${error[row].map((e) => brief(e)).join(", ")}`).join(". ") +
          `. The frame is at T = ${steps[k]}.`,
      });
      names.forEach((name, row) => steps.forEach((_, column) => {
        const value = error[row][column];
        h.cell(column, row, value / top, brief(value, 2), CLASSIC.includes(name) ? "mst-blue" : "mst-red");
      }));
      h.outline(k, names.length);
      return names.reduce((best, _, row) => (error[row][k] > error[best][k] ? row : best), 0);
    }

    const missing = node("p", { class: "mst-note" }, "No ledger of errors is stored for this network.");

    function draw() {
      const now = curve();
      const T = Math.min(model.get("steps"), lastStep());
      const k = nearest(now.steps, T);
      drawAccuracy(now, k);
      const ledger = model.get("ledger")[model.get("network")];
      causes.root.hidden = table.root.hidden = !ledger;
      missing.hidden = Boolean(ledger);
      let said = `${model.get("network")}, T = ${now.steps[k]}: accuracy ${percent(now.accuracy[k])}, ` +
        `QCFS network ${percent(now.qcfs)}`;
      if (ledger) {
        const j = nearest(ledger.steps, T);
        const worst = drawLedger(ledger, model.get("measure"), j);
        said += `. Largest error at T = ${ledger.steps[j]}: ${ledger.causes[worst]}, ${brief(ledger.error[worst][j])}`;
      }
      return said;
    }

    const body = [node("div", { class: "mst-panels" }, accuracy.root, causes.root, table.root, missing)];
    const watch = ["curves", "ledger", "measure", "network", "steps"];
    return explorer({ model, el, watch, controls, body, draw });
  }

  root.mstExplorers.views.conversion = { render, nearest, stopsUpTo };
})(globalThis);
