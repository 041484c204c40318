// Masked networks beside one another: accuracy against the mask ratio, and the spikes of each layer.
(function (root) {
  "use strict";
  const { node, networkChoice, slider, plot, quarters, explorer, fixed, percent, sum, least } =
    root.mstExplorers.parts;

  // The index of the stored ratio nearest to p.
  const nearest = (ratios, p) => least(ratios, (ratio) => Math.abs(ratio - p));

  const STYLES = ["mst-blue", "mst-red mst-dashed", "mst-green mst-dotted", "mst-purple mst-dashdot"];
  const styleOf = (k) => STYLES[k % STYLES.length];
  const NAMED = 8; // so many layers or fewer have their names below them, more have numbers

  function render({ model, el }) {
    const curve = () => model.get("curves")[model.get("network")];
    const ratios = () => curve().map((row) => row.ratio);
    const networks = Object.keys(model.get("curves"));
    const controls = [
      ...networkChoice(model, "curves"),
      slider(model, "ratio", {
        label: "Mask ratio p", min: 0, max: () => ratios().length - 1,
        read: (p) => nearest(ratios(), p), write: (k) => ratios()[k],
        show: (p) => String(ratios()[nearest(ratios(), p)]),
      }),
    ];
    const accuracy = plot({
      title: "Accuracy against the mask ratio", height: 300,
      items: [
        ...networks.map((text, k) => ({ mark: "line", style: styleOf(k), text })),
        { mark: "line", style: "mst-ink mst-thin", text: "your network's teacher, simply masked" },
        { mark: "dot", style: "mst-ink", text: "your p, ± 1 s.d." },
      ],
    });
    const layers = plot({
      title: "", height: 300,
      items: [
        { mark: "line", style: "mst-green mst-thick", text: "emitted" },
        { mark: "line", style: "mst-blue mst-bar", text: "delivered" },
      ],
    });

    function drawAccuracy(rows, k) {
      const all = Object.entries(model.get("curves"));
      const listed = (some, key) => some.map((r) => `${percent(r[key])} at p = ${r.ratio}`).join(", ");
      const c = accuracy.frame({
        x: quarters("mask ratio p", { name: String }), y: quarters("accuracy", { to: 1.02 }),
        label: "Accuracy of the masked students. " +
          all.map(([name, its]) => `${name}: ${listed(its, "accuracy")}. `).join("") +
          `Teacher of ${model.get("network")}, simply masked: ${listed(rows, "untuned")}. ` +
          `The dot is at p = ${rows[k].ratio}.`,
      });
      c.line(rows.map((r) => [r.ratio, r.untuned]), "mst-ink mst-thin");
      all.forEach(([, its], i) => c.line(its.map((r) => [r.ratio, r.accuracy]), styleOf(i)));
      const hue = styleOf(networks.indexOf(model.get("network"))).split(" ")[0];
      for (const { ratio, accuracy: mean, sd } of rows) {
        c.line([[ratio, Math.max(0, mean - sd)], [ratio, Math.min(1, mean + sd)]], hue);
      }
      c.dot(rows[k].ratio, rows[k].accuracy, "mst-ink");
    }

    function drawLayers(rows, k) {
      const { ratio, emitted, delivered, layers: names } = rows[k];
      // One scale for all ratios, so that moving the slider shows what is saved.
      const top = Math.max(1, ...rows.flatMap((r) => [...r.emitted, ...r.delivered]));
      const n = emitted.length, named = n <= NAMED;
      layers.heading.textContent = `Spikes of an image in a step, ${model.get("network")}, p = ${ratio}`;
      const c = layers.frame({
        x: { from: 0.5, to: n + 0.5, label: named ? "layer" : "layer, from the image to the head",
          ticks: named ? names.map((name, i) => [i + 1, name]) : undefined },
        y: { from: 0, to: 1.05 * top, label: "spikes a step" },
        label: `Spikes of an image in a step at p = ${ratio}, by layer. ` +
          names.map((name, i) => `${name}: ${emitted[i]} emitted, ${delivered[i]} delivered`).join("; ") + ".",
      });
      emitted.forEach((v, i) => c.line([[i + 0.85, 0], [i + 0.85, v]], "mst-green mst-thick"));
      delivered.forEach((v, i) => c.line([[i + 1.15, 0], [i + 1.15, v]], "mst-blue mst-bar"));
    }

    function draw() {
      const rows = curve();
      const k = nearest(ratios(), model.get("ratio"));
      drawAccuracy(rows, k);
      drawLayers(rows, k);
      const now = rows[k];
      const others = networks.filter((name) => name !== model.get("network")).flatMap((name) => {
        const same = model.get("curves")[name].find((row) => row.ratio === now.ratio);
        return same ? [`${name} ${percent(same.accuracy)}`] : [];
      });
      const share = (key) => `${fixed((100 * sum(now[key])) / sum(rows[0][key]), 0)} %`;
      return `${model.get("network")}, p = ${now.ratio}: student ${percent(now.accuracy)} ± ${percent(now.sd)}, ` +
        `teacher simply masked ${percent(now.untuned)}. Spikes emitted ${share("emitted")}, ` +
        `delivered ${share("delivered")} of those at p = ${rows[0].ratio}.` +
        (others.length ? ` At the same p: ${others.join(", ")}.` : "");
    }

    const body = [node("div", { class: "mst-panels" }, accuracy.root, layers.root)];
    return explorer({ model, el, watch: ["curves", "network", "ratio"], controls, body, draw });
  }

  root.mstExplorers.views.backbones = { render, nearest };
})(globalThis);
