// Hours and kilowatt-hours of a training or a simulation, by device, with every assumption shown.
(function (root) {
  "use strict";
  const { node, select, choice, slider, curve, powersOfTwo, explorer, fixed } = root.mstExplorers.parts;
  const PASSES = { train: 3, distil: 4 };
  const STYLES = [
    "mst-purple mst-dashdot", "mst-blue", "mst-red mst-dashed", "mst-green mst-dotted", "mst-ink mst-thin",
  ];
  const MOST = 64;

  // mstlib.explorers.CostExplorer.cost: [hours, kilowatt-hours]
  function cost(s, name, count) {
    const machine = s.machines[name], [train, test] = s.sets[s.data];
    let hours;
    if ("flops" in machine) {
      const flops = s.task === "simulate"
        ? 2 * s.work * test * s.steps
        : 2 * s.work * PASSES[s.task] * train * s.epochs;
      hours = flops / (machine.flops * (s.utilisation / 100) * count) / 3600;
    } else if (s.task === "simulate") {
      hours = (test * s.steps) / machine.simulation / count / 3600;
    } else {
      hours = ((s.task === "distil" ? 4 / 3 : 1) * train * s.epochs) / machine.training / count / 3600;
    }
    return [hours, (hours * machine.watts * count * s.pue) / 1000];
  }

  // A number in about three digits, as people say it.
  function brief(v) {
    if (v >= 1e6) return `${fixed(v / 1e6, v >= 1e7 ? 0 : 1)} million`;
    if (v >= 100) return fixed(v, 0);
    if (v >= 10) return fixed(v, 1);
    return v >= 0.1 ? fixed(v, 2) : String(Number(v.toPrecision(2)));
  }

  function spoken(hours) {
    if (hours < 1 / 60) return `${brief(3600 * hours)} seconds`;
    if (hours < 1) return `${brief(60 * hours)} minutes`;
    if (hours < 48) return `${brief(hours)} hours`;
    return hours < 24 * 730 ? `${brief(hours / 24)} days` : `${brief(hours / 24 / 365)} years`;
  }

  function render({ model, el }) {
    const names = [
      "work", "sets", "machines", "task", "data", "epochs", "steps", "device", "devices", "utilisation", "pue",
    ];
    const machines = Object.keys(model.get("machines"));
    const controls = [
      choice(model, "task", {
        label: "What", options: [["train", "train"], ["distil", "distil a student"], ["simulate", "simulate"]],
      }),
      select(model, "data", { label: "Data set", options: Object.keys(model.get("sets")) }),
      select(model, "device", { label: "Device", options: machines }),
      slider(model, "devices", { label: "Devices", min: 1, max: MOST }),
      slider(model, "epochs", { label: "Epochs (training)", min: 1, max: 300 }),
      slider(model, "steps", { label: "Steps T (simulation)", min: 1, max: 512 }),
      slider(model, "utilisation", {
        label: "Utilisation (estimates)", min: 1, max: 100, show: (v) => `${fixed(v, 0)} %`,
      }),
      slider(model, "pue", { label: "Building, PUE", min: 1, max: 2, step: 0.05, show: (v) => fixed(v, 2) }),
    ];
    const over = curve({
      title: "Hours against the number of devices", height: 290,
      items: [
        ...machines.map((text, k) => ({ mark: "line", style: STYLES[k % STYLES.length], text })),
        { mark: "dot", style: "mst-ink", text: "your choice" },
      ],
    });
    const body = node("tbody");
    const head = ["", "hours", "kWh", "from"].map((text) => node("th", { scope: "col" }, text));
    const caption = node("caption", { class: "mst-title" });
    const table = node("table", { class: "mst-costs" }, caption, node("thead", {}, node("tr", {}, ...head)), body);
    const listed = node("div", { class: "mst-panel" }, table);
    const how = node("p", { class: "mst-note mst-wide" });

    function draw() {
      const s = Object.fromEntries(names.map((name) => [name, model.get(name)]));
      const training = s.task !== "simulate", machine = s.machines[s.device];
      const [hours, kwh] = cost(s, s.device, s.devices);
      const all = machines.flatMap((name) => [cost(s, name, 1)[0], cost(s, name, MOST)[0]]);
      const stops = powersOfTwo(MOST);
      const tens = (v) => Math.floor(Math.log10(v));
      const from = 10 ** tens(Math.min(...all)), to = 10 ** (tens(Math.max(...all)) + 1);
      const every = Math.max(1, Math.ceil((tens(to) - tens(from)) / 6));
      const ticks = [];
      for (let e = tens(from); e <= tens(to); e += every) {
        ticks.push([10 ** e, e < -3 || e > 5 ? `1e${e}` : String(10 ** e)]);
      }
      over.paint({
        x: { from: 1, to: MOST, log: true, label: "devices", ticks: stops },
        y: { from, to, log: true, label: "hours", ticks },
        lines: machines.map((name, k) => ({
          points: stops.map(([n]) => [n, cost(s, name, n)[0]]), style: STYLES[k % STYLES.length],
        })),
        dots: [{ x: s.devices, y: hours }],
        label: `Hours against the number of devices, both in powers. With ${s.devices}: ` +
          machines.map((name) => `${name} ${spoken(cost(s, name, s.devices)[0])}`).join(", ") + ".",
      });
      caption.textContent = `With ${s.devices} ${s.devices === 1 ? "device" : "devices"}`;
      body.replaceChildren(...machines.map((name) => {
        const [h, e] = cost(s, name, s.devices), known = "flops" in s.machines[name] ? "estimate" : "measured";
        return node("tr", {}, node("th", { scope: "row" }, name), node("td", {}, brief(h)), node("td", {}, brief(e)),
          node("td", {}, known));
      }));
      const [train, test] = s.sets[s.data];
      const images = training ? `${train} images × ${s.epochs} epochs` : `${test} images × ${s.steps} steps`;
      const passes = training ? ` × ${PASSES[s.task]} passes` : "";
      const unit = training ? "images" : "image steps";
      const rate = "flops" in machine
        ? `${brief(machine.flops / 1e12)} Tflop/s of the maker × ${fixed(s.utilisation, 0)} %, an estimate`
        : `${training ? machine.training : machine.simulation} ${unit} a second, measured`;
      how.textContent = `${images}${passes} × ${brief((2 * s.work) / 1e9)} Gflop; ${s.device}: ${rate}; ` +
        `${machine.watts} W × ${s.devices} × PUE ${fixed(s.pue, 2)}. ` +
        "Devices are taken to share the work perfectly, and to multiply by zeros as by other numbers.";
      const what = { train: "Training", distil: "Distilling a student", simulate: "Simulating" }[s.task];
      const long = training ? `${s.epochs} epochs of ${s.data}` : `the test images of ${s.data} for ${s.steps} steps`;
      return `${what}, ${long}, on ${s.devices} × ${s.device}: ${spoken(hours)}, ${brief(kwh)} kWh` +
        `${"flops" in machine ? " (estimated, not measured)" : " (measured rate, assumed power)"}.`;
    }

    const panels = [node("div", { class: "mst-panels" }, over.root, listed), how];
    return explorer({ model, el, watch: names, controls, body: panels, draw });
  }

  root.mstExplorers.views.cost = { render, cost, spoken };
})(globalThis);
