// Masked networks: accuracy against the mask ratio, and the spikes of each layer.
(function (root) {
  "use strict";
  const { node, select, slider, plot, explorer, fixed } = root.mstExplorers.parts;

  // The index of the stored ratio nearest to p.
  function nearest(ratios, p) {
    return ratios.reduce((best, r, k) => (Math.abs(r - p) < Math.abs(ratios[best] - p) ? k : best), 0);
  }

  const percent = (share) => `${fixed(100 * share, 1)} %`;
  const sum = (values) => values.reduce((a, b) => a + b, 0);

  function render({ model, el }) {
    const curve = () => model.get("curves")[model.get("network")];
    const ratios = () => curve().map((row) => row.ratio);
    const controls = [
      slider(model, "ratio", {
        label: "Mask ratio p", min: 0, max: () => ratios().length - 1,
        read: (p) => nearest(ratios(), p), write: (k) => ratios()[k], show: (p) => String(ratios()[nearest(ratios(), p)]),
      }),
    ];
    const networks = Object.keys(model.get("curves"));
    if (networks.length > 1) controls.unshift(select(model, "network", { label: "Network", options: networks }));
    const accuracy = plot({
      title: "Accuracy against the mask ratio", height: 260,
      items: [
        { mark: "line", style: "mst-blue", text: "student, ± 1 s.d." },
        { mark: "line", style: "mst-red mst-dotted", text: "teacher, simply masked" },
        { mark: "dot", style: "mst-ink", text: "your p" },
      ],
    });
    const layers = plot({
      title: "", height: 260,
      items: [
        { mark: "line", style: "mst-green", text: "emitted" },
        { mark: "line", style: "mst-blue mst-dotted", text: "delivered" },
      ],
    });

    function drawAccuracy(rows, k) {
      const c = accuracy.frame({
        x: { from: 0, to: 1, ticks: [0, 0.25, 0.5, 0.75, 1].map((p) => [p, String(p)]), label: "mask ratio p" },
        y: { from: 0, to: 1.02, label: "accuracy", ticks: [0, 0.25, 0.5, 0.75, 1].map((v) => [v, `${fixed(100 * v, 0)} %`]) },
        label: rows.map((r) => `p = ${r.ratio}: student ${percent(r.accuracy)}, teacher masked ${percent(r.untuned)}`).join("; ") + ".",
      });
      c.line(rows.map((r) => [r.ratio, r.untuned]), "mst-red mst-dotted");
      c.line(rows.map((r) => [r.ratio, r.accuracy]), "mst-blue");
      for (const r of rows) c.line([[r.ratio, Math.max(0, r.accuracy - r.sd)], [r.ratio, Math.min(1, r.accuracy + r.sd)]], "mst-blue");
      c.dot(rows[k].ratio, rows[k].accuracy, "mst-ink");
    }

    function drawLayers(rows, k) {
      const { ratio, emitted, delivered } = rows[k];
      // One scale for all ratios, so that moving the slider shows what is saved.
      const top = Math.max(1, ...rows.flatMap((r) => [...r.emitted, ...r.delivered]));
      const n = emitted.length;
      layers.heading.textContent = `Spikes of each layer at p = ${ratio}`;
      const c = layers.frame({
        x: { from: 1, to: Math.max(2, n), label: "layer, from the image to the head" },
        y: { from: 0, to: 1.05 * top, label: "spikes a step" },
        label: `Spikes of an image in a step at p = ${ratio}, by layer. Emitted: ${emitted.join(", ")}. Delivered: ${delivered.join(", ")}.`,
      });
      c.line(emitted.map((v, i) => [i + 1, v]), "mst-green");
      c.line(delivered.map((v, i) => [i + 1, v]), "mst-blue mst-dotted");
    }

    function draw() {
      const rows = curve();
      const k = nearest(ratios(), model.get("ratio"));
      drawAccuracy(rows, k);
      drawLayers(rows, k);
      const now = rows[k];
      const share = (key) => `${fixed((100 * sum(now[key])) / sum(rows[0][key]), 0)} %`;
      return `${model.get("network")}, p = ${now.ratio}: student ${percent(now.accuracy)} ± ${percent(now.sd)}, ` +
        `teacher simply masked ${percent(now.untuned)}. Spikes emitted ${share("emitted")}, ` +
        `delivered ${share("delivered")} of those at p = ${rows[0].ratio}`;
    }

    const body = [node("div", { class: "mst-panels" }, accuracy.root, layers.root)];
    return explorer({ model, el, watch: ["curves", "network", "ratio"], controls, body, draw });
  }

  root.mstExplorers.views.backbones = { render, nearest };
})(globalThis);
