// A walk through a network: boxes in the order of the computation, grouped by stage and block.
(function (root) {
  "use strict";
  const { node, legend, heatmap, change, KEEP_KEYS, explorer, fixed } = root.mstExplorers.parts;

  const SIGNALS = {
    real: "any number, so whatever reads it must multiply",
    "scaled binary": "0 or one fixed value, a spike times a scale that the next weights can absorb",
    binary: "0 or 1, a spike: whatever reads it only adds",
  };
  const MASKS = { attention: "of attention", mlp: "of the MLP", conv: "before convolutions" };
  const IF = "IF: u = v + x; if u ≥ θ: spike, and v = u − θ";
  const styleOf = (signal) => `mst-signal-${signal.replace(" ", "-")}`;

  // Consecutive items with the same value of `key`: [[value, items], …]
  function runs(items, key) {
    const groups = [];
    for (const item of items) {
      const value = item[key] || "";
      if (groups.length && groups[groups.length - 1][0] === value) groups[groups.length - 1][1].push(item);
      else groups.push([value, [item]]);
    }
    return groups;
  }

  // What all the dotted names of a block begin with, up to and with the last dot.
  function sharedStart(names) {
    if (names.length < 2) return "";
    const parts = names.map((name) => name.split(".").slice(0, -1));
    let k = 0;
    while (parts.every((p) => k < p.length && p[k] === parts[0][k])) k++;
    return k ? `${parts[0].slice(0, k).join(".")}.` : "";
  }

  const title = (word, name) => (/^\d/.test(name) ? `${word} ${name}` : name[0].toUpperCase() + name.slice(1));
  // A formula from text: single letters in italics, _ and ^ set the next letter (or {letters}) low or high.
  const PIECES = /([_^])(?:\{([^}]*)\}|(.))|[A-Za-zα-ω]+|[^_^A-Za-zα-ω]+/g;
  function typeset(text) {
    const line = node("span", { class: "mst-formula" });
    for (const [part, mark, braced, plain] of text.matchAll(PIECES)) {
      const said = braced || plain || part;
      const letters = /^[A-Za-zα-ω]$/.test(said) ? node("i", {}, said) : said;
      line.append(mark ? node(mark === "_" ? "sub" : "sup", {}, letters) : letters);
    }
    return line;
  }

  // The numbers of a tensor stored as text (mstlib.explorers.tensor), as shares of `high`.
  const ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  function decode({ cells, low }) {
    const [zero, span] = low < 0 ? [30, 30] : [0, 60];
    return Array.from(cells, (character) => (ALPHABET.indexOf(character) - zero) / span);
  }

  const brief = (v) => String(Number(Math.abs(v).toPrecision(2))).replace(/^/, v < 0 ? "−" : "");
  const tuple = (shape) => `(${shape.join(", ")}${shape.length === 1 ? "," : ""})`;

  function render({ model, el }) {
    const flow = node("div",
      { class: "mst-flow", role: "group", "aria-label": "Layers, in order. Arrow keys walk through them." });
    const words = node("div", {});
    const map = heatmap({ title: "", height: 250 });
    const panels = node("div", { class: "mst-panels" }, words);
    const detail = node("div", { class: "mst-detail" }, panels);
    let boxes = [], shown = null;

    function box(layer, label, index) {
      const button = node("button",
        { type: "button", class: `mst-box ${styleOf(layer.signal)}`, title: layer.name, ...KEEP_KEYS },
        node("span", { class: "mst-box-name" }, label),
        node("span", { class: "mst-box-kind" }, `${layer.kind} · ${layer.signal}`));
      if (layer.rate !== undefined) {
        const rate = node("span", { class: "mst-rate" }, node("span", {}));
        rate.firstChild.style.width = `${(100 * layer.rate).toFixed(1)}%`;
        button.append(rate);
      }
      if (layer.mask) button.append(node("span", { class: "mst-mask" }, "mask"));
      button.addEventListener("click", () => change(model, "selected", index));
      return button;
    }

    function build(walk) {
      boxes = [];
      flow.replaceChildren();
      for (const [stage, ofStage] of runs(walk, "stage")) {
        const section = node("div", { class: "mst-stage" });
        if (stage) section.append(node("p", { class: "mst-title" }, title("Stage", stage)));
        for (const [block, layers] of runs(ofStage, "block")) {
          const card = node("div", { class: block ? "mst-block" : "mst-block mst-loose" });
          if (block) card.append(node("p", { class: "mst-block-title" }, title("Block", block)));
          const start = block ? sharedStart(layers.map((l) => l.name)) : "";
          const row = node("div", { class: "mst-boxes" });
          for (const layer of layers) {
            const made = box(layer, layer.name.slice(start.length), boxes.length);
            boxes.push(made);
            row.append(made);
          }
          row.lastChild.classList.add("mst-last");
          card.append(row);
          section.append(card);
        }
        flow.append(section);
      }
    }

    function describe(layer) {
      const rows = [
        ["Layer", node("code", {}, layer.name)],
        ["Kind", layer.kind],
        ["Shape", node("code", {}, tuple(layer.shape))],
        ["Signal", `${layer.signal}: ${SIGNALS[layer.signal]}`],
      ];
      if (layer.rate !== undefined) rows.push(["Firing rate", `${fixed(layer.rate, 3)} spikes per neuron and step`]);
      if (layer.mask) rows.push(["Masked", `random masks ${MASKS[layer.mask]} fall on these spikes`]);
      if (layer.formula) rows.push(["Computes", typeset(layer.formula)]);
      if (layer.formula && layer.formula.includes("IF")) rows.push(["", typeset(IF)]);
      if (layer.equation) {
        rows.push(["Equation", /^\d/.test(layer.equation) ? `Eq. ${layer.equation} of the paper` : layer.equation]);
      }
      const list = node("dl", {});
      for (const [term, value] of rows) list.append(node("dt", {}, term), node("dd", {}, value));
      words.replaceChildren(list);
      if (layer.note) words.append(node("p", {}, layer.note));
    }

    // The layer's output for one image; the frames are heads, or whatever stands side by side.
    function drawTensor({ name, tensor }) {
      if (!tensor) return map.root.remove();
      panels.append(map.root);
      const [rows, columns] = tensor.size, values = decode(tensor), groups = tensor.groups || 1;
      const wide = columns / groups, [low, high] = [brief(tensor.low), brief(tensor.high)];
      const largest = values.reduce((best, v, k) => (Math.abs(v) > Math.abs(values[best]) ? k : best), 0);
      const silent = values.filter((v) => v === 0).length / values.length;
      map.heading.textContent = `${title("", tensor.unit)}${tensor.part ? `: ${tensor.part}` : ""}`;
      map.paint({
        rows, columns, values, signed: tensor.low < 0,
        rowNames: Array.from({ length: rows }, (_, k) => k + 1),
        columnNames: Array.from({ length: columns }, (_, k) => (k % wide) + 1), // counted anew in each frame
        rowsLabel: tensor.rows, columnsLabel: tensor.columns,
        range: [low, high],
        frames: groups < 2 ? [] : Array.from({ length: groups }, (_, k) =>
          ({ row: 0, column: k * wide, rows, columns: wide })),
        label: `Output of ${name} for one image, ${rows} by ${columns} (${tensor.rows} by ${tensor.columns}), ` +
          `${tensor.unit}: from ${low} to ${high}, ${fixed(100 * silent, 0)} % of them 0. The ` +
          `largest in size: ${tensor.rows} ${Math.floor(largest / columns) + 1}, column ${(largest % columns) + 1}.`,
      });
    }

    // Under the row that holds the box, so that the two are in sight together on a phone as well.
    function placeUnder(chosen) {
      detail.remove();
      let last = chosen;
      while (last.nextElementSibling && last.nextElementSibling.offsetTop === chosen.offsetTop) {
        last = last.nextElementSibling;
      }
      last.after(detail);
    }

    function walkBy(event) {
      const from = boxes.indexOf(event.target.closest("button"));
      const to = {
        ArrowRight: from + 1, ArrowDown: from + 1, ArrowLeft: from - 1, ArrowUp: from - 1,
        Home: 0, End: boxes.length - 1,
      }[event.key];
      if (from < 0 || to === undefined) return;
      event.preventDefault();
      event.stopPropagation();
      const index = Math.min(Math.max(to, 0), boxes.length - 1);
      change(model, "selected", index);
      boxes[index].focus();
    }
    flow.addEventListener("keydown", walkBy);

    function draw() {
      const walk = model.get("walk");
      if (walk !== shown) build((shown = walk));
      const index = Math.min(model.get("selected"), walk.length - 1);
      const layer = walk[index];
      boxes.forEach((b, i) => {
        b.tabIndex = i === index ? 0 : -1; // one stop for the Tab key, arrows from there
        if (i === index) b.setAttribute("aria-current", "true");
        else b.removeAttribute("aria-current");
      });
      describe(layer);
      placeUnder(boxes[index]);
      drawTensor(layer);
      return `Layer ${index + 1} of ${walk.length}: ${layer.name}, shape ${tuple(layer.shape)}, ${layer.signal}` +
        (layer.mask ? ", masked" : "");
    }

    const signals = Object.keys(SIGNALS);
    const key = legend(signals.map((signal) => ({ mark: "pattern", style: styleOf(signal), text: signal })));
    if (model.get("walk").some((layer) => layer.rate !== undefined)) key.append(node("li", {}, "bar: firing rate"));
    if (model.get("walk").some((layer) => layer.mask)) {
      key.append(node("li", {}, node("span", { class: "mst-mask" }, "mask"), "random masks fall on these spikes"));
    }
    return explorer({ model, el, watch: ["walk", "selected"], controls: [], body: [key, flow], draw });
  }

  root.mstExplorers.views.architecture = { render, runs, sharedStart, decode };
})(globalThis);
