// Where a network looks: its map at one step, beside the scene, the true objects and Score-CAM; and all
// its maps over time and mask ratio.
(function (root) {
  "use strict";
  const { node, shape, slider, choice, board, heatmap, explorer, sum } = root.mstExplorers.parts;

  const THINGS = { T: "target", C: "cue", D: "distractor", ".": "" };
  const WORDS = { T: "the target", C: "the cue", D: "a distractor", ".": "empty ground" };
  const percent = (part) => `${Math.round(100 * part)} %`;

  // The letter of the cell in which place k of a square map lies.
  function cellOf(k, places, truth) {
    const side = Math.sqrt(places), across = Math.sqrt(truth.length), per = side / across;
    return truth[Math.floor(Math.floor(k / side) / per) * across + Math.floor((k % side) / per)];
  }

  // The cells of target and cue on a map of `side` places, in a solid and a dashed frame.
  function framesOf(truth, side) {
    const across = Math.sqrt(truth.length), per = side / across;
    return [...truth].flatMap((letter, k) => (letter !== "T" && letter !== "C" ? [] : [{
      row: Math.floor(k / across) * per, column: (k % across) * per, rows: per, columns: per,
      style: letter === "C" ? "mst-dashed" : "",
    }]));
  }

  // Which part of a map's total lies on one kind of thing.
  function share(map, truth, thing) {
    const total = sum(map);
    const inside = map.reduce((a, v, k) => a + (cellOf(k, map.length, truth) === thing ? v : 0), 0);
    return total ? inside / total : 0;
  }

  // What lies at the highest place of a map; the first, where several are equal.
  const peak = (map, truth) => cellOf(map.indexOf(Math.max(...map)), map.length, truth);

  // A square picture in colours, with a heading.
  function picture(title) {
    const { root: panel, svg, fresh } = board({ title, height: 0 });
    svg.setAttribute("preserveAspectRatio", "xMinYMin");
    return {
      root: panel,
      paint(pixels, truth, label) {
        const size = Math.max(140, Math.min(panel.clientWidth - 4, 290));
        const side = Math.sqrt(pixels.length / 3), step = size / side;
        fresh(size + 4, size + 4, label, -2);
        svg.setAttribute("height", size + 4);
        for (let k = 0; k < side * side; k++) {
          shape("rect", {
            x: ((k % side) * step).toFixed(2), y: (Math.floor(k / side) * step).toFixed(2),
            width: (step + 0.3).toFixed(2), height: (step + 0.3).toFixed(2),
            fill: `#${pixels.slice(3 * k, 3 * k + 3)}`,
          }, svg);
        }
        for (const f of framesOf(truth, side)) {
          shape("rect", {
            x: f.column * step, y: f.row * step, width: f.columns * step, height: f.rows * step,
            class: `mst-outline mst-light ${f.style}`,
          }, svg);
        }
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
        label: "Scene", min: 1, max: model.get("scenes").length,
        show: (k) => `${k}: ${model.get("scenes")[k - 1].label}`,
      }),
      choice(model, "network", { label: "Masking", options: options(Object.keys(model.get("maps"))) }),
      choice(model, "layer", { label: "Layer", options: options(Object.keys(model.get("cam"))) }),
    ];
    const whole = picture("The scene");
    const truth = heatmap({ title: "Its objects", height: 292, square: true, range: ["ground", "target"] });
    const map = heatmap({ title: "", height: 292, square: true, range: ["0", "99: its highest place"] });
    const cam = heatmap({ title: "Score-CAM, before conversion", height: 292, square: true, range: ["0", "99"] });
    const every = heatmap({ title: "", height: 280, square: true, range: ["0", "highest place of each map"] });
    every.root.classList.add("mst-wide");

    function drawTruth(letters) {
      const depth = { T: 1, C: 0.6, D: 0.25, ".": 0 }, side = Math.sqrt(letters.length);
      truth.paint({
        rows: side, columns: side,
        values: [...letters].map((l) => depth[l]), texts: [...letters].map((l) => THINGS[l]),
        frames: framesOf(letters, side),
        label: `Cells of the board, row by row: ${[...letters].map((l) => THINGS[l] || "empty ground").join(", ")}.`,
      });
    }

    function drawMap(panel, name, values, letters) {
      const side = Math.sqrt(values.length), place = values.indexOf(Math.max(...values));
      panel.paint({
        rows: side, columns: side, values: values.map((v) => v / 99), texts: values.map(String),
        frames: framesOf(letters, side),
        label: `${name}, ${side} by ${side} places; the highest, in row ${Math.floor(place / side) + 1} and column ` +
          `${(place % side) + 1}, is on ${WORDS[peak(values, letters)]}.`,
      });
    }

    // All maps of this scene and layer: a row for each masking, a column for each time, one empty place apart.
    function drawEvery(layer, index, letters) {
      const networks = Object.keys(model.get("maps")), answers = model.get("right");
      const maps = networks.map((name) => model.get("maps")[name][layer][index]);
      const side = Math.sqrt(maps[0][0].length), next = side + 1;
      const rows = networks.length * next - 1, columns = times.length * next - 1;
      const values = new Array(rows * columns).fill(0), frames = [];
      const middle = (k) => k * next + (side - 1) / 2;
      maps.forEach((row, i) => row.forEach((one, j) => {
        one.forEach((v, k) => {
          values[(i * next + Math.floor(k / side)) * columns + j * next + (k % side)] = v / 99;
        });
        const chosen = networks[i] === model.get("network") && j === model.get("time");
        frames.push({
          row: i * next, column: j * next, rows: side, columns: side,
          style: (chosen ? "mst-strong" : "") + (answers[networks[i]][index][j] ? "" : " mst-dashed"),
        });
      }));
      const said = (name, i) => `${name}: ` + times.map((T, j) =>
        `${percent(share(maps[i][j], letters, "T"))} at step ${T}`).join(", ");
      every.heading.textContent = `Every map of ${layer}, scene ${index + 1}`;
      every.paint({
        rows, columns, values, frames,
        rowNames: networks.map((name, i) => [middle(i), name]),
        columnNames: times.map((T, j) => [middle(j), String(T)]),
        rowsLabel: "masking", columnsLabel: "step",
        label: `All maps of ${layer}, scene ${index + 1}. Share of the map on the target by masking. ` +
          `${networks.map(said).join(". ")}. The strong frame is at ${model.get("network")}, ` +
          `step ${times[model.get("time")]}.`,
      });
    }

    function draw() {
      const [network, layer, index, k] = ["network", "layer", "image", "time"].map((name) => model.get(name));
      const now = model.get("maps")[network][layer][index - 1][k];
      const explained = model.get("cam")[layer][index - 1];
      const { pixels, truth: letters, label } = scene();
      whole.paint(pixels, letters, `Scene ${index}: the answer is ${label}.`);
      drawTruth(letters);
      map.heading.textContent = `Spike activation map, step ${times[k]}, masking ${network}`;
      const where = `${layer} for scene ${index}`;
      drawMap(map, `Spike activation map of ${where} at step ${times[k]}, masking ${network}`, now, letters);
      drawMap(cam, `Score-CAM of ${where}`, explained, letters);
      drawEvery(layer, index - 1, letters);
      const part = (m, thing) => percent(share(m, letters, thing));
      const said = (m) => `${part(m, "T")} on the target and ${part(m, "C")} on the cue, ` +
        `the highest place on ${WORDS[peak(m, letters)]}`;
      return `${network}, step ${times[k]}, ${layer}: ${said(now)}. The answer so far is ` +
        `${model.get("right")[network][index - 1][k] ? "right" : "wrong"}. Score-CAM: ${said(explained)}.`;
    }

    const body = [
      node("p", { class: "mst-note" }, "Solid frame: the target. Dashed frame: the cue."),
      node("div", { class: "mst-panels" }, whole.root, map.root, truth.root, cam.root, every.root,
        node("p", { class: "mst-note mst-wide" },
          "The map with the strong frame is the one above. Dashed: the answer so far is wrong.")),
    ];
    const watch = ["scenes", "maps", "cam", "right", "times", "network", "layer", "image", "time"];
    return explorer({ model, el, watch, controls, body, draw });
  }

  root.mstExplorers.views.saliency = { render, share, peak };
})(globalThis);
