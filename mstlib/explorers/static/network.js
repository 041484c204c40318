// A network at work on one picture, with and without masks: what it answers, when, and at what cost.
//
// The view draws its settings and `answer`, the record of both runs, and leaves it to others to make
// that: Python in JupyterLab, mst_runner.js in a page. Until the answer to new settings is there, the
// sentence says so, and the panels of the old one stand back.
(function (root) {
  "use strict";
  const {
    node, change, KEEP_KEYS, slider, choice, select, timeline, plot, bands, quarters, heatmap, explorer, fixed,
    percent: precise, settings, sum: total,
  } = root.mstExplorers.parts;

  const REQUEST = ["network", "picture", "drawing", "ratio", "mlp_ratio", "steps", "seed", "layer", "block"];
  const ROWS = 24; // of the raster
  const KINDS = {
    "patch_embed.proj_if": "patches", "downsample.reduction_if": "merged patches",
    shortcut1_if: "input of the attention", "attn.q_if": "Q", "attn.k_if": "K", "attn.v_if": "V", "attn.attn_if": "A",
    "attn.attn_v_if": "A·V", "attn.proj_if": "output of the attention",
    shortcut2_if: "input of the MLP", "mlp.fc1_if": "hidden layer of the MLP", "mlp.fc2_if": "output of the MLP",
  };

  const percent = (share) => precise(share, 0);
  const product = (numbers) => numbers.reduce((a, b) => a * b, 1);

  // A count in three or four digits.
  function compact(value) {
    if (value >= 1e6) return `${fixed(value / 1e6, 2)} M`;
    return value >= 1e4 ? `${fixed(value / 1e3, 1)} k` : fixed(value, value < 100 && value % 1 ? 1 : 0);
  }

  // Block numbers of all layers, and words for them: "block 1: K". Blocks are counted from the input.
  function describe(layers) {
    const blocks = [];
    return new Map(layers.map((name) => {
      const [, block, rest] = name.match(/^(layers\.\d+\.blocks\.\d+)\.(.*)$/) || [null, null, name];
      if (block && !blocks.includes(block)) blocks.push(block);
      const kind = KINDS[rest] || KINDS[rest.replace(/^layers\.\d+\./, "")] || rest;
      return [name, block ? `block ${blocks.indexOf(block)}: ${kind}` : kind];
    }));
  }

  // What two runs of T steps cost: [name, masked, unmasked], in all.
  function costs(masked, unmasked, steps) {
    const { picojoules } = root.mstExplorers.runs;
    const rows = [
      ["spikes emitted", (run) => run.totals.emitted * steps],
      ["spikes delivered", (run) => run.totals.delivered * steps],
      ["synaptic operations", (run) => run.totals.synaptic * steps],
      ["picojoules", (run) => picojoules(run.totals, steps)],
      ["ms in your browser", (run) => run.milliseconds],
    ];
    return rows.map(([name, of]) => [name, of(masked), of(unmasked)]).filter((row) => !row.includes(null));
  }

  // A table of costs with a bar for the share that masks leave.
  function costTable() {
    const body = node("tbody", {});
    const head = ["in all", "masked", "no masks", "share"].map((text) => node("th", { scope: "col" }, text));
    const table = node("table", { class: "mst-costs" },
      node("caption", { class: "mst-title" }, "What it costs"), node("thead", {}, node("tr", {}, ...head)), body);
    return {
      root: node("div", { class: "mst-panel" }, table,
        node("p", { class: "mst-note" }, "For one picture and all steps; k: thousand, M: million. A synaptic " +
          "operation is an addition that a spike causes. Energy: 4.6 pJ a multiplication, 0.9 pJ an addition, " +
          "memory not counted. Times wander from run to run.")),
      paint(rows) {
        body.replaceChildren(...rows.map(([name, now, reference]) => {
          const share = reference ? now / reference : 1;
          const bar = node("span", { class: "mst-meter", "aria-hidden": "true" },
            node("span", { style: `width: ${Math.min(100 * share, 100).toFixed(1)}%` }));
          return node("tr", {}, node("th", { scope: "row" }, name), node("td", {}, compact(now)),
            node("td", {}, compact(reference)), node("td", {}, percent(share), bar));
        }));
      },
    };
  }

  const makePanels = () => ({
    curve: plot({
      title: "Accuracy against mask ratio", height: 270,
      items: [
        { mark: "line", style: "mst-blue", text: "masked in the attention" },
        { mark: "line", style: "mst-red mst-dashed", text: "the same, its scores silenced (A = 0)" },
        { mark: "line", style: "mst-green mst-dotted", text: "masked in the MLPs" },
        { mark: "dot", style: "mst-ink", text: "you are here" },
      ],
    }),
    logits: plot({
      title: "Logits, averaged over the steps so far", height: 250,
      items: [
        { mark: "line", style: "mst-blue mst-thick", text: "best at the cursor" },
        { mark: "line", style: "mst-red mst-dashed", text: "second" },
        { mark: "line", style: "mst-ink mst-thin mst-faint", text: "the other classes" },
      ],
    }),
    raster: plot({
      title: "Spikes", height: 300,
      items: [
        { mark: "line", style: "mst-blue", text: "delivered" },
        { mark: "line", style: "mst-red mst-spike mst-faint", text: "struck out by a mask" },
      ],
    }),
    attention: heatmap({ title: "Attention that tokens receive", height: 240, square: true }),
    activation: heatmap({ title: "Spike activation map", height: 240, square: true, style: "mst-purple" }),
  });

  // The control of the network. A drawing goes before the network changes, so that none is ever asked
  // to read what it cannot.
  function networkControl(model) {
    const network = select(model, "network", { label: "Network", options: Object.keys(model.get("networks")) });
    network.root.addEventListener("change", ({ target }) => {
      const name = target.value;
      if (model.get("drawing") && !model.get("networks")[name].drawable) change(model, "drawing", "");
      target.value = name; // the view was redrawn
    }, { capture: true });
    return network;
  }

  // The control of the picture, and words for what is shown.
  function pictureControl(model, about) {
    const numbered = (k) => `${k + 1} of ${about().labels.length}: ${about().classes[about().labels[k]]}`;
    const picture = slider(model, "picture", {
      label: "Test picture", min: 0, max: () => about().labels.length - 1,
      show: (k) => (model.get("drawing") ? "your drawing" : numbered(k)),
    });
    // A reader who reaches for the test pictures wants to see one.
    picture.root.addEventListener("input", () => model.get("drawing") && change(model, "drawing", ""));
    const chosen = () => (model.get("drawing") ? "Your drawing" : `Test picture ${numbered(model.get("picture"))}`);
    return { ...picture, chosen };
  }

  function render({ model, el }) {
    const { runs, parts } = root.mstExplorers;
    const names = describe(model.get("layers"));
    const about = () => model.get("networks")[model.get("network")];
    const request = () => JSON.stringify(settings(model, REQUEST));
    const cursor = () => Math.min(model.get("time") ?? model.get("steps"), model.get("steps"));

    // ---- controls ----

    const ratio = (name, label) =>
      slider(model, name, { label, min: 0, max: 0.95, step: 0.05, show: (p) => percent(p) });
    const { chosen, ...picture } = pictureControl(model, about);
    const controls = [
      networkControl(model), picture,
      ratio("ratio", "Masked in the attention (Q, K, A)"), ratio("mlp_ratio", "Masked in the MLPs"),
      slider(model, "steps", { label: "Time steps T", min: 1, max: 64 }),
      slider(model, "seed", { label: "Seed of the masks", min: 0, max: 999 }),
    ];
    const time = timeline(model, "time", { label: "Cursor", last: () => model.get("steps") });
    const step = node("button", { type: "button", class: "mst-button", ...KEEP_KEYS }, "Step");
    step.addEventListener("click", () => {
      const next = cursor() === model.get("steps") ? 1 : cursor() + 1;
      change(model, "time", next === model.get("steps") ? null : next);
    });
    const layer = select(model, "layer", { label: "Layer of the raster", options: [...names] });
    const ends = model.get("layers").filter((name) => name.endsWith(".mlp.fc2_if")); // of the blocks
    const block = choice(model, "block", { label: "Block of the maps", options: ends.map((_, k) => [k, String(k)]) });
    const drawing = parts.drawing(model, "drawing", { title: "Draw a digit" });
    const inner = [time, layer, block, drawing];

    // ---- panels ----

    const seen = parts.picture("What the network sees");
    const table = costTable();
    const { curve, ...overTime } = makePanels();
    const { logits, raster, attention, activation } = overTime;
    const curveNote = node("p", { class: "mst-note" });
    curve.root.append(curveNote);

    function drawCurve() {
      const { curves, images, steps, seeds, trained } = about();
      const { attention: inAttention = [], mlp: inMlp = [] } = curves;
      const where = { attention: model.get("ratio"), mlp: model.get("mlp_ratio") };
      const here = (place) => (curves[place] ? runs.between(curves[place], where[place], "accuracy") : null);
      const said = (list, what) => list.map((p) => `${percent(p[what])} at ${percent(p.ratio)}`).join(", ");
      const c = curve.frame({
        x: quarters("mask ratio p"), y: quarters("accuracy", { to: 1.02 }),
        label: curves.attention ? `Accuracy of ${model.get("network")}. Masks in the attention: ` +
          `${said(inAttention, "accuracy")}; with A = 0: ${said(inAttention, "scores")}. Masks in the MLPs: ` +
          `${said(inMlp, "accuracy")}. You are at ${percent(where.attention)} and ${percent(where.mlp)}.`
          : "No accuracy was measured for this network.",
      });
      c.line(inAttention.map((p) => [p.ratio, p.scores]), "mst-red mst-dashed");
      c.line(inMlp.map((p) => [p.ratio, p.accuracy]), "mst-green mst-dotted");
      c.line(inAttention.map((p) => [p.ratio, p.accuracy]), "mst-blue");
      for (const [list, style] of [[inAttention, "mst-blue"], [inMlp, "mst-green"]]) {
        for (const p of list) c.line([[p.ratio, p.accuracy - p.sd], [p.ratio, p.accuracy + p.sd]], style);
      }
      // A point on the line of each place with masks; without any, where both lines begin.
      const shown = ["attention", "mlp"].filter((place) => where[place] > 0);
      for (const place of shown.length ? shown : ["attention"]) {
        if (here(place) !== null) c.dot(where[place], here(place), "mst-ink");
        c.down(where[place], "mst-ink mst-thin");
      }
      const training = ["attention", "mlp"].filter((place) => trained && trained[place] > 0)
        .map((place) => `${percent(trained[place])} masked in the ${place === "mlp" ? "MLPs" : "attention"}`);
      curveNote.textContent = (curves.attention
        ? `Measured in PyTorch on ${images} test pictures, T = ${steps}, ${seeds} seeds, masks in one place at a time. `
        : "") +
        `This network was trained ${training.length ? `with ${training.join(" and ")}` : "without masks"}.`;
      return shown.length === 1 ? here(shown[0]) : shown.length ? null : here("attention");
    }

    function drawLogits(answer, means) {
      const T = means.length, t = Math.max(cursor(), 1), all = means.flat();
      const order = runs.ranking(means[t - 1]), [best, second] = order.map((k) => answer.classes[k]);
      const to = Math.max(...all), from = Math.min(...all), space = 0.05 * (to - from) || 1;
      const f = logits.frame({
        x: { from: 0, to: T, label: "time step" },
        y: { from: from - space, to: to + space, label: "mean logit so far" },
        label: `Mean logits of ${answer.classes.length} classes over ${T} steps. After step ${t}: ${best} ` +
          `${fixed(means[t - 1][order[0]], 2)}, then ${second} ${fixed(means[t - 1][order[1]], 2)}.`,
      });
      const line = (k, style) => f.line(means.map((scores, i) => [i + 1, scores[k]]), style);
      for (const k of order.slice(2)) line(k, "mst-ink mst-thin mst-faint");
      line(order[1], "mst-red mst-dashed");
      line(order[0], "mst-blue mst-thick");
      f.down(cursor(), "mst-ink mst-thin");
      logits.heading.textContent = `Logits, averaged over ${t} of ${T} steps: ${best} leads ${second}`;
    }

    // Decoding spikes takes longer than drawing them, and while time runs they stay the same.
    let decoded = {};
    function decode(answer) {
      if (decoded.answer === answer) return decoded;
      const { layer: name, steps, block: watched } = JSON.parse(answer.key);
      const neurons = product(answer.layers[name]);
      const unpack = (run, which) => run.spikes[which] && runs.spikes(run.spikes[which], neurons);
      const emitted = unpack(answer.masked, name), passed = unpack(answer.masked, `${name} delivered`) || emitted;
      const rows = runs.sample(runs.counts(unpack(answer.unmasked, name), steps, neurons), ROWS);
      const delivered = [], dropped = [];
      rows.forEach((n, row) => {
        for (let t = 0; t < steps; t++) if (emitted(t, n)) (passed(t, n) ? delivered : dropped).push([t + 1, row]);
      });
      const [tokens, channels] = answer.layers[ends[watched]];
      const ending = runs.spikes(answer.masked.spikes[ends[watched]], tokens * channels);
      const maps = runs.activationMaps(ending, steps, tokens, channels);
      decoded = { answer, name, steps, watched, neurons, rows, delivered, dropped, maps };
      return decoded;
    }

    function drawRaster({ name, steps, neurons, rows, delivered, dropped }) {
      raster.heading.textContent = `Spikes of ${names.get(name)}`;
      const f = raster.frame({
        x: { from: 0, to: steps + 1, label: "time step" },
        y: { ...bands(rows.map(() => "")), label: `${rows.length} of ${neurons} neurons, the busiest on top` },
        label: `Spikes of ${rows.length} neurons of ${names.get(name)} in ${steps} steps: ${delivered.length} ` +
          `delivered, ${dropped.length} struck out. The cursor is at step ${cursor()}.`,
      });
      f.strokes(delivered, "mst-blue");
      f.strokes(dropped, "mst-red mst-faint");
      f.down(cursor(), "mst-ink mst-thin");
    }

    // The map of one step, in shares of the highest value at any step.
    function drawMap(panel, maps, side, what) {
      const highest = Math.max(...maps.map((map) => Math.max(...map))) || 1;
      const now = cursor() ? maps[cursor() - 1] : maps[0].map(() => 0);
      const peak = now.indexOf(Math.max(...now));
      panel.paint({
        rows: side, columns: side, values: now.map((value) => value / highest), range: ["0", fixed(highest, 2)],
        label: `${what} after step ${cursor()}, ${side} by ${side} tokens: ` + (total(now) === 0 ? "nothing yet."
          : `highest, ${fixed(now[peak], 3)}, in row ${Math.floor(peak / side) + 1}, column ${(peak % side) + 1}.`),
      });
    }

    function drawAnswer(answer) {
      const { classes, masked, unmasked, sides } = answer, { label } = answer.picture;
      const means = runs.runningMeans(masked.logits), T = means.length;
      const of = (run) => runs.ranking(runs.runningMeans(run.logits)[T - 1])[0];
      seen.paint({ ...answer.picture, pixels: runs.bytes(answer.picture.pixels) },
        `${chosen()}, ${answer.picture.side} by ${answer.picture.side} pixels.`);
      table.paint(costs(masked, unmasked, T));
      drawLogits(answer, means);
      const all = decode(answer);
      drawRaster(all);
      drawMap(attention, masked.attention, sides[all.watched], `Attention in block ${all.watched}`);
      drawMap(activation, all.maps, sides[all.watched], `Spike activation map of block ${all.watched}`);

      const [found, plain] = [of(masked), of(unmasked)];
      const saved = (what) => percent(1 - masked.totals[what] / unmasked.totals[what]);
      const truth = found === label ? "right" : `wrong (it is ${classes[label]})`;
      const verdict = label === null ? "" : `, which is ${truth}`;
      return `Answer: ${classes[found]}${verdict}, settled at step ${runs.settled(means)} of ${T}. ` +
        (model.get("ratio") > 0 || model.get("mlp_ratio") > 0
          ? `Saved: ${saved("delivered")} of the spikes and ${saved("synaptic")} of the additions; ` +
            `without masks the answer is ${plain === found ? "the same" : classes[plain]}.`
          : `It took ${compact(masked.totals.delivered * T)} spikes and ${compact(masked.totals.synaptic * T)} ` +
            "additions.");
    }

    const results = node("div", { class: "mst-panels mst-pairs" }, seen.root, drawing.root, table.root, curve.root);
    const inside = node("div", { class: "mst-panels mst-pairs" }, ...Object.values(overTime).map(({ root: r }) => r));
    const more = node("div", { class: "mst-controls mst-more" },
      node("div", { class: "mst-timeline" }, time.root, step), layer.root, block.root);
    const waiting = [seen.root, table.root, inside];
    for (const image of waiting.flatMap((panel) => [...panel.querySelectorAll("[role=img]")])) {
      image.setAttribute("aria-label", "Nothing to see yet.");
    }

    function draw() {
      const answer = model.get("answer"), fresh = Boolean(answer) && answer.key === request();
      drawing.root.hidden = !about().drawable;
      for (const panel of waiting) {
        panel.hidden = !answer;
        panel.classList.toggle("mst-stale", !fresh);
        panel.setAttribute("aria-busy", String(!fresh));
      }
      const places = [[model.get("ratio"), "the attention"], [model.get("mlp_ratio"), "the MLPs"]];
      const masks = places.filter(([p]) => p > 0);
      const accuracy = drawCurve();
      return (masks.length ? masks.map(([p, place]) => `${percent(p)} masked in ${place}`).join(", ") : "No masks") +
        (accuracy === null ? ". " : `: about ${percent(accuracy)} of the test pictures right. `) +
        (fresh ? drawAnswer(answer) : `${chosen()} is being worked on.`);
    }

    const end = explorer({
      model, el, watch: [...REQUEST, "time", "networks", "layers", "answer"], controls, inner,
      body: [results, more, inside], draw,
    });
    // In JupyterLab the kernel computes once it is asked for; a page's model asks nobody.
    if (!model.get("answer") && model.send) model.send({ wanted: "answer" });
    return end;
  }

  root.mstExplorers.views.network = {
    render, scripts: ["mst_runs", "mst_canvas", "mst_engine", "mst_runner"], describe, costs,
  };
})(globalThis);
