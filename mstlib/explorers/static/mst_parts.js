// The parts every explorer is made of: controls bound to a setting of the model, a legend, and a
// plot that draws lines, spikes, bars and heat maps between labelled axes.
//
// A classic script, so that it also loads from a page opened as a file. In JupyterLab the same text
// stands in front of a view in the module that anywidget loads, once for each explorer.
(function (root) {
  "use strict";
  const SVG = "http://www.w3.org/2000/svg";
  const shared = (root.mstExplorers = root.mstExplorers || { views: {}, lastId: 0 });

  const uid = () => `mst-${++shared.lastId}`;
  const sum = (values) => values.reduce((a, b) => a + b, 0);
  // Where `gap` is smallest: an index, the first if several are.
  const least = (values, gap) => values.reduce((best, v, k) => (gap(v) < gap(values[best]) ? k : best), 0);

  function node(tag, attributes, ...children) {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes || {})) element.setAttribute(name, value);
    element.append(...children);
    return element;
  }

  function shape(tag, attributes, parent) {
    const element = document.createElementNS(SVG, tag);
    for (const [name, value] of Object.entries(attributes || {})) element.setAttribute(name, value);
    if (parent) parent.append(element);
    return element;
  }

  // A number with a fixed number of decimals, a true minus sign, and no "−0.00".
  function fixed(value, decimals) {
    const text = Math.abs(value).toFixed(decimals);
    return (value < 0 && Number(text) !== 0 ? "−" : "") + text;
  }
  const percent = (share, decimals = 1) => `${fixed(100 * share, decimals)} %`;

  function change(model, name, value) {
    model.set(name, value);
    model.save_changes();
  }

  const settings = (model, names) => Object.fromEntries(names.map((name) => [name, model.get(name)]));

  // JupyterLab takes the arrow keys for itself unless the focused element carries this mark.
  const KEEP_KEYS = { "data-lm-suppress-shortcuts": "true" };

  // ---- controls: each has a root element and update(), which shows the model's present value ----

  // `read` and `write` translate between the setting and the slider's position; `max` may be a
  // function where the range depends on another setting.
  function slider(model, name, options) {
    const { label, min, max, step = 1, show = String, read = (v) => v, write = (v) => v } = options;
    const id = uid();
    const input = node("input", { id, type: "range", min, step, "data-setting": name, ...KEEP_KEYS });
    const output = node("output", { for: id, "aria-live": "off" });
    input.addEventListener("input", () => change(model, name, write(Number(input.value))));
    return {
      root: node("div", { class: "mst-control" }, node("label", { for: id }, label), output, input),
      update() {
        input.max = typeof max === "function" ? max() : max;
        const value = model.get(name);
        input.value = read(value);
        output.textContent = show(value);
        input.setAttribute("aria-valuetext", show(value));
      },
    };
  }

  // A few values to choose from, all in sight: radio buttons. options: [[value, text], …]
  function choice(model, name, { label, options }) {
    const group = uid();
    const buttons = options.map(([value, text]) => {
      const input = node("input", { type: "radio", name: group, "data-setting": name, ...KEEP_KEYS });
      input.addEventListener("change", () => change(model, name, value));
      return { value, input, root: node("label", {}, input, node("span", {}, text)) };
    });
    return {
      root: node("fieldset", { class: "mst-choice" }, node("legend", {}, label), ...buttons.map((b) => b.root)),
      update: () => buttons.forEach((b) => (b.input.checked = b.value === model.get(name))),
    };
  }

  // One value of a list that may be long: a drop-down. options: [text, …] or [[value, text], …]
  function select(model, name, { label, options }) {
    const id = uid();
    const list = node("select", { id, "data-setting": name, ...KEEP_KEYS });
    for (const option of options) {
      const [value, text = value] = [].concat(option);
      list.append(node("option", { value }, text));
    }
    list.addEventListener("change", () => change(model, name, list.value));
    return {
      root: node("div", { class: "mst-control" }, node("label", { for: id }, label), list),
      update: () => (list.value = model.get(name)),
    };
  }

  // Which network is shown, if there are several: a list of one control or none.
  function networkChoice(model, among) {
    const options = Object.keys(model.get(among));
    return options.length > 1 ? [select(model, "network", { label: "Network", options })] : [];
  }

  // A time cursor with a button that moves it. The setting counts from 0 to last(); null is the end.
  // While it plays, it moves by stride() once in `every` ms.
  function timeline(model, name, { label, last, show, every = 150, stride = () => 1 }) {
    const bar = slider(model, name, {
      label, min: 0, max: last,
      read: (v) => (v === null ? last() : v),
      write: (v) => (v >= last() ? null : v),
      show: show || ((v) => `${v === null ? last() : Math.min(v, last())} of ${last()}`),
    });
    // A reader who asks for no motion moves the slider instead.
    if (root.matchMedia("(prefers-reduced-motion: reduce)").matches) return bar;
    let timer = null;
    const button = node("button", { type: "button", class: "mst-button", ...KEEP_KEYS });
    const nameButton = () => (button.textContent = timer === null ? "Play" : "Pause");
    const stop = () => {
      clearInterval(timer);
      timer = null;
      nameButton();
    };
    const control = {
      root: node("div", { class: "mst-timeline" }, bar.root, button), update: bar.update, stop,
      playing: () => timer !== null,
      paused() {}, // the explorer listens here
    };
    button.addEventListener("click", () => {
      if (timer !== null) {
        stop();
        return control.paused();
      }
      timer = setInterval(() => {
        const next = (model.get(name) ?? last()) + stride();
        if (next >= last()) stop(); // first, so that the last change is read aloud
        change(model, name, next >= last() ? null : next);
      }, every);
      if (model.get(name) === null) change(model, name, 0);
      nameButton();
    });
    nameButton();
    return control;
  }

  // ---- legend: [{ mark: "line" | "box" | "dot" | "pattern", style: "class names", text }] ----
  function legend(items) {
    const list = node("ul", { class: "mst-legend" });
    for (const { mark, style, text } of items) {
      if (mark === "pattern") {
        list.append(node("li", {}, node("span", { class: `mst-pattern ${style}`, "aria-hidden": "true" }), text));
        continue;
      }
      const swatch = shape("svg", { width: 24, height: 12, viewBox: "0 0 24 12", "aria-hidden": "true" });
      if (mark === "box") shape("rect", { x: 4, y: 1, width: 16, height: 10, class: `mst-area ${style}` }, swatch);
      else if (mark === "dot") shape("circle", { cx: 12, cy: 6, r: 5, class: `mst-dot ${style}` }, swatch);
      else shape("path", { d: "M1 6H23", class: `mst-line ${style}` }, swatch);
      list.append(node("li", {}, swatch, text));
    }
    return list;
  }

  // A panel with a heading, a legend and room to draw. fresh() wipes it clean for the next picture.
  function board({ title, height, items }) {
    const svg = shape("svg", { role: "img", height });
    const heading = node("p", { class: "mst-title" }, title);
    const panel = node("div", { class: "mst-panel" }, heading, ...(items ? [legend(items)] : []), svg);
    return {
      root: panel, heading, svg,
      room: () => Math.max(panel.clientWidth, 160),
      fresh(width, tall, label, from = 0) {
        svg.setAttribute("viewBox", `${from} ${from} ${width} ${tall}`);
        svg.setAttribute("aria-label", label);
        svg.replaceChildren();
      },
      write(x, y, text, more = {}) {
        shape("text", { x, y, "text-anchor": "middle", ...more }, svg).textContent = text;
      },
    };
  }

  // ---- plot ----

  // About `count` round numbers between two ends.
  function ticksBetween(from, to, count) {
    const rough = (to - from) / count;
    const power = 10 ** Math.floor(Math.log10(rough));
    const step = power * [1, 2, 5, 10].find((m) => m * power >= rough);
    const decimals = Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
    const ticks = [];
    for (let k = Math.ceil(from / step - 1e-9); k * step <= to + 1e-9 * step; k++) {
      ticks.push([k * step, fixed(k * step, decimals)]);
    }
    return ticks;
  }

  const powersOfTwo = (to) =>
    Array.from({ length: Math.floor(Math.log2(to)) + 1 }, (_, k) => [2 ** k, String(2 ** k)]);

  // The names of rows or columns, each in the middle of its band of width 1.
  const bands = (names) =>
    ({ from: 0, to: names.length, ticks: names.map((name, k) => [k + 0.5, String(name)]), bands: true });

  // The axis of a share from 0 to 1, and a little more: marked at the quarters.
  const quarters = (label, { to = 1, name = (v) => percent(v, 0) } = {}) =>
    ({ from: 0, to, label, ticks: [0, 0.25, 0.5, 0.75, 1].map((v) => [v, name(v)]) });

  function scale({ from, to, log }, start, end) {
    const f = log ? Math.log : (v) => v;
    return (v) => start + ((f(v) - f(from)) / (f(to) - f(from))) * (end - start);
  }

  // An axis: { from, to, label, ticks: [[value, text], …], log, bands }. Bands run downwards.
  // `left` fixes the left margin so that plots above one another line up.
  function plot({ title, height, items, left }) {
    const { root: panel, heading, svg, room, fresh, write: put } = board({ title, height, items });

    function frame({ x, y, label }) {
      const width = room();
      const yTicks = y.ticks || ticksBetween(y.from, y.to, height / 34);
      const longest = Math.max(...yTicks.map(([, text]) => text.length));
      const x0 = left || Math.min(14 + 6.8 * longest, width / 3), x1 = width - 14;
      const y0 = y.label ? 26 : 8, y1 = height - (x.label ? 40 : 24);
      const xTicks = x.ticks || ticksBetween(x.from, x.to, width / 70);
      const px = scale(x, x0, x1), py = y.bands ? scale(y, y0, y1) : scale(y, y1, y0);
      const at = (v) => v.toFixed(1);
      const write = (X, Y, ...rest) => put(at(X), at(Y), ...rest);
      const path = (d, style) => shape("path", { d, class: `mst-line ${style}` }, svg);
      const box = (X, Y, w, h, more) =>
        shape("rect", { x: at(X), y: at(Y), width: at(w), height: at(h), ...more }, svg);

      fresh(width, height, label);
      const axes = shape("g", { class: "mst-axes", "aria-hidden": "true" }, svg);
      for (const [value, text] of xTicks) {
        if (!x.bands) shape("path", { class: "mst-grid", d: `M${at(px(value))} ${y0}V${y1}` }, axes);
        write(px(value), y1 + 16, text);
      }
      for (const [value, text] of yTicks) {
        if (!y.bands) shape("path", { class: "mst-grid", d: `M${x0} ${at(py(value))}H${x1}` }, axes);
        write(x0 - 7, py(value) + 4, text, { "text-anchor": "end" });
      }
      shape("path", { d: `M${x0} ${y0}V${y1}H${x1}` }, axes);
      if (x.label) write((x0 + x1) / 2, height - 6, x.label);
      if (y.label) write(4, 12, y.label, { "text-anchor": "start" });

      // Upright strokes as one path, [[time, row], …]: quick to draw.
      function strokes(spikes, style) {
        const one = ([t, row]) => `M${at(px(t))} ${at(py(row + 0.15))}V${at(py(row + 0.85))}`;
        if (spikes.length) path(spikes.map(one).join(""), `mst-spike ${style}`);
      }
      return {
        strokes,
        // One row of a raster: a stroke for each spike.
        spikes: (times, row, style) => times.forEach((t) => strokes([[t, row]], style)),
        line(points, style) {
          if (points.length) path("M" + points.map(([a, b]) => `${at(px(a))} ${at(py(b))}`).join("L"), style);
        },
        // A function known at many points and constant between its jumps.
        stairs(points, style) {
          const middle = (i) => at((px(points[i - 1][0]) + px(points[i][0])) / 2);
          let d = `M${at(px(points[0][0]))} ${at(py(points[0][1]))}`;
          for (let i = 1; i < points.length; i++) {
            if (points[i][1] !== points[i - 1][1]) d += `H${middle(i)}V${at(py(points[i][1]))}`;
          }
          path(d + `H${at(px(points[points.length - 1][0]))}`, style);
        },
        across: (value, style) => path(`M${x0} ${at(py(value))}H${x1}`, style),
        down: (value, style) => path(`M${at(px(value))} ${y0}V${y1}`, style),
        dot(a, b, style, r = 6) {
          shape("circle", { cx: at(px(a)), cy: at(py(b)), r, class: `mst-dot ${style}` }, svg);
        },
        // A bar from 0, with its value at the end.
        bar(value, row, text, style) {
          const end = px(value);
          const [a, b] = [py(row + 0.2), py(row + 0.8)];
          box(x0, a, Math.max(end - x0, 0), b - a, { class: `mst-area ${style}` });
          write(end + 6, py(row + 0.5) + 4, text, { "text-anchor": "start" });
        },
        // A cell of a heat map: `share` in 0..1 sets its depth, `text` says its value.
        cell(column, row, share, text, style) {
          const [a, b] = [px(column), py(row)];
          box(a + 1, b + 1, px(column + 1) - a - 2, py(row + 1) - b - 2, {
            rx: 3, class: `mst-cell ${style}`, "fill-opacity": (0.04 + (PALE - 0.04) * share).toFixed(3),
          });
          write((a + px(column + 1)) / 2, (b + py(row + 1)) / 2 + 4, text, { class: "mst-small" });
        },
        outline(column, rows) {
          const [a, b] = [px(column), py(0)];
          box(a, b, px(column + 1) - a, py(rows) - b, { rx: 4, class: "mst-outline" });
        },
      };
    }
    return { root: panel, heading, frame };
  }

  // ---- curve and raster: the two plots that an explorer needs most, painted in one call ----

  // paint() takes the axes, lines { points: [[x, y], …], style, stairs }, and dots { x, y, style }.
  function curve(options) {
    const { frame, ...panel } = plot(options);

    function paint({ x, y, lines, dots = [], label }) {
      const canvas = frame({ x, y, label });
      for (const { points, style, stairs } of lines) canvas[stairs ? "stairs" : "line"](points, style);
      for (const dot of dots) canvas.dot(dot.x, dot.y, dot.style || "mst-ink");
      return canvas; // for whatever else shall be drawn
    }
    return { ...panel, paint };
  }

  // paint() takes a row for each train: { name, spikes: one 0 or 1 a step, style }.
  function raster(options) {
    const { frame, ...panel } = plot(options);

    function paint({ trains, label }) {
      const steps = trains[0].spikes.length;
      const x = { from: 0.3, to: steps + 0.7, label: "time step" };
      const canvas = frame({ x, y: bands(trains.map((train) => train.name)), label });
      trains.forEach(({ spikes, style }, row) =>
        canvas.strokes(spikes.flatMap((s, t) => (s ? [[t + 1, row]] : [])), style));
      return canvas;
    }
    return { ...panel, paint };
  }

  // ---- heat map ----

  const DEPTHS = 24; // shades of the hue; a value above 0 never takes the empty one
  const TALLEST = 48; // pixels of a cell, where there are few rows
  const PALE = 0.42; // of the hue: what text can stand on, in light and dark

  // `count` names, each `size` wide, thinned so that neighbours stand at least `room` apart.
  function thinned(names, size, room) {
    if (Array.isArray(names[0])) return names;
    const every = Math.max(1, Math.ceil(room / size));
    return names.map((name, k) => [k, String(name)]).filter(([k]) => k % every === 0);
  }

  // A table of values from 0 to 1, in one hue: nothing at 0, the full hue at 1. All cells of a shade
  // are one path, which keeps thousands of cells quick and lets the page's colours do the rest.
  //
  // Values below 0, down to −1, take the red hue; `signed` says that there may be some.
  // `range` says what 0 (or −1) and 1 stand for. With `square` the cells are squares, else they fill the width.
  // paint() takes the values row by row; `frames` are outlines, { row, column, rows, columns, style };
  // `texts` are written in the cells, over paler shades so that they can be read. Names of rows and columns
  // are texts, one for each and thinned where there are many, or [place, text] to stand where they say.
  function heatmap({ title, height, style = "mst-blue", square = false, range: meant = ["0", "1"] }) {
    const { root: panel, heading, svg, room, fresh, write } = board({ title, height });
    const [low, high] = [node("span", {}), node("span", {})];
    const ramp = node("span", { class: `mst-ramp ${style}`, "aria-hidden": "true" });
    panel.append(node("p", { class: "mst-range" }, low, ramp, high));

    function paint({
      rows, columns, values, label, frames = [], texts, rowNames, columnNames, rowsLabel, columnsLabel, range = meant,
      signed = false,
    }) {
      const width = room();
      const longest = (names) => Math.max(...names.map((n) => String(Array.isArray(n) ? n[1] : n).length));
      const x0 = rowNames ? Math.ceil(Math.min(12 + 6.8 * longest(rowNames), width / 3)) : 2;
      const y0 = rowsLabel ? 24 : 2;
      const below = 4 + (columnNames ? 16 : 0) + (columnsLabel ? 18 : 0);
      // Whole pixels where there is room for them, so that all cells are of one size.
      const whole = (size) => (size >= 1 ? Math.floor(size) : size);
      let w = whole((width - x0 - 2) / columns), h = whole((height - y0 - below) / rows);
      if (square) w = h = Math.min(w, h);
      else h = Math.min(h, TALLEST);
      const gap = Math.min(w, h) >= 12 ? 1 : 0;
      const tall = h * rows;

      svg.setAttribute("height", y0 + tall + below);
      svg.setAttribute("preserveAspectRatio", "xMinYMin");
      fresh(width, y0 + tall + below, label);
      const shades = Array.from({ length: 2 * DEPTHS + 1 }, () => []); // from −1 over 0 to 1
      for (let k = 0; k < rows * columns; k++) {
        const deep = Math.ceil(Math.min(Math.abs(values[k]), 1) * DEPTHS - 1e-9);
        const corner = `M${x0 + (k % columns) * w} ${y0 + Math.floor(k / columns) * h}`;
        shades[DEPTHS + Math.sign(values[k]) * deep].push(`${corner}h${w - gap}v${h - gap}h${gap - w}z`);
      }
      shades.forEach((cells, k) => {
        if (!cells.length || k === DEPTHS) return;
        const depth = (((texts ? PALE : 1) * Math.abs(k - DEPTHS)) / DEPTHS).toFixed(3);
        const hue = k < DEPTHS ? "mst-red" : style;
        shape("path", { d: cells.join(""), class: `mst-cell mst-crisp ${hue}`, "fill-opacity": depth }, svg);
      });
      const outline = (row, column, many, broad, css) => shape("rect", {
        x: x0 + column * w, y: y0 + row * h, width: broad * w - gap, height: many * h - gap, class: css,
      }, svg);
      outline(0, 0, rows, columns, "mst-edge");
      for (const f of frames) outline(f.row, f.column, f.rows || 1, f.columns || 1, `mst-outline ${f.style || ""}`);

      const across = (k) => x0 + (k + 0.5) * w, down = (k) => y0 + (k + 0.5) * h + 4;
      for (const [k, text] of thinned(rowNames || [], h, 14)) write(x0 - 6, down(k), text, { "text-anchor": "end" });
      for (const [k, text] of columnNames ? thinned(columnNames, w, 8 + 6.8 * longest(columnNames)) : []) {
        write(across(k), y0 + tall + 14, text);
      }
      if (rowsLabel) write(0, 12, rowsLabel, { "text-anchor": "start" });
      if (columnsLabel) write(x0, y0 + tall + below - 5, columnsLabel, { "text-anchor": "start" });
      texts?.forEach((text, k) => {
        if (text !== "") write(across(k % columns), down(Math.floor(k / columns)), text, { class: "mst-small" });
      });
      ramp.classList.toggle("mst-signed", signed);
      ramp.style.setProperty("--mst-depth", `${100 * (texts ? PALE : 1)}%`);
      low.textContent = range[0];
      high.textContent = range[1];
    }
    return { root: panel, heading, paint };
  }

  // ---- the whole: controls above, a line of text that says the result, then the panels ----

  // `draw` paints the panels and returns the line of text. `watch` names the settings it depends on.
  // `inner` are controls that stand within the body. Returns the function that ends the explorer, as
  // anywidget asks.
  function explorer({ model, el, watch, controls, inner = [], body, draw }) {
    const all = [...controls, ...inner];
    const say = node("p", { class: "mst-say", "aria-live": "polite" });
    el.classList.add("mst-explorer");
    el.replaceChildren(node("div", { class: "mst-controls" }, ...controls.map((c) => c.root)), say, ...body);
    const refresh = () => {
      for (const control of all) control.update();
      const text = draw();
      // While something plays, the line moves with it but is not read aloud at every step.
      const busy = all.some((control) => control.playing && control.playing());
      const ended = !busy && say.getAttribute("aria-busy") === "true";
      say.setAttribute("aria-busy", String(busy));
      say.setAttribute("aria-live", busy ? "off" : "polite");
      if (ended || say.textContent !== text) say.textContent = text;
    };
    for (const control of all) if (control.playing) control.paused = refresh;
    let width = el.clientWidth;
    const observer = new ResizeObserver(() => {
      if (el.clientWidth === width) return;
      width = el.clientWidth;
      refresh();
    });
    refresh();
    observer.observe(el);
    for (const name of watch) model.on(`change:${name}`, refresh);
    return () => {
      observer.disconnect();
      for (const name of watch) model.off(`change:${name}`, refresh);
      for (const control of all) if (control.stop) control.stop();
    };
  }

  shared.parts = {
    node, shape, fixed, percent, sum, least, settings, change, KEEP_KEYS, slider, choice, select, networkChoice,
    timeline, legend, board, plot, curve, raster, heatmap, bands, quarters, powersOfTwo, ticksBetween, scale, explorer,
  };
})(globalThis);
