// A recording of an event camera: its events in space and time, what the camera sees at one moment,
// and the frames that a network gets. Brighter events are drawn as + and darker ones as −.
(function (root) {
  "use strict";
  const { node, slider, choice, select, timeline, change, explorer, fixed } = root.mstExplorers.parts;
  const WATCHED = [
    "recordings", "recording", "time", "window", "slower", "frames", "by", "order", "turn", "tilt",
  ];
  const SCREEN = "#111820", INK = "#f4f6f8", HUES = ["#ee8a4a", "#56b4e9"]; // darker, brighter
  const COLUMNS = { t: Uint32Array, x: Uint16Array, y: Uint16Array, p: Uint8Array };
  const CLOUD = 340, CAMERA = 340; // pixels of height
  const CELLS = 64; // of a frame's side, at most
  const TICK = 50; // ms between two pictures while playing

  // ---- the events, and what becomes of them ----

  // The columns of a recording, from the text that Python made of them.
  function decode(stored) {
    const events = { size: stored.size };
    for (const [name, Kind] of Object.entries(COLUMNS)) {
      events[name] = new Kind(Uint8Array.from(root.atob(stored[name]), (c) => c.charCodeAt(0)).buffer);
    }
    return events;
  }

  // The first event at `time` or later, as an index.
  function firstAt(t, time) {
    let low = 0, high = t.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (t[middle] < time) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  // n slices of equal count or equal time, cut where mstlib.data.events.frames cuts: which events, and
  // from when to when.
  function slices({ t }, n, by) {
    const span = t[t.length - 1];
    const cuts = Array.from({ length: n + 1 }, (_, k) => {
      if (k === n) return t.length;
      return by === "count" ? Math.floor((k * t.length) / n) : firstAt(t, (k * span) / n);
    });
    const edge = (k) => (by === "time" ? (k * span) / n : k === 0 ? 0 : t[Math.min(cuts[k], t.length - 1)]);
    return Array.from({ length: n }, (_, k) => ({
      number: k + 1, first: cuts[k], last: cuts[k + 1], from: edge(k), to: k === n - 1 ? span : edge(k + 1),
    }));
  }

  // Numbers 0 to n − 1 in an order that mixes them: by the fractional parts of multiples of the golden ratio.
  function mixed(n) {
    const part = (k) => ((k + 1) * (Math.sqrt(5) - 1) / 2) % 1;
    return Array.from({ length: n }, (_, k) => k).sort((a, b) => part(a) - part(b));
  }

  // The recording with its slices in another order: the events of each, moved in time as a whole.
  function rearranged(events, frames, order) {
    const made = { size: events.size, frames: [] };
    for (const [name, Kind] of Object.entries(COLUMNS)) made[name] = new Kind(events.t.length);
    made.t = new Float64Array(events.t.length); // edges of frames lie between microseconds
    let place = 0, now = 0;
    for (const k of order) {
      const { number, first, last, from, to } = frames[k];
      for (const name of ["x", "y", "p"]) made[name].set(events[name].subarray(first, last), place);
      for (let i = first; i < last; i++) made.t[place + i - first] = events.t[i] - from + now;
      made.frames.push({ number, first: place, last: place + last - first, from: now, to: now + to - from });
      place += last - first;
      now += to - from;
    }
    return made;
  }

  // How many events from `first` to before `last` are brighter.
  function brighter({ p }, first, last) {
    let count = 0;
    for (let i = first; i < last; i++) count += p[i];
    return count;
  }

  // Counts of a frame's events on a grid of columns × rows cells, darker and brighter.
  function counted({ x, y, p, size: [height, width] }, { first, last }, columns, rows) {
    const counts = [new Uint16Array(columns * rows), new Uint16Array(columns * rows)];
    for (let i = first; i < last; i++) {
      counts[p[i]][Math.floor((y[i] * rows) / height) * columns + Math.floor((x[i] * columns) / width)]++;
    }
    return counts;
  }

  // ---- the screens they are drawn on: dark on every page, like a camera's ----

  function screen(title, ...more) {
    const canvas = node("canvas", { class: "mst-screen", role: "img" });
    const heading = node("p", { class: "mst-title" }, title);
    const panel = node("div", { class: "mst-panel" }, heading, canvas, ...more);
    return {
      root: panel, heading, canvas,
      room: () => Math.max(panel.clientWidth, 160),
      // A clean screen of width × height pixels of the page, and the pen for it.
      clean(width, height, label) {
        const ratio = root.devicePixelRatio || 1;
        canvas.width = Math.round(width * ratio);
        canvas.height = Math.round(height * ratio);
        canvas.style.width = `${width}px`;
        canvas.style.height = `${height}px`;
        canvas.setAttribute("aria-label", label);
        const pen = canvas.getContext("2d");
        pen.scale(ratio, ratio);
        pen.fillStyle = SCREEN;
        pen.fillRect(0, 0, width, height);
        pen.font = "12px sans-serif";
        return pen;
      },
    };
  }

  // A plus or a minus around (x, y), `size` wide.
  function mark(pen, x, y, polarity, size) {
    const thick = Math.max(size / 3, 1);
    pen.fillRect(x - size / 2, y - thick / 2, size, thick);
    if (polarity) pen.fillRect(x - thick / 2, y - size / 2, thick, size);
  }

  // Turn the box of x, y and time, each from −1 to 1, and look at it from far away: right and down.
  function projection(turn, tilt) {
    const [a, b] = [turn, tilt].map((degrees) => (degrees * Math.PI) / 180);
    const LONG = 1.5; // time runs deeper than the picture is wide
    return (x, y, t) => {
      const right = x * Math.cos(a) + LONG * t * Math.sin(a), away = LONG * t * Math.cos(a) - x * Math.sin(a);
      return [right, y * Math.cos(b) - away * Math.sin(b)];
    };
  }

  // A pointer that drags turns and tilts.
  function turnable(canvas, model) {
    let held = null;
    const clamp = (v, low, high) => Math.round(Math.min(Math.max(v, low), high));
    canvas.classList.add("mst-turnable");
    canvas.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      canvas.setPointerCapture(event.pointerId);
      held = { x: event.clientX, y: event.clientY, turn: model.get("turn"), tilt: model.get("tilt") };
    });
    canvas.addEventListener("pointermove", (event) => {
      if (!held) return;
      change(model, "turn", clamp(held.turn + (event.clientX - held.x) / 2, -90, 90));
      change(model, "tilt", clamp(held.tilt + (event.clientY - held.y) / 2, 0, 90));
    });
    for (const end of ["pointerup", "pointercancel"]) canvas.addEventListener(end, () => (held = null));
  }

  // The twelve edges of the box, as pairs of corners, by the axis they run along.
  const ENDS = [-1, 1];
  const EDGES = [0, 1, 2].flatMap((axis) => ENDS.flatMap((u) => ENDS.map((v) => {
    const corner = (w) => [[w, u, v], [u, w, v], [u, v, w]][axis];
    return { axis, from: corner(-1), to: corner(1) };
  })));

  function render({ model, el }) {
    const names = Object.keys(model.get("recordings")), recordings = {};
    const recording = () => {
      const name = model.get("recording"), stored = model.get("recordings")[name];
      if (recordings[name]?.stored !== stored) recordings[name] = { stored, events: decode(stored) };
      return recordings[name];
    };
    const length = () => recording().events.t.at(-1) / 1000; // ms
    const ms = () => Math.ceil(length()); // the slider's end, just behind the last event
    const rounded = () => fixed(length(), 0);
    const still = root.matchMedia("(prefers-reduced-motion: reduce)").matches;

    // ---- controls ----

    const controls = [
      select(model, "recording", { label: "Recording", options: names }),
      timeline(model, "time", {
        label: "Moment", last: ms, every: TICK, stride: () => TICK / model.get("slower"),
        show: (v) => `${fixed(Math.min(v ?? ms(), length()), 0)} of ${rounded()} ms`,
      }),
      slider(model, "window", { label: "Window of the picture", min: 1, max: 200, show: (v) => `${v} ms` }),
    ];
    if (!still) {
      controls.push(choice(model, "slower", {
        label: "Speed", options: [[1, "as it was"], [10, "1/10"], [30, "1/30"], [100, "1/100"]],
      }));
    }
    const degrees = (v) => `${fixed(v, 0)}°`;
    const turn = slider(model, "turn", { label: "Turn", min: -90, max: 90, show: degrees });
    const tilt = slider(model, "tilt", { label: "Look from above", min: 0, max: 90, show: degrees });
    const inner = [
      turn, tilt,
      slider(model, "frames", { label: "Frames n", min: 1, max: 16 }),
      choice(model, "by", {
        label: "All frames have", options: [["count", "as many events"], ["time", "as much time"]],
      }),
      choice(model, "order", { label: "Their order", options: ["as filmed", "shuffled"].map((o) => [o, o]) }),
    ];

    // ---- panels ----

    const cloud = screen("Events in space and time", node("div", { class: "mst-controls" }, turn.root, tilt.root),
      node("p", { class: "mst-note" }, "Drag to turn. At 0° and 0° you look along time and see the picture; " +
        "at 90° time runs to the right."));
    const camera = screen("", node("p", { class: "mst-note" }, "+ (blue) is brighter, − (orange) is darker, the last " +
      "event of each pixel counts. Where nothing changes, nothing is seen."));
    const note = node("p", { class: "mst-note" });
    const film = screen("", note);
    film.root.classList.add("mst-wide");

    turnable(cloud.canvas, model);

    // The events as they are played: in the order chosen, with the frames they are cut into.
    let shown = {};
    function played() {
      const it = recording(), settings = ["frames", "by", "order"].map((name) => model.get(name));
      const key = JSON.stringify(settings);
      if (shown.stored === it.stored && shown.key === key) return shown.made;
      const [n, by, order] = settings;
      const frames = slices(it.events, n, by);
      const made = order === "shuffled" ? rearranged(it.events, frames, mixed(n)) : { ...it.events, frames };
      shown = { stored: it.stored, key, made };
      return made;
    }

    function drawCloud(events, { first, last, from, to }, said) {
      const { t, x, y, p, size: [height, width], frames } = events;
      const angles = [model.get("turn"), model.get("tilt")], look = projection(...angles);
      const span = frames[frames.length - 1].to, room = cloud.room();
      const pen = cloud.clean(room, CLOUD, `${t.length} events of ${said} as points in x, y and time, turned by ` +
        `${degrees(angles[0])} and seen from ${degrees(angles[1])} above. Bright are the ${last - first} of the ` +
        `window from ${fixed(from, 0)} to ${fixed(to, 0)} ms.`);
      const corners = EDGES.flatMap((edge) => [edge.from, edge.to]).map((corner) => look(...corner));
      const [w, h] = [0, 1].map((axis) => Math.max(...corners.map((c) => Math.abs(c[axis]))));
      const zoom = Math.min((room / 2 - 40) / w, (CLOUD / 2 - 26) / h);
      const at = (corner) => {
        const [right, down] = look(...corner);
        return [room / 2 + zoom * right, CLOUD / 2 + zoom * down];
      };
      const deep = (time) => (2 * time) / span - 1;

      pen.strokeStyle = INK;
      const trace = (places, depth) => {
        pen.globalAlpha = depth;
        pen.beginPath();
        for (const place of places) pen.lineTo(...at(place));
        pen.stroke();
      };
      for (const edge of EDGES) trace([edge.from, edge.to], 0.3);
      for (const time of [from, to].map((v) => deep(Math.min(Math.max(1000 * v, 0), span)))) {
        trace([[-1, -1, time], [1, -1, time], [1, 1, time], [-1, 1, time], [-1, -1, time]], 0.9);
      }
      // Each axis is named along its lowest edge, y along the leftmost.
      pen.globalAlpha = 1;
      pen.fillStyle = INK;
      ["x: {} pixels", "y: {} pixels", "time: {} ms →"].forEach((text, axis) => {
        const places = EDGES.filter((edge) => edge.axis === axis).map(({ from: a, to: b }) => [at(a), at(b)]);
        const middle = ([a, b]) => [(a[0] + b[0]) / 2, (a[1] + b[1]) / 2];
        const far = (ends) => (axis === 1 ? -middle(ends)[0] : middle(ends)[1]);
        const [a, b] = places.reduce((best, ends) => (far(ends) > far(best) + 1e-6 ? ends : best));
        if (Math.hypot(a[0] - b[0], a[1] - b[1]) < 40) return; // one looks along it
        const upright = axis === 1 ? -Math.PI / 2 : Math.atan2(b[1] - a[1], b[0] - a[0]);
        const flip = Math.cos(upright) < -1e-6;
        pen.save();
        pen.translate(...middle([a, b]));
        pen.rotate(flip ? upright + Math.PI : upright);
        pen.textAlign = "center";
        const words = text.replace("{}", [width, height, rounded()][axis]);
        pen.fillText(flip ? words.replace(/(.*) →/, "← $1") : words, 0, axis === 1 ? -6 : 15);
        pen.restore();
      });

      const point = (i) => at([(2 * (x[i] + 0.5)) / width - 1, (2 * (y[i] + 0.5)) / height - 1, deep(t[i])]);
      const dots = (begin, end, depth, large) => {
        pen.globalAlpha = depth;
        for (let i = begin; i < end; i++) {
          pen.fillStyle = HUES[p[i]];
          mark(pen, ...point(i), p[i], large);
        }
      };
      dots(0, first, 0.4, 3);
      dots(last, t.length, 0.4, 3);
      dots(first, last, 1, 6);
    }

    function drawCamera(events, { first, last, from, to }, said) {
      const { x, y, p, size: [height, width] } = events;
      const newest = new Map();
      for (let i = first; i < last; i++) newest.set(y[i] * width + x[i], p[i]);
      const zoom = Math.min(camera.room() / width, CAMERA / height);
      const bright = brighter(events, first, last), range = `${fixed(from, 0)} to ${fixed(to, 0)} ms`;
      camera.heading.textContent = `What the camera sees, ${range}`;
      const pen = camera.clean(width * zoom, height * zoom, `What the camera sees of ${said}, ${range}: ${bright} ` +
        `brighter and ${last - first - bright} darker events on ${newest.size} of its ${width} × ${height} pixels.`);
      for (const [place, polarity] of newest) {
        pen.fillStyle = HUES[polarity];
        mark(pen, ((place % width) + 0.5) * zoom, (Math.floor(place / width) + 0.5) * zoom, polarity, 0.9 * zoom);
      }
      return bright;
    }

    function drawFrames(events, now, said) {
      const { frames, size: [height, width] } = events, n = frames.length;
      const GAP = 8, LEFT = 20, TEXT = 34, LEAST = 58;
      const room = film.room();
      const fit = Math.max(Math.floor((room - LEFT) / (LEAST + GAP)), 1);
      const lines = Math.ceil(n / fit), across = Math.ceil(n / lines);
      const wide = Math.min((room - LEFT) / across - GAP, 150), tall = (wide * height) / width;
      const high = 2 * tall + GAP / 2 + TEXT + GAP; // of a line of frames
      const [columns, rows] = [Math.min(width, CELLS), Math.min(height, CELLS)];
      const counts = frames.map((frame) => counted(events, frame, columns, rows));
      const most = Math.max(1, ...counts.flat().map((cells) => Math.max(...cells)));
      const current = frames.findIndex((frame) => now <= frame.to / 1000 || frame === frames[n - 1]);
      const range = ({ from, to }) => `${fixed(from / 1000, 0)}–${fixed(to / 1000, 0)} ms`;
      const told = frames.map((frame) => {
        const all = frame.last - frame.first, bright = brighter(events, frame.first, frame.last);
        return `frame ${frame.number}, ${range(frame)}, ${bright} brighter and ${all - bright} darker`;
      });
      const pen = film.clean(LEFT + across * (wide + GAP), lines * high,
        `The frames that the network gets of ${said}, each as two pictures, brighter and darker events: ` +
        `${told.join("; ")}. The moment shown is in frame ${frames[current].number}.`);
      pen.textAlign = "center";
      frames.forEach((frame, k) => {
        const left = LEFT + (k % across) * (wide + GAP), top = Math.floor(k / across) * high + GAP / 2;
        [1, 0].forEach((polarity, row) => {
          const upper = top + row * (tall + GAP / 2);
          pen.fillStyle = HUES[polarity];
          if (k % across === 0) mark(pen, LEFT / 2 - 1, upper + tall / 2, polarity, 9);
          counts[k][polarity].forEach((count, cell) => {
            if (!count) return;
            pen.globalAlpha = 0.2 + (0.8 * count) / most;
            const [column, line] = [cell % columns, Math.floor(cell / columns)];
            pen.fillRect(left + (column * wide) / columns, upper + (line * tall) / rows, wide / columns, tall / rows);
          });
          pen.globalAlpha = k === current ? 1 : 0.35;
          pen.lineWidth = k === current ? 2 : 1;
          pen.strokeStyle = INK;
          pen.strokeRect(left, upper, wide, tall);
          pen.globalAlpha = 1;
        });
        pen.fillStyle = INK;
        const under = top + 2 * tall + GAP / 2;
        pen.fillText(`frame ${frame.number}`, left + wide / 2, under + 14);
        pen.font = "11px sans-serif";
        pen.fillText(range(frame), left + wide / 2, under + 28);
        pen.font = "12px sans-serif";
      });
      note.textContent = `${n} ${n === 1 ? "frame" : "frames"} of two polarities: ${2 * n} channels of the network's ` +
        `input. Full colour stands for ${most} events in a cell of the ${columns} × ${rows} drawn here.`;
    }

    function draw() {
      const events = played(), { frames } = events, n = frames.length;
      const to = Math.min(model.get("time") ?? ms(), length()), from = Math.max(to - model.get("window"), 0);
      const last = to === length() ? events.t.length : firstAt(events.t, 1000 * to);
      const window = { from, to, first: firstAt(events.t, 1000 * from), last };
      const shuffled = model.get("order") === "shuffled";
      const cut = `cut by ${model.get("by")} into ${n}`;
      const order = frames.map((frame) => frame.number).join(", ");
      const said = model.get("recording") + (shuffled ? `, ${cut} and put together as ${order}` : "");
      drawCloud(events, window, said);
      const bright = drawCamera(events, window, said);
      film.heading.textContent = shuffled ? `The same frames, shuffled: ${order}` : "The frames that the network gets";
      drawFrames(events, to, said);
      const lasts = `${events.t.length} events in ${rounded()} ms` +
        (still ? "" : `, played in ${fixed((length() * model.get("slower")) / 1000, 1)} s`);
      const longest = Math.max(...frames.map((f) => f.to - f.from)) / 1000;
      const fullest = Math.max(...frames.map((f) => f.last - f.first));
      return `${recording().stored.label}: ${lasts}. In the ${model.get("window")} ms up to ${fixed(to, 0)} ms: ` +
        `${bright} brighter, ${last - window.first - bright} darker. ` +
        `${n} ${n === 1 ? "frame" : "frames"} by ${model.get("by")}: the fullest has ${fullest} events, the longest ` +
        `lasts ${fixed(longest, 1)} ms${shuffled ? `. Shuffled: ${order}` : ""}.`;
    }

    const choices = node("div", { class: "mst-controls mst-more" }, ...inner.slice(2).map((control) => control.root));
    const body = [node("div", { class: "mst-panels" }, cloud.root, camera.root), choices, film.root];
    return explorer({ model, el, watch: WATCHED, controls, inner, body, draw });
  }

  root.mstExplorers.views.events = { render, decode, slices, mixed, rearranged, counted };
})(globalThis);
