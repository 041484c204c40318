// Hours, kilowatt-hours and memory of a training or a simulation, with every assumption shown.
(function (root) {
  "use strict";
  const { node, select, choice, slider, curve, powersOfTwo, explorer, fixed, settings } = root.mstExplorers.parts;
  const NAMES = [
    "work", "sets", "machines", "memory", "task", "data", "epochs", "steps", "device", "devices", "batch",
    "utilisation", "pue",
  ];
  const PASSES = { train: 3, distil: 4 };
  const STYLES = [
    "mst-purple mst-dashdot", "mst-blue", "mst-red mst-dashed", "mst-green mst-dotted", "mst-ink mst-thin",
  ];
  const MOST = 64;

  // What was measured with the largest batch that is not larger than the present one.
  function rate(s, machine, what) {
    const smaller = machine.batch.filter((batch) => batch <= s.batch).length;
    return machine[what][Math.max(smaller, 1) - 1];
  }

  // mstlib.explorers.CostExplorer.held: 10⁹ bytes on each device, or null
  function held(s, name) {
    if (s.task === "simulate") return null;
    const teacher = s.task === "distil" ? s.memory.fixed / 4 : 0;
    const image = s.memory[s.machines[name].half ? "half" : "image"];
    return (s.memory.fixed + teacher + s.batch * image) / 1e9;
  }

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
      hours = (test * s.steps) / rate(s, machine, "simulation") / count / 3600;
    } else {
      hours = ((s.task === "distil" ? 4 / 3 : 1) * train * s.epochs) / rate(s, machine, "training") / count / 3600;
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

  // The most images at a time that a device has room for.
  function fitting(s, name) {
    const image = s.memory[s.machines[name].half ? "half" : "image"];
    return Math.max(0, Math.floor((s.machines[name].memory - held({ ...s, batch: 0 }, name)) * 1e9 / image));
  }

  function room(s, name) {
    const gigabytes = held(s, name), most = s.machines[name].memory;
    if (gigabytes === null) return "–";
    if (!most) return brief(gigabytes);
    return gigabytes > most ? `${brief(gigabytes)} of ${most}: too much` : `${brief(gigabytes)} of ${most}`;
  }

  const grouped = (count) => count.toLocaleString("en");

  function spoken(hours) {
    if (hours < 1 / 60) return `${brief(3600 * hours)} seconds`;
    if (hours < 1) return `${brief(60 * hours)} minutes`;
    if (hours < 48) return `${brief(hours)} hours`;
    return hours < 24 * 730 ? `${brief(hours / 24)} days` : `${brief(hours / 24 / 365)} years`;
  }

  // The axis of hours: the powers of ten around all that may be shown, at most some seven of them.
  function hoursAxis(all) {
    const tens = (v) => Math.floor(Math.log10(v));
    const low = tens(Math.min(...all)), high = tens(Math.max(...all)) + 1;
    const every = Math.max(1, Math.ceil((high - low) / 6));
    const ticks = [];
    for (let e = low; e <= high; e += every) ticks.push([10 ** e, e < -3 || e > 5 ? `1e${e}` : String(10 ** e)]);
    return { from: 10 ** low, to: 10 ** high, log: true, label: "hours", ticks };
  }

  // How the hours and kilowatt-hours come about, with everything that was assumed.
  function assumptions(s) {
    const training = s.task !== "simulate", machine = s.machines[s.device], [train, test] = s.sets[s.data];
    const images = training
      ? `${grouped(train)} images × ${s.epochs} epochs × ${PASSES[s.task]} passes`
      : `${grouped(test)} images × ${s.steps} steps`;
    const updates = Math.max(1, Math.floor(train / (s.batch * s.devices))) * s.epochs;
    const speed = "flops" in machine
      ? `${brief(machine.flops / 1e12)} Tflop/s of the maker × ${fixed(s.utilisation, 0)} %, an estimate`
      : training ? `${rate(s, machine, "training")} images a second, measured`
        : `${rate(s, machine, "simulation")} image steps a second, measured`;
    return `${images} × ${brief((2 * s.work) / 1e9)} Gflop; ${s.device}: ${speed}; ` +
      `${machine.watts} W × ${s.devices} × PUE ${fixed(s.pue, 2)}. ` +
      "Devices are taken to share the work perfectly, and to multiply by zeros as by other numbers. " +
      (training
        ? `${s.batch} × ${s.devices} images an update make ${grouped(updates)} updates. ` +
          "GB: weights, gradients, moments, " +
          `and ${brief(s.memory[machine.half ? "half" : "image"] / 1e6)} MB an image. ` +
          "The batch does not change an estimate's hours."
        : "A simulation takes its images in pieces that fit.");
  }

  // The result in a sentence.
  function verdict(s) {
    const training = s.task !== "simulate", machine = s.machines[s.device], [hours, kwh] = cost(s, s.device, s.devices);
    const what = { train: "Training", distil: "Distilling a student", simulate: "Simulating" }[s.task];
    const long = training ? `${s.epochs} epochs of ${s.data}` : `the test images of ${s.data} for ${s.steps} steps`;
    const most = training && machine.memory ? fitting(s, s.device) : s.batch;
    const fits = most >= s.batch ? "" : most < 1 ? " It does not fit." :
      ` ${s.batch} images do not fit: take up to ${most} at a time, and accumulate.`;
    return `${what}, ${long}, on ${s.devices} × ${s.device}: ${spoken(hours)}, ${brief(kwh)} kWh` +
      `${"flops" in machine ? " (estimated, not measured)" : " (measured rate, assumed power)"}.${fits}`;
  }

  function render({ model, el }) {
    const machines = Object.keys(model.get("machines"));
    const controls = {
      task: choice(model, "task", {
        label: "What", options: [["train", "train"], ["distil", "distil a student"], ["simulate", "simulate"]],
      }),
      data: select(model, "data", { label: "Data set", options: Object.keys(model.get("sets")) }),
      device: select(model, "device", { label: "Device", options: machines }),
      devices: slider(model, "devices", { label: "Devices", min: 1, max: MOST }),
      batch: slider(model, "batch", {
        label: "Batch on each", min: 0, max: 9, read: (n) => Math.round(Math.log2(n)), write: (k) => 2 ** k,
        show: (n) => `${n} ${n === 1 ? "image" : "images"}`,
      }),
      epochs: slider(model, "epochs", { label: "Epochs", min: 1, max: 300 }),
      steps: slider(model, "steps", { label: "Steps T", min: 1, max: 512 }),
      utilisation: slider(model, "utilisation", {
        label: "Utilisation (estimates)", min: 1, max: 100, show: (v) => `${fixed(v, 0)} %`,
      }),
      pue: slider(model, "pue", { label: "Building, PUE", min: 1, max: 2, step: 0.05, show: (v) => fixed(v, 2) }),
    };
    const over = curve({
      title: "Hours against the number of devices", height: 290,
      items: [
        ...machines.map((text, k) => ({ mark: "line", style: STYLES[k % STYLES.length], text })),
        { mark: "dot", style: "mst-ink", text: "your choice" },
      ],
    });
    const body = node("tbody");
    const head = ["device", "hours", "kWh", "GB each", "from"].map((text) => node("th", { scope: "col" }, text));
    const caption = node("caption", { class: "mst-title" });
    const table = node("table", { class: "mst-costs" }, caption, node("thead", {}, node("tr", {}, ...head)), body);
    const listed = node("div", { class: "mst-panel mst-wide" }, table);
    const how = node("p", { class: "mst-note mst-wide" });

    function drawHours(s) {
      const stops = powersOfTwo(MOST);
      over.paint({
        x: { from: 1, to: MOST, log: true, label: "devices", ticks: stops },
        y: hoursAxis(machines.flatMap((name) => [cost(s, name, 1)[0], cost(s, name, MOST)[0]])),
        lines: machines.map((name, k) => ({
          points: stops.map(([n]) => [n, cost(s, name, n)[0]]), style: STYLES[k % STYLES.length],
        })),
        dots: [{ x: s.devices, y: cost(s, s.device, s.devices)[0] }],
        label: "Hours against the number of devices, both in powers. " +
          `Your choice: ${s.devices} × ${s.device}. With ${s.devices}: ` +
          machines.map((name) => `${name} ${spoken(cost(s, name, s.devices)[0])}`).join(", ") + ".",
      });
    }

    function draw() {
      const s = settings(model, NAMES), training = s.task !== "simulate";
      // What has no influence is not offered.
      controls.epochs.root.hidden = !training;
      controls.steps.root.hidden = training;
      controls.batch.root.hidden = !training && "flops" in s.machines[s.device];
      drawHours(s);
      caption.textContent = `With ${s.devices} ${s.devices === 1 ? "device" : "devices"}`;
      body.replaceChildren(...machines.map((name) => {
        const [h, e] = cost(s, name, s.devices), known = "flops" in s.machines[name] ? "estimate" : "measured";
        return node("tr", {}, node("th", { scope: "row" }, name),
          ...[brief(h), brief(e), room(s, name), known].map((text) => node("td", {}, text)));
      }));
      how.textContent = assumptions(s);
      return verdict(s);
    }

    over.root.classList.add("mst-wide");
    const panels = [node("div", { class: "mst-panels" }, over.root, listed), how];
    return explorer({ model, el, watch: NAMES, controls: Object.values(controls), body: panels, draw });
  }

  root.mstExplorers.views.cost = { render, cost, held, fitting, spoken };
})(globalThis);
