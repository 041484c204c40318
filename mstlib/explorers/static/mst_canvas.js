// Two square pictures made of small cells: one to look at, and one to draw a digit on.
//
// A drawing is 32×32 cells, inked or not. Its setting is what the data set would have kept of it: the
// number of inked cells, 0 to 16, in each of the 8×8 fields of 4×4 cells.
(function (root) {
  "use strict";
  const { node, change, KEEP_KEYS } = root.mstExplorers.parts;
  const SIDE = 32, FIELD = 4, FIELDS = SIDE / FIELD;
  const LEVELS = "0123456789abcdefg";
  const PEN = 2.1; // radius in cells: strokes about four cells wide, as in the data set
  const STRIDE = 2; // cells that an arrow key moves the pen
  const PAPER = "#111820", INK = "#f4f6f8", LINES = "#3d4a57", PEN_UP = "#56b4e9", PEN_DOWN = "#ee8a4a";

  // Which field a cell lies in.
  const fieldOf = (x, y) => Math.floor(y / FIELD) * FIELDS + Math.floor(x / FIELD);

  // Cells to text: 64 ink levels, or "" if there is no ink.
  function inks(cells) {
    const levels = new Array(FIELDS * FIELDS).fill(0);
    cells.forEach((inked, k) => (levels[fieldOf(k % SIDE, Math.floor(k / SIDE))] += inked));
    return levels.some(Boolean) ? levels.map((level) => LEVELS[level]).join("") : "";
  }

  // Text to cells: as much ink in each field as it says, from its upper left corner on.
  function cellsOf(text) {
    const cells = new Uint8Array(SIDE * SIDE), left = Array.from(text, (c) => LEVELS.indexOf(c));
    if (text) {
      for (let k = 0; k < cells.length; k++) {
        const field = fieldOf(k % SIDE, Math.floor(k / SIDE));
        if (left[field] > 0) {
          cells[k] = 1;
          left[field]--;
        }
      }
    }
    return cells;
  }

  // Ink all cells under a round pen that goes from one place to another.
  function stroke(cells, [x0, y0], [x1, y1]) {
    const stamps = Math.max(1, Math.ceil(2 * Math.hypot(x1 - x0, y1 - y0)));
    for (let i = 0; i <= stamps; i++) {
      const x = x0 + ((x1 - x0) * i) / stamps, y = y0 + ((y1 - y0) * i) / stamps;
      for (let row = Math.max(0, Math.floor(y - PEN)); row < Math.min(SIDE, y + PEN); row++) {
        for (let column = Math.max(0, Math.floor(x - PEN)); column < Math.min(SIDE, x + PEN); column++) {
          if (Math.hypot(column + 0.5 - x, row + 0.5 - y) <= PEN) cells[row * SIDE + column] = 1;
        }
      }
    }
  }

  // A picture to look at. paint() takes { side, channels, pixels } with a byte for each channel.
  function picture(title) {
    const canvas = node("canvas", { class: "mst-board", role: "img", width: SIDE, height: SIDE });
    const heading = node("p", { class: "mst-title" }, title);
    return {
      root: node("div", { class: "mst-panel" }, heading, canvas),
      heading,
      paint({ side, channels, pixels }, label) {
        canvas.width = canvas.height = side;
        canvas.setAttribute("aria-label", label);
        const pen = canvas.getContext("2d"), image = pen.createImageData(side, side);
        for (let k = 0; k < side * side; k++) {
          for (let c = 0; c < 3; c++) image.data[4 * k + c] = pixels[k * channels + (channels === 3 ? c : 0)];
          image.data[4 * k + 3] = 255;
        }
        pen.putImageData(image, 0, 0);
      },
    };
  }

  // A control whose setting is a drawing: by mouse, touch or pen, or with the arrow keys and Space.
  function drawing(model, name, { title }) {
    const ZOOM = 8;
    let cells = cellsOf(""), last = null, waiting = false, pen = [SIDE / 2, SIDE / 4], down = false;
    const canvas = node("canvas", {
      class: "mst-board mst-drawing", role: "application", tabindex: 0, width: SIDE * ZOOM, height: SIDE * ZOOM,
      "data-setting": name, "aria-roledescription": "drawing area", ...KEEP_KEYS,
    });
    const clear = node("button", { type: "button", class: "mst-button", ...KEEP_KEYS }, "Clear");
    const help = node("p", { class: "mst-note" });

    function paint() {
      const context = canvas.getContext("2d");
      context.fillStyle = PAPER;
      context.fillRect(0, 0, canvas.width, canvas.height);
      context.fillStyle = LINES;
      for (let k = 1; k < FIELDS; k++) {
        context.fillRect(k * FIELD * ZOOM, 0, 2, canvas.height);
        context.fillRect(0, k * FIELD * ZOOM, canvas.width, 2);
      }
      context.fillStyle = INK;
      cells.forEach((inked, k) => {
        if (inked) context.fillRect((k % SIDE) * ZOOM, Math.floor(k / SIDE) * ZOOM, ZOOM, ZOOM);
      });
      if (canvas.matches(":focus-visible")) {
        context.strokeStyle = down ? PEN_DOWN : PEN_UP;
        context.lineWidth = 3;
        context.beginPath();
        context.arc(pen[0] * ZOOM, pen[1] * ZOOM, PEN * ZOOM, 0, 2 * Math.PI);
        context.stroke();
      }
      const inked = cells.reduce((a, b) => a + b, 0);
      canvas.setAttribute("aria-label", `${title}: ${inked ? `${inked} of ${SIDE * SIDE} cells inked` : "empty"}` +
        (down ? ", pen down" : ", pen up"));
      help.textContent = "Draw large, from the upper edge to the lower. With keys: Space puts the pen down and lifts " +
        "it, the arrows move it.";
    }

    // However fast the pen moves, the setting changes once a frame.
    function tell() {
      paint();
      if (waiting) return;
      waiting = true;
      root.requestAnimationFrame(() => {
        waiting = false;
        change(model, name, inks(cells));
      });
    }

    const place = (event) => [
      (event.offsetX / canvas.clientWidth) * SIDE, (event.offsetY / canvas.clientHeight) * SIDE,
    ];
    canvas.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      canvas.setPointerCapture(event.pointerId);
      last = place(event);
      stroke(cells, last, last);
      tell();
    });
    canvas.addEventListener("pointermove", (event) => {
      if (!last) return;
      const now = place(event);
      stroke(cells, last, now);
      last = now;
      tell();
    });
    for (const end of ["pointerup", "pointercancel"]) canvas.addEventListener(end, () => (last = null));

    const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    canvas.addEventListener("keydown", (event) => {
      if (event.key === " ") down = !down;
      else if (!ARROWS[event.key]) return;
      event.preventDefault();
      const before = pen, inside = (v) => Math.min(Math.max(v, 1), SIDE - 1);
      if (ARROWS[event.key]) pen = pen.map((v, axis) => inside(v + STRIDE * ARROWS[event.key][axis]));
      if (!down) return paint();
      stroke(cells, before, pen);
      tell();
    });
    canvas.addEventListener("focus", paint);
    canvas.addEventListener("blur", () => {
      down = false;
      paint();
    });
    clear.addEventListener("click", () => {
      cells = cellsOf("");
      tell();
    });

    return {
      root: node("div", { class: "mst-panel" }, node("p", { class: "mst-title" }, title), canvas, clear, help),
      update() {
        if (!waiting && model.get(name) !== inks(cells)) cells = cellsOf(model.get(name));
        paint();
      },
    };
  }

  Object.assign(root.mstExplorers.parts, { picture, drawing });
  root.mstExplorers.drawings = { inks, cellsOf, stroke };
})(globalThis);
