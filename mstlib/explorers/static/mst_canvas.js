// Two square pictures made of small cells: one to look at, and one to draw a digit on.
//
// A drawing becomes what the data set keeps of a digit: it is brought to full size in the middle of
// 32×32 cells, inked or not, and of each of the 8×8 fields of 4×4 cells the inked ones are counted.
// The setting of the control is these counts, 0 to 16, as 64 characters.
(function (root) {
  "use strict";
  const { node, change, KEEP_KEYS } = root.mstExplorers.parts;
  const SIDE = 32, FIELD = 4, FIELDS = SIDE / FIELD;
  const LEVELS = "0123456789abcdefg";
  const PEN = 2.1; // radius in cells: strokes about four cells wide, as in the data set
  const STRIDE = 2; // cells that an arrow key moves the pen
  const WIDTH = 22; // of most digits of the data set; their height is all there is
  const LARGEST = 4, STRETCH = 1.5; // times: a dot stays small, and an upright 1 narrow
  const PAPER = "#111820", INK = "#f4f6f8", PEN_UP = "#56b4e9", PEN_DOWN = "#ee8a4a";

  // Which field a cell lies in.
  const fieldOf = (k) => Math.floor(Math.floor(k / SIDE) / FIELD) * FIELDS + Math.floor((k % SIDE) / FIELD);

  // Cells to text: 64 ink levels, or "" if there is no ink.
  function inks(cells) {
    const levels = new Array(FIELDS * FIELDS).fill(0);
    cells.forEach((inked, k) => (levels[fieldOf(k)] += inked));
    return levels.some(Boolean) ? levels.map((level) => LEVELS[level]).join("") : "";
  }

  // Text to cells: as much ink in each field as it says, from its upper left corner on.
  function cellsOf(text) {
    const left = Array.from(text, (c) => LEVELS.indexOf(c));
    return Uint8Array.from({ length: SIDE * SIDE }, (_, k) => (left[fieldOf(k)]-- > 0 ? 1 : 0));
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

  // The cells under all strokes; a stroke is the places that the pen went through.
  function render(strokes) {
    const cells = new Uint8Array(SIDE * SIDE);
    for (const places of strokes) places.forEach((place, k) => stroke(cells, places[Math.max(k - 1, 0)], place));
    return cells;
  }

  // The same strokes in the middle and at full size, drawn with the same pen.
  function fitted(strokes) {
    const [across, down] = [0, 1].map((axis) => {
      const along = strokes.flat().map((place) => place[axis]);
      const from = Math.min(...along), to = Math.max(...along);
      return { middle: (from + to) / 2, size: to - from };
    });
    const taller = Math.min((SIDE - 2 * PEN) / down.size, LARGEST);
    const wider = Math.min((WIDTH - 2 * PEN) / across.size, taller * STRETCH);
    return strokes.map((places) => places.map(([x, y]) => [
      SIDE / 2 + wider * (x - across.middle), SIDE / 2 + taller * (y - down.middle),
    ]));
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
    let strokes = [], cells = cellsOf(""), told = "", waiting = false;
    let pen = [SIDE / 2, SIDE / 4], down = false, held = false; // by the keys, by a pointer
    const canvas = node("canvas", {
      class: "mst-board mst-drawing", role: "application", tabindex: 0, width: SIDE * ZOOM, height: SIDE * ZOOM,
      "data-setting": name, "aria-roledescription": "drawing area", ...KEEP_KEYS,
    });
    const clear = node("button", { type: "button", class: "mst-button", ...KEEP_KEYS }, "Clear");
    const help = node("p", { class: "mst-note" }, "Any size will do: as the digits of the data set were, yours is " +
      "brought to full size first. With keys: Space puts the pen down and lifts it, the arrows move it.");

    function paint() {
      const context = canvas.getContext("2d");
      context.fillStyle = PAPER;
      context.fillRect(0, 0, canvas.width, canvas.height);
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
      if (!inked) {
        context.font = "18px sans-serif";
        context.textAlign = "center";
        context.fillText("draw here", canvas.width / 2, canvas.height / 2);
      }
      canvas.setAttribute("aria-label", `${title}: ${inked ? `${inked} of ${SIDE * SIDE} cells inked` : "empty"}, ` +
        `pen ${down ? "down" : "up"}`);
    }

    // However fast the pen moves, the setting changes once a frame.
    function tell() {
      cells = render(strokes);
      paint();
      if (waiting) return;
      waiting = true;
      root.requestAnimationFrame(() => {
        waiting = false;
        told = strokes.length ? inks(render(fitted(strokes))) : "";
        change(model, name, told);
      });
    }
    function begin(place) {
      strokes.push([place]);
      tell();
    }
    function go(place) {
      strokes[strokes.length - 1].push(place);
      tell();
    }

    const place = (event) => [
      (event.offsetX / canvas.clientWidth) * SIDE, (event.offsetY / canvas.clientHeight) * SIDE,
    ];
    canvas.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      canvas.setPointerCapture(event.pointerId);
      held = true;
      begin(place(event));
    });
    canvas.addEventListener("pointermove", (event) => held && go(place(event)));
    for (const end of ["pointerup", "pointercancel"]) canvas.addEventListener(end, () => (held = false));

    const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    canvas.addEventListener("keydown", (event) => {
      const way = ARROWS[event.key];
      if (!way && event.key !== " ") return;
      event.preventDefault();
      if (way) pen = pen.map((v, axis) => Math.min(Math.max(v + STRIDE * way[axis], 1), SIDE - 1));
      else down = !down;
      if (!down) paint();
      else if (way) go(pen);
      else begin(pen);
    });
    canvas.addEventListener("focus", paint);
    canvas.addEventListener("blur", () => {
      down = false;
      paint();
    });
    clear.addEventListener("click", () => {
      strokes = [];
      tell();
    });

    return {
      root: node("div", { class: "mst-panel" }, node("p", { class: "mst-title" }, title), canvas, clear, help),
      update() {
        if (!waiting && model.get(name) !== told) { // someone else's drawing: a new stroke begins anew
          told = model.get(name);
          strokes = [];
          cells = cellsOf(told);
        }
        paint();
      },
    };
  }

  Object.assign(root.mstExplorers.parts, { picture, drawing });
  root.mstExplorers.drawings = { inks, cellsOf, render, fitted };
})(globalThis);
