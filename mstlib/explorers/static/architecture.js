// A walk through a network: boxes in the order of the computation, grouped by stage and block.
(function (root) {
  "use strict";
  const { node, legend, change, KEEP_KEYS, explorer, fixed } = root.mstExplorers.parts;

  const SIGNALS = {
    real: "any number, so whatever reads it must multiply",
    "scaled binary": "0 or one fixed value, a spike times a scale that the next weights can absorb",
    binary: "0 or 1, a spike: whatever reads it only adds",
  };
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
  const tuple = (shape) => `(${shape.join(", ")}${shape.length === 1 ? "," : ""})`;

  function render({ model, el }) {
    const flow = node("div", { class: "mst-flow", role: "group", "aria-label": "Layers, in order. Arrow keys walk through them." });
    const detail = node("div", { class: "mst-detail" });
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
      if (layer.equation) {
        rows.push(["Equation", /^\d/.test(layer.equation) ? `Eq. ${layer.equation} of the paper` : layer.equation]);
      }
      const list = node("dl", {});
      for (const [term, value] of rows) list.append(node("dt", {}, term), node("dd", {}, value));
      detail.replaceChildren(list);
      if (layer.note) detail.append(node("p", {}, layer.note));
    }

    // Under the row that holds the box, so that the two are in sight together on a phone as well.
    function placeUnder(chosen) {
      detail.remove();
      let last = chosen;
      while (last.nextElementSibling && last.nextElementSibling.offsetTop === chosen.offsetTop) last = last.nextElementSibling;
      last.after(detail);
    }

    function walkBy(event) {
      const from = boxes.indexOf(event.target.closest("button"));
      const to = {
        ArrowRight: from + 1, ArrowDown: from + 1, ArrowLeft: from - 1, ArrowUp: from - 1, Home: 0, End: boxes.length - 1,
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
      return `Layer ${index + 1} of ${walk.length}: ${layer.name}, shape ${tuple(layer.shape)}, ${layer.signal}`;
    }

    const key = legend(Object.keys(SIGNALS).map((signal) => ({ mark: "pattern", style: styleOf(signal), text: signal })));
    if (model.get("walk").some((layer) => layer.rate !== undefined)) key.append(node("li", {}, "bar: firing rate"));
    return explorer({ model, el, watch: ["walk", "selected"], controls: [], body: [key, flow], draw });
  }

  root.mstExplorers.views.architecture = { render, runs, sharedStart };
})(globalThis);
