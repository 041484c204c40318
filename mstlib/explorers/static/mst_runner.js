// Runs networks for the explorers of a page without a kernel: in a worker, so that the page stays
// quick, or, where no worker can be started, a few steps at a time between the page's own work.
//
// An explorer that wants a network to answer has a setting `answer` and a `backend` of its name
// here. In JupyterLab the same setting is filled by Python (mstlib/explorers/network.py).
(function (root) {
  "use strict";
  const shared = root.mstExplorers;
  const { engine } = shared;

  // Holds networks and answers requests; the worker runs the text of this function.
  function makeDesk(core) {
    const networks = {}, unmasked = new Map();

    function add(name, model) {
      networks[name] = core.network(model);
      const { in_channels: channels, image_size: size } = networks[name].config;
      // Once for nothing: a browser compiles what it has seen run.
      networks[name].run({ pixels: new Float64Array(channels * size * size).fill(1), steps: 8 });
    }

    // One run, with a pause every few steps for whoever wants to do something else meanwhile.
    function* running(request, masking) {
      const began = performance.now();
      let paused = 0;
      const run = networks[request.network].start({ ...request, masking });
      while (!run.done) {
        run.step();
        if (run.taken % 4 === 0) {
          const left = performance.now();
          yield;
          paused += performance.now() - left;
        }
      }
      return run.answer(performance.now() - began - paused);
    }

    const masks = ({ masking }) => masking.attention > 0 || masking.mlp > 0;

    // The masked run beside the unmasked one, which is kept: most settings leave it as it is.
    function* answering(request) {
      const key = JSON.stringify([request.network, request.steps, request.record, request.watch, request.shown]);
      if (!unmasked.has(key)) {
        if (unmasked.size > 20) unmasked.clear();
        unmasked.set(key, yield* running(request, {}));
      }
      const plain = unmasked.get(key);
      return { masked: masks(request) ? yield* running(request, request.masking) : plain, unmasked: plain };
    }

    // How long both take, one after the other.
    function* timing(request) {
      const plain = yield* running(request, {});
      const masked = masks(request) ? yield* running(request, request.masking) : plain;
      return [plain.milliseconds, masked.milliseconds];
    }

    return { add, jobs: { answering, timing } };
  }

  // ---- where the work is done: a worker, or this page ----

  function inWorker() {
    const text = `"use strict";
      const desk = (${makeDesk})(${engine.source});
      onmessage = ({ data: { add, model, job, request } }) => {
        if (add) return desk.add(add, model);
        const work = desk.jobs[job](request);
        let step = work.next();
        while (!step.done) step = work.next();
        postMessage(step.value);
      };`;
    const worker = new Worker(URL.createObjectURL(new Blob([text], { type: "text/javascript" })));
    return {
      add: (name, model) => worker.postMessage({ add: name, model }),
      ask: (job, request) => new Promise((resolve, reject) => {
        worker.onmessage = ({ data }) => resolve(data);
        worker.onerror = (event) => reject(new Error(event.message));
        worker.postMessage({ job, request });
      }),
    };
  }

  function inPage() {
    const desk = makeDesk(engine);
    return {
      add: desk.add,
      ask: (job, request) => new Promise((resolve, reject) => {
        const work = desk.jobs[job](request);
        const go = () => {
          try {
            const step = work.next();
            if (step.done) resolve(step.value);
            else setTimeout(go);
          } catch (trouble) {
            reject(trouble);
          }
        };
        go();
      }),
    };
  }

  let place = null;
  const known = new Set();

  // The worker is shared by all explorers of the page and does one thing after the other.
  let queue = Promise.resolve();
  function ask(job, request) {
    const asked = queue.then(async () => {
      if (!place) {
        try {
          place = inWorker();
        } catch {
          place = inPage();
        }
      }
      if (!known.has(request.network)) {
        await shared.load(`models/${request.network}.js`);
        place.add(request.network, shared.models[request.network]);
        known.add(request.network);
      }
      return place.ask(job, request);
    });
    queue = asked.catch(() => null);
    return asked;
  }

  // ---- pictures ----

  const INKS = "0123456789abcdefg";

  // An 8×8 digit of ink levels 0 to 16, enlarged to 32×32 as mstlib/data/digits.py does: [0, 1].
  function enlarged(text) {
    const ink = [...text].map((c) => INKS.indexOf(c) / 16), side = 32;
    const at = (i) => {
      const from = Math.max(0, (i + 0.5) / 4 - 0.5), low = Math.floor(from);
      return [low, Math.min(low + 1, 7), from - low];
    };
    return Float64Array.from({ length: side * side }, (_, k) => {
      const [top, bottom, down] = at(Math.floor(k / side)), [left, right, across] = at(k % side);
      const row = (r) => ink[8 * r + left] * (1 - across) + ink[8 * r + right] * across;
      return row(top) * (1 - down) + row(bottom) * down;
    });
  }

  // The pixels of a board, from bytes H×W×C to numbers C×H×W in [0, 1].
  function board(text) {
    const bytes = engine.decode(text), area = bytes.length / 3;
    return Float64Array.from({ length: bytes.length }, (_, k) => bytes[3 * (k % area) + Math.floor(k / area)] / 255);
  }

  // The picture that a page's settings choose: as a network wants it, and as an explorer shows it.
  function picture(data, index, drawing = "") {
    const { mean, std, pictures, labels } = shared.pictures[data];
    const chosen = drawing || pictures[Math.min(index, pictures.length - 1)];
    const pixels = data === "digits" ? enlarged(chosen) : board(chosen);
    const channels = mean.length, area = pixels.length / channels;
    const bytes = Uint8Array.from({ length: pixels.length }, (_, k) =>
      Math.round(255 * pixels[(k % channels) * area + Math.floor(k / channels)]));
    return {
      pixels: pixels.map((value, k) => (value - mean[Math.floor(k / area)]) / std[Math.floor(k / area)]),
      shown: {
        side: Math.sqrt(area), channels, pixels: engine.encode(bytes),
        label: drawing ? null : labels[Math.min(index, pictures.length - 1)],
      },
    };
  }

  // ---- the live explorer ----

  const SETTINGS = ["network", "picture", "drawing", "ratio", "mlp_ratio", "steps", "seed", "layer", "block"];

  // What the page asks of the engine for some settings.
  async function requestFor(settings) {
    const name = settings.network;
    await shared.load(`models/${name}.js`);
    const { config, data } = shared.models[name];
    await shared.load(`models/pictures-${data}.js`);
    // Only networks that read digits are shown a drawing; any other shows its picture.
    const { pixels, shown } = picture(data, settings.picture, data === "digits" ? settings.drawing : "");
    const stage = config.depths.reduce(([s, left], depth) => (left >= depth ? [s + 1, left - depth] : [s, left]),
      [0, settings.block]);
    const mapped = `layers.${Math.min(stage[0], config.depths.length - 1)}.blocks.${stage[1]}.mlp.fc2_if`;
    return {
      about: { data, shown },
      request: {
        network: name, pixels, shown: shown.pixels, steps: settings.steps, seed: settings.seed,
        masking: { attention: settings.ratio, mlp: settings.mlp_ratio },
        record: [...new Set([settings.layer, mapped])], watch: settings.block,
      },
    };
  }

  async function answerFor(settings) {
    const { about: { data, shown }, request } = await requestFor(settings);
    const runs = await ask("answering", request);
    const { classes, pictures } = shared.pictures[data], shapes = shared.shapes(settings.network);
    const answer = {
      key: JSON.stringify(settings), classes, pictures: pictures.length, ...shapes, picture: shown, ...runs,
    };
    return { answer, request };
  }

  // The layers of a network, and the side of each block's map of tokens.
  const shapesOf = new Map();
  shared.shapes = (name) => {
    if (!shapesOf.has(name)) {
      const network = engine.network(shared.models[name]);
      shapesOf.set(name, {
        layers: Object.fromEntries(network.neurons.map((layer) => [layer.name, layer.shape])),
        sides: network.blocks.map((block) => block.side),
      });
    }
    return shapesOf.get(name);
  };

  const median = (numbers) => numbers.sort((a, b) => a - b)[Math.floor(numbers.length / 2)];

  // Keeps a model's `answer` true to its settings. While one answer is being made, newer settings
  // wait, and only the newest of them is asked for.
  function attach(model, trouble) {
    let busy = false, again = false, pause = null;
    const present = () => Object.fromEntries(SETTINGS.map((name) => [name, model.get(name)]));

    async function refresh() {
      clearTimeout(pause);
      again = busy;
      if (busy) return;
      busy = true;
      try {
        do {
          again = false;
          const { answer, request } = await answerFor(present());
          model.set("answer", answer);
          if (!again) pause = setTimeout(() => time(answer, request).catch(trouble), 400);
        } while (again);
      } catch (error) {
        trouble(error);
      } finally {
        busy = false;
      }
    }

    // Once the reader rests: medians of a few runs in turn, as long as nothing else is asked.
    async function time(answer, request) {
      const pairs = [];
      while (pairs.length < 5) {
        if (busy || model.get("answer") !== answer) return;
        pairs.push(await ask("timing", request));
      }
      const [unmasked, masked] = [0, 1].map((k) => median(pairs.map((pair) => pair[k])));
      if (busy || model.get("answer") !== answer) return;
      model.set("answer", {
        ...answer,
        masked: { ...answer.masked, milliseconds: masked }, unmasked: { ...answer.unmasked, milliseconds: unmasked },
      });
    }

    for (const name of SETTINGS) model.on(`change:${name}`, refresh);
    refresh();
  }

  shared.backends = shared.backends || {};
  shared.backends.network = attach;
  shared.runner = { ask, answerFor, picture, enlarged };
})(globalThis);
