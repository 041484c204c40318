// Where a network looks: its map at one step, beside the scene, the true objects and Score-CAM.
(function (root) {
  "use strict";
  const { node, shape, slider, choice, explorer } = root.mstExplorers.parts;

  const THINGS = { T: "target", C: "cue", D: "distractor", ".": "empty ground" };
  const WORDS = { T: "the target", C: "the cue", D: "a distractor", ".": "empty ground" };
  const percent = (share) => `${Math.round(100 * share)} %`;

  // The letter of the cell in which place k of a square map lies.
  function cellOf(k, places, truth) {
    const side = Math.sqrt(places), cells = Math.sqrt(truth.length), per = side / cells;
    return truth[Math.floor(Math.floor(k / side) / per) * cells + Math.floor((k % side) / per)];
  }

  // Which part of a map's total lies on one kind of thing.
  function share(map, truth, thing) {
    const total = map.reduce((a, b) => a + b, 0);
    const inside = map.reduce((a, v, k) => a + (cellOf(k, map.length, truth) === thing ? v : 0), 0);
    return total ? inside / total : 0;
  }

  // What lies at the highest place of a map; the first, where several are equal.
  const peak = (map, truth) => cellOf(map.indexOf(Math.max(...map)), map.length, truth);

  // A square picture with a heading; draw(pen, size) fills it.
  function square(title) {
    const heading = node("p", { class: "mst-title" }, title);
    const svg = shape("svg", { role: "img", preserveAspectRatio: "xMinYMin" });
    const panel = node("div", { class: "mst-panel" }, heading, svg);
    return {
      root: panel,
      paint(label, draw) {
        const size = Math.max(140, Math.min(panel.clientWidth - 4, 290));
        svg.setAttribute("viewBox", `-2 -2 ${size + 4} ${size + 4}`);
        svg.setAttribute("height", size + 4);
        svg.setAttribute("aria-label", label);
        svg.replaceChildren();
        draw(svg, size);
      },
    };
  }

  function render({ model, el }) {
    const scene = () => model.get("scenes")[model.get("image") - 1];
    const times = model.get("times");
    const options = (names) => names.map((name) => [name, name]);
    const controls = [
      slider(model, "time", {
        label: "Time step", min: 0, max: times.length - 1, show: (k) => `${times[k]} of ${times[times.length - 1]}`,
      }),
      slider(model, "image", {
        label: "Scene", min: 1, max: model.get("scenes").length, show: (k) => `${k}: ${model.get("scenes")[k - 1].label}`,
      }),
      choice(model, "network", { label: "Masking", options: options(Object.keys(model.get("maps"))) }),
      choice(model, "layer", { label: "Layer", options: options(Object.keys(model.get("cam"))) }),
    ];
    const picture = square("The scene"), truth = square("Its objects");
    const map = square("Spike activation map"), cam = square("Score-CAM, before conversion");

    // The cells of target and cue, in a solid and a dashed frame.
    function frames(svg, size) {
      const letters = scene().truth, cells = Math.sqrt(letters.length), step = size / cells;
      [...letters].forEach((letter, k) => {
        if (letter !== "T" && letter !== "C") return;
        shape("rect", {
          x: (k % cells) * step, y: Math.floor(k / cells) * step, width: step, height: step,
          class: `mst-outline${letter === "C" ? " mst-dashed" : ""}`,
        }, svg);
      });
    }

    function drawScene() {
      const { pixels, label } = scene();
      picture.paint(`Scene ${model.get("image")}: the answer is ${label}.`, (svg, size) => {
        const side = Math.sqrt(pixels.length / 3), step = size / side;
        for (let k = 0; k < side * side; k++) {
          shape("rect", {
            x: ((k % side) * step).toFixed(2), y: (Math.floor(k / side) * step).toFixed(2),
            width: (step + 0.3).toFixed(2), height: (step + 0.3).toFixed(2), fill: `#${pixels.slice(3 * k, 3 * k + 3)}`,
          }, svg);
        }
      });
    }

    function drawTruth() {
      const letters = scene().truth;
      const rows = [...letters].map((letter) => THINGS[letter]).join(", ");
      truth.paint(`Cells of the board, row by row: ${rows}.`, (svg, size) => {
        const depth = { T: 1, C: 0.6, D: 0.25, ".": 0 };
        cells(svg, size, [...letters].map((l) => depth[l]), (k) => (letters[k] === "." ? "" : THINGS[letters[k]]));
      });
    }

    function cells(svg, size, values, textOf) {
      const side = Math.sqrt(values.length), step = size / side;
      values.forEach((value, k) => {
        const x = (k % side) * step, y = Math.floor(k / side) * step;
        shape("rect", {
          x: x + 1, y: y + 1, width: step - 2, height: step - 2, rx: 3, class: "mst-cell mst-blue",
          "fill-opacity": (0.04 + 0.56 * value).toFixed(3),
        }, svg);
        shape("text", { x: x + step / 2, y: y + step / 2 + 4, "text-anchor": "middle", class: "mst-small" }, svg)
          .textContent = textOf(k);
      });
      frames(svg, size);
    }

    function drawMap(panel, name, values) {
      const { truth: letters } = scene();
      const label = `${name}, ${Math.sqrt(values.length)} by ${Math.sqrt(values.length)} places; the highest is on ` +
        `${WORDS[peak(values, letters)]}.`;
      panel.paint(label, (svg, size) => cells(svg, size, values.map((v) => v / 99), (k) => String(values[k])));
    }

    function draw() {
      const [network, layer, index, k] = ["network", "layer", "image", "time"].map((name) => model.get(name));
      const now = model.get("maps")[network][layer][index - 1][k];
      const explained = model.get("cam")[layer][index - 1];
      const { truth: letters } = scene();
      drawScene();
      drawTruth();
      drawMap(map, `Spike activation map of ${layer} at step ${times[k]}, masking ${network}`, now);
      drawMap(cam, `Score-CAM of ${layer}`, explained);
      const said = (m) => `${percent(share(m, letters, "T"))} on the target and ${percent(share(m, letters, "C"))} on ` +
        `the cue, the highest place on ${WORDS[peak(m, letters)]}`;
      return `${network}, step ${times[k]}, ${layer}: ${said(now)}. The answer so far is ` +
        `${model.get("right")[network][index - 1][k] ? "right" : "wrong"}. Score-CAM: ${said(explained)}.`;
    }

    const body = [
      node("p", { class: "mst-note" }, "Solid frame: the target. Dashed frame: the cue. A map's highest place is 99."),
      node("div", { class: "mst-panels" }, picture.root, map.root, truth.root, cam.root),
    ];
    const watch = ["scenes", "maps", "cam", "right", "times", "network", "layer", "image", "time"];
    return explorer({ model, el, watch, controls, body, draw });
  }

  root.mstExplorers.views.saliency = { render, share, peak };
})(globalThis);
