// LayerNorm against BatchNorm: how the values of a spiking layer are spread as the steps go by.
(function (root) {
  "use strict";
  const { node, choice, select, slider, plot, bands, explorer, fixed } = root.mstExplorers.parts;
  const STYLES = ["mst-blue", "mst-red mst-dashed", "mst-green mst-dotted"];

  // The names of the levels k/L of θ, from 0 to θ.
  const levelNames = (count) =>
    Array.from({ length: count }, (_, k) => (k === 0 ? "0" : k === count - 1 ? "θ" : `${k}/${count - 1} θ`));

  const percent = (share) => `${fixed(100 * share, 1)} %`;

  function render({ model, el }) {
    const steps = model.get("steps"), profiles = model.get("profiles");
    const norms = Object.keys(profiles);
    const controls = [
      choice(model, "norm", { label: "Norm", options: norms.map((name) => [name, name]) }),
      select(model, "layer", { label: "Layer of neurons", options: Object.keys(profiles[norms[0]]) }),
      slider(model, "T", {
        label: "Steps T", min: 0, max: steps.length - 1,
        read: (T) => steps.indexOf(T), write: (k) => steps[k], show: (T) => String(T),
      }),
    ];
    const spread = plot({
      title: "", height: 280,
      items: [
        { mark: "box", style: "mst-blue", text: "spiking: average postsynaptic potentials" },
        { mark: "dot", style: "mst-ink", text: "trained: activations" },
      ],
    });
    const away = plot({
      title: "Distance of the two in this layer, against T", height: 280,
      items: [...norms.map((text, i) => ({ mark: "line", style: STYLES[i % STYLES.length], text })),
        { mark: "dot", style: "mst-ink", text: "your T" }],
    });

    function drawSpread({ ann, snn }, k) {
      const names = levelNames(ann.length);
      // One scale for all T, so that only the bars move.
      const top = Math.max(...ann, ...snn.flat());
      spread.heading.textContent = `Share of the values near each level, T = ${steps[k]}`;
      const said = names.map((name, i) => `${name}: ${percent(snn[k][i])}, trained ${percent(ann[i])}`);
      const c = spread.frame({
        x: { from: 0, to: 1.22 * top, label: "share of the values of this layer" },
        y: bands(names),
        label: `Shares of values by level at T = ${steps[k]}. ${said.join("; ")}.`,
      });
      names.forEach((_, i) => {
        c.bar(snn[k][i], i, "", "mst-blue");
        c.dot(ann[i], i + 0.5, "mst-ink", 5);
      });
    }

    function drawAway(layer, norm, k) {
      const all = norms.map((name) => profiles[name][layer].distance);
      const top = Math.max(...all.flat(), 1e-3);
      const c = away.frame({
        x: { from: steps[0], to: steps[steps.length - 1], log: true, ticks: steps.map((T) => [T, String(T)]),
          label: "steps T (logarithmic)" },
        y: { from: 0, to: 1.1 * top, label: "distance (θ)" },
        label: norms.map((name, i) =>
          `${name}: ${all[i].map((d, j) => `${fixed(d, 3)} at T = ${steps[j]}`).join(", ")}`).join(". "),
      });
      norms.forEach((_, i) => c.line(all[i].map((d, j) => [steps[j], d]), STYLES[i % STYLES.length]));
      c.dot(steps[k], profiles[norm][layer].distance[k], "mst-ink");
    }

    function draw() {
      const norm = model.get("norm"), layer = model.get("layer"), k = steps.indexOf(model.get("T"));
      const now = profiles[norm][layer];
      drawSpread(now, k);
      drawAway(layer, norm, k);
      const silent = (shares) => percent(shares[0]);
      return `${norm}, T = ${steps[k]}: distance ${fixed(now.distance[k], 3)} θ. ` +
        `Values near 0: ${silent(now.snn[k])} in spikes, ${silent(now.ann)} in the trained network`;
    }

    const body = [node("div", { class: "mst-panels" }, spread.root, away.root)];
    const watch = ["profiles", "steps", "norm", "layer", "T"];
    return explorer({ model, el, watch, controls, body, draw });
  }

  root.mstExplorers.views.normalisation = { render, levelNames };
})(globalThis);
