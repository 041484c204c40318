// What masks cost and save: accuracy against the mask ratio, with its lesion, and the spikes.
(function (root) {
  "use strict";
  const { node, networkChoice, choice, slider, plot, bands, quarters, explorer, fixed, percent, least } =
    root.mstExplorers.parts;

  // The index of the point whose ratio is nearest.
  const nearest = (points, ratio) => least(points, (point) => Math.abs(point.ratio - ratio));

  function render({ model, el }) {
    const points = () => model.get("curves")[model.get("network")][model.get("where")];
    const controls = [
      ...networkChoice(model, "curves"),
      choice(model, "where", { label: "Masks in", options: [["attention", "attention"], ["mlp", "MLP"]] }),
      slider(model, "ratio", {
        label: "Mask ratio p", min: 0, max: () => points().length - 1,
        read: (p) => nearest(points(), p), write: (k) => points()[k].ratio,
        show: (p) => percent(points()[nearest(points(), p)].ratio, 0),
      }),
    ];
    const accuracy = plot({
      title: "Accuracy against mask ratio", height: 280,
      items: [
        { mark: "line", style: "mst-blue", text: "masked student" },
        { mark: "line", style: "mst-red mst-dashed", text: "the same with A = 0" },
        { mark: "line", style: "mst-green mst-dotted", text: "student without masks" },
        { mark: "dot", style: "mst-ink", text: "your ratio" },
      ],
    });
    const spikes = plot({ title: "Spikes, against the student without masks", height: 200 });

    function draw() {
      const all = points(), network = model.get("network"), place = model.get("where");
      const now = all[nearest(all, model.get("ratio"))], control = all[0];
      const c = accuracy.frame({
        x: quarters("mask ratio p"), y: quarters("accuracy", { to: 1.02 }),
        label: `Accuracy of ${network} with masks in the ${place}: ` +
          all.map((p) => `${percent(p.accuracy)} at ${percent(p.ratio, 0)}, with A = 0 ${percent(p.scores)}`)
            .join("; ") + `. Your ratio: ${percent(now.ratio, 0)}.`,
      });
      c.across(control.accuracy, "mst-green mst-dotted");
      c.line(all.map((p) => [p.ratio, p.scores]), "mst-red mst-dashed");
      c.line(all.map((p) => [p.ratio, p.accuracy]), "mst-blue");
      for (const p of all) c.line([[p.ratio, p.accuracy - p.sd], [p.ratio, p.accuracy + p.sd]], "mst-blue");
      c.dot(now.ratio, now.scores, "mst-red", 5);
      c.dot(now.ratio, now.accuracy, "mst-ink");

      const s = spikes.frame({
        x: quarters("share", { to: 1.3 }),
        y: bands(["no masks", "emitted", "delivered"]),
        label: `Spikes emitted ${percent(now.emitted)}, delivered ${percent(now.delivered)} of the unmasked student's.`,
      });
      s.bar(1, 0, "100 %", "mst-green mst-hollow");
      s.bar(now.emitted, 1, percent(now.emitted, 0), "mst-blue mst-hollow");
      s.bar(now.delivered, 2, percent(now.delivered, 0), "mst-blue");
      return `${network}, ${percent(now.ratio, 0)} masked in the ${place === "mlp" ? "MLPs" : "attention"}: accuracy ` +
        `${percent(now.accuracy)} ± ${fixed(100 * now.sd, 1)}, with A = 0 ${percent(now.scores)} ` +
        `(without masks ${percent(control.accuracy)} and ${percent(control.scores)}). ` +
        `Spikes emitted ${percent(now.emitted, 0)}, delivered ${percent(now.delivered, 0)}`;
    }

    const body = [node("div", { class: "mst-panels" }, accuracy.root, spikes.root)];
    return explorer({ model, el, watch: ["curves", "network", "where", "ratio"], controls, body, draw });
  }

  root.mstExplorers.views.masking = { render, nearest };
})(globalThis);
