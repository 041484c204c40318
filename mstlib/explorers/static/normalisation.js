// LayerNorm against BatchNorm, side by side: how the values of a spiking layer are spread as the
// steps go by, and how far that is from the trained network.
(function (root) {
  "use strict";
  const { node, select, slider, plot, legend, bands, explorer, fixed, percent } = root.mstExplorers.parts;
  const STYLES = ["mst-blue", "mst-red mst-dashed", "mst-green mst-dotted"];

  // The names of the levels k/L of θ, from 0 to θ.
  const levelNames = (count) =>
    Array.from({ length: count }, (_, k) => (k === 0 ? "0" : k === count - 1 ? "θ" : `${k}/${count - 1} θ`));

  function render({ model, el }) {
    const steps = model.get("steps"), profiles = model.get("profiles");
    const norms = Object.keys(profiles);
    const controls = [
      select(model, "layer", { label: "Layer of neurons", options: Object.keys(profiles[norms[0]]) }),
      slider(model, "T", {
        label: "Steps T", min: 0, max: steps.length - 1,
        read: (T) => steps.indexOf(T), write: (k) => steps[k], show: (T) => String(T),
      }),
    ];
    const key = legend([
      { mark: "box", style: "mst-blue", text: "spiking: average postsynaptic potentials" },
      { mark: "dot", style: "mst-ink", text: "trained: activations" },
    ]);
    const spreads = norms.map(() => plot({ title: "", height: 250 }));
    const away = plot({
      title: "Distance of the two in this layer, against T", height: 230,
      items: [...norms.map((text, i) => ({ mark: "line", style: STYLES[i % STYLES.length], text })),
        { mark: "dot", style: "mst-ink", text: "your T" }],
    });

    // The norm of the settings comes first.
    const ordered = () => [model.get("norm"), ...norms.filter((name) => name !== model.get("norm"))];

    function drawSpread(panel, norm, { ann, snn }, k, top) {
      const names = levelNames(ann.length);
      panel.heading.textContent = `${norm}, T = ${steps[k]}`;
      const said = names.map((name, i) => `${name}: ${percent(snn[k][i])}, trained ${percent(ann[i])}`);
      const c = panel.frame({
        x: { from: 0, to: 1.06 * top, label: "share of the values near each level" },
        y: bands(names),
        label: `${norm}: shares of values by level at T = ${steps[k]}. ${said.join("; ")}.`,
      });
      names.forEach((_, i) => {
        c.bar(snn[k][i], i, "", "mst-blue");
        c.dot(ann[i], i + 0.5, "mst-ink", 5);
      });
    }

    function drawAway(layer, k) {
      const all = norms.map((name) => profiles[name][layer].distance);
      const top = Math.max(...all.flat(), 1e-3);
      const c = away.frame({
        x: { from: steps[0], to: steps[steps.length - 1], log: true, ticks: steps.map((T) => [T, String(T)]),
          label: "steps T (logarithmic)" },
        y: { from: 0, to: 1.1 * top, label: "distance (θ)" },
        label: norms.map((name, i) =>
          `${name}: ${all[i].map((d, j) => `${fixed(d, 3)} at T = ${steps[j]}`).join(", ")}`).join(". ") +
          `. The dots are at T = ${steps[k]}.`,
      });
      norms.forEach((_, i) => c.line(all[i].map((d, j) => [steps[j], d]), STYLES[i % STYLES.length]));
      for (const norm of norms) c.dot(steps[k], profiles[norm][layer].distance[k], "mst-ink");
    }

    function draw() {
      const layer = model.get("layer"), k = steps.indexOf(model.get("T"));
      const shown = ordered().map((norm) => [norm, profiles[norm][layer]]);
      // One scale for both and for all T, so that only the bars move.
      const top = Math.max(...shown.flatMap(([, one]) => [...one.ann, ...one.snn.flat()]));
      shown.forEach(([norm, one], i) => drawSpread(spreads[i], norm, one, k, top));
      drawAway(layer, k);
      const said = ([norm, { ann, snn, distance }]) => `${norm}: distance ${fixed(distance[k], 3)} θ, ` +
        `${percent(snn[k][0])} of the values near 0, in the trained network ${percent(ann[0])}`;
      return `T = ${steps[k]}. ${shown.map(said).join(". ")}`;
    }

    away.root.classList.add("mst-wide");
    const body = [key, node("div", { class: "mst-panels" }, ...spreads.map((panel) => panel.root), away.root)];
    const watch = ["profiles", "steps", "norm", "layer", "T"];
    return explorer({ model, el, watch, controls, body, draw });
  }

  root.mstExplorers.views.normalisation = { render, levelNames };
})(globalThis);
