// A Masked Spiking Transformer that runs in the page, event by event.
//
// Nothing is multiplied where a spike arrives: a spike is an event, and what it does is to *add* one
// row of weights to the neurons it reaches. A step costs as many additions as spikes are delivered,
// so a mask that drops spikes saves work that can be counted, and felt.
//
//   const network = engine.network(mstExplorers.models["mst-digits"]);
//   const run = network.run({ pixels, steps: 32, masking: { attention: 0.5, mlp: 0 }, seed: 0 });
//   run.logits;  run.emitted;  run.additions;
//
// All numbers are float64, as JavaScript's are. `mstlib.explorers.page.network` gives the same network to
// PyTorch; the tests compare both to the last spike. "Eq." are the equations of the paper.
//
// The whole engine is one function, so that its text can be handed to a worker of a page that was
// opened as a file, where no script may be fetched.
(function (root) {
  "use strict";

  function makeEngine() {
    // ---- random numbers for the masks: a hash of which spike it is, as in mstlib/masking.py ----

    function mix(h) {
      h = Math.imul(h ^ (h >>> 16), 0x7feb352d);
      h = Math.imul(h ^ (h >>> 15), 0x846ca68b);
      return h ^ (h >>> 16);
    }

    // What all spikes of one layer at one step share; then one more round for each neuron.
    const maskHead = (seed, site, step, image) =>
      mix(mix(mix(mix((seed & 0x7fffffff) + 0x5bd1e995) ^ site) ^ step) ^ image);
    const maskNumber = (head, unit) => mix(head ^ unit) >>> 8; // below 2^24

    // ---- the parts of a network ----

    // Spikes of one layer at one step: the numbers of the neurons that fired, in order.
    class Events {
      constructor(size) {
        this.list = new Int32Array(size);
        this.count = 0;
      }
    }

    // Integrate-and-fire neurons with soft reset (Eq. 2 and 3). Whoever feeds them writes `current`.
    class Neurons {
      constructor(name, shape, threshold) {
        this.name = name;
        this.shape = shape;
        this.size = shape.reduce((a, b) => a * b, 1);
        this.threshold = threshold;
        this.v = new Float64Array(this.size);
        this.current = new Float64Array(this.size);
        this.fired = new Events(this.size);
      }
      reset() {
        this.v.fill(this.threshold / 2);
        this.emitted = [];
      }
      fire() {
        const { v, current, threshold, size } = this, { list } = this.fired;
        let count = 0;
        for (let i = 0; i < size; i++) {
          const u = v[i] + current[i];
          if (u >= threshold) {
            v[i] = u - threshold;
            list[count++] = i;
          } else {
            v[i] = u;
          }
        }
        this.fired.count = count;
        this.emitted.push(count);
        return this.fired;
      }
    }

    // Random spike masking (§3.4): each spike of a layer is dropped with probability `ratio`.
    class Mask {
      constructor(name, kind, site, neurons) {
        Object.assign(this, { name, kind, site, neurons });
        this.kept = new Events(neurons.size);
      }
      reset(masking, seed, image) {
        this.image = image;
        this.ratio = masking[this.kind] || 0;
        this.limit = Math.floor(this.ratio * 2 ** 24);
        this.seed = seed;
        this.delivered = 0;
      }
      pass(events, step) {
        if (this.ratio === 0) return events;
        const head = maskHead(this.seed, this.site, step, this.image);
        let count = 0;
        for (let k = 0; k < events.count; k++) {
          const unit = events.list[k];
          if (maskNumber(head, unit) >= this.limit) this.kept.list[count++] = unit;
        }
        this.kept.count = count;
        this.delivered += count;
        return this.kept;
      }
    }

    // A linear layer of a map of tokens: each spike adds its row of weights to its token's outputs.
    // The weights are multiplied by the spikes' size θ beforehand, once, so that a spike is a 1.
    class Linear {
      constructor(name, { weight, bias, outputs, inputs, tokens }, threshold = 1) {
        Object.assign(this, { name, bias, outputs, inputs, tokens });
        this.rows = new Float64Array(inputs * outputs);
        for (let o = 0; o < outputs; o++) {
          for (let i = 0; i < inputs; i++) this.rows[i * outputs + o] = weight[o * inputs + i] * threshold;
        }
        this.dense = tokens * inputs * outputs; // multiplications of a network of numbers
      }
      reset() {
        this.additions = 0;
      }
      start(into) {
        for (let n = 0; n < this.tokens; n++) into.set(this.bias, n * this.outputs);
      }
      // `place` says which entry (token · inputs + channel) a neuron is, where they are sorted otherwise.
      spikes(events, into, place) {
        this.start(into);
        const { rows, inputs, outputs } = this;
        for (let k = 0; k < events.count; k++) {
          const entry = place ? place[events.list[k]] : events.list[k];
          const token = Math.floor(entry / inputs);
          const first = token * outputs, row = (entry - token * inputs) * outputs;
          for (let o = 0; o < outputs; o++) into[first + o] += rows[row + o];
        }
        this.additions += events.count * outputs;
      }
      // Numbers that are no spikes: these are multiplied (and counted as such, zeros included).
      numbers(x, into) {
        this.start(into);
        const { rows, inputs, outputs } = this;
        for (let entry = 0; entry < x.length; entry++) {
          const value = x[entry];
          if (value === 0) continue;
          const token = Math.floor(entry / inputs);
          const first = token * outputs, row = (entry - token * inputs) * outputs;
          for (let o = 0; o < outputs; o++) into[first + o] += value * rows[row + o];
        }
      }
    }

    // A convolution of an image, whose pixels are no spikes: it gives the first neurons their current.
    class Convolution {
      constructor(get, name, { channels, size, kernel, stride, padding }) {
        const weight = get(`${name}.weight`), bias = get(`${name}.bias`);
        Object.assign(this, { weight, bias, channels, size, kernel, stride, padding });
        this.side = Math.floor((size + 2 * padding - kernel) / stride) + 1;
        this.dense = this.side ** 2 * weight.length;
      }
      numbers(pixels, into) {
        const { weight, bias, channels, size, kernel, stride, padding, side } = this;
        const inner = channels * kernel * kernel, outputs = bias.length;
        if (pixels.length !== channels * size * size) {
          throw new Error(`an image has ${channels}·${size}·${size} pixels, not ${pixels.length}`);
        }
        for (let place = 0; place < side * side; place++) {
          const top = Math.floor(place / side) * stride - padding, left = (place % side) * stride - padding;
          for (let c = 0; c < outputs; c++) {
            let sum = bias[c];
            for (let k = 0; k < inner; k++) {
              const column = left + (k % kernel), row = top + (Math.floor(k / kernel) % kernel);
              if (row < 0 || column < 0 || row >= size || column >= size) continue; // beyond the edge
              const channel = Math.floor(k / kernel / kernel);
              sum += weight[c * inner + k] * pixels[(channel * size + row) * size + column];
            }
            into[place * outputs + c] = sum;
          }
        }
      }
    }

    // Adds θ to the entries of a map where a neuron fired.
    function addSpikes(x, events, threshold, place) {
      for (let k = 0; k < events.count; k++) x[place ? place[events.list[k]] : events.list[k]] += threshold;
    }

    // BatchNorm in evaluation: a scale and a shift for each channel (Eq. 8).
    function normalise(x, { weight, bias }, into) {
      const channels = weight.length;
      for (let first = 0; first < x.length; first += channels) {
        for (let c = 0; c < channels; c++) into[first + c] = x[first + c] * weight[c] + bias[c];
      }
    }

    // Which token stands where when tokens are sorted by window, after the shift.
    function windowOrder(side, window, shift) {
      const order = [];
      for (let row = 0; row < side; row += window) {
        for (let column = 0; column < side; column += window) {
          for (let i = 0; i < window; i++) {
            for (let j = 0; j < window; j++) {
              order.push(((row + i + shift) % side) * side + ((column + j + shift) % side));
            }
          }
        }
      }
      return order;
    }

    // Spiking self-attention inside windows (Eq. 6 and 7). Neurons of Q, K and V are numbered by
    // window, head, token and channel; those of the scores by window, head, query and key.
    class Attention {
      constructor(get, name, { tokens, side, width, heads, window, shift, softmax, site, input }) {
        const N = window * window, windows = tokens / N, d = width / heads;
        Object.assign(this, { N, windows, heads, d, width, tokens, softmax, name });
        const neurons = (part, ...shape) => get.neurons(`${name}.${part}`, ...shape);
        const mask = (part, k, of) => new Mask(`${name}.${part}`, "attention", site + k, of);

        this.qkv = new Linear(`${name}.qkv`, get.linear(`${name}.qkv`, tokens), input.threshold);
        this.mixed = new Float64Array(tokens * 3 * width);
        [this.q, this.k, this.v] = ["q_if", "k_if", "v_if"].map((part) => neurons(part, windows, heads, N, d));
        this.qMask = mask("q_mask", 0, this.q);
        this.kMask = mask("k_mask", 1, this.k);
        this.scores = neurons("attn_if", windows, heads, N, N);
        this.scoreMask = mask("attn_mask", 2, this.scores);
        this.out = neurons("attn_v_if", windows, heads, N, d);
        this.proj = new Linear(`${name}.proj`, get.linear(`${name}.proj`, tokens), this.out.threshold);
        this.projected = neurons("proj_if", windows, N, width);
        this.neurons = [this.q, this.k, this.v, this.scores, this.out, this.projected];
        this.masks = [this.qMask, this.kMask, this.scoreMask];
        this.linears = [this.qkv, this.proj];

        // The same neurons by window, head, token, channel; by token and channel; by window.
        this.order = windowOrder(side, window, shift);
        this.unit = new Int32Array(tokens * width); // entry of the map → neuron of Q, K or V
        this.byWindow = new Int32Array(tokens * width); // neuron of `out` → entry, tokens by window
        this.toMap = new Int32Array(tokens * width); // entry, tokens by window → entry of the map
        this.order.forEach((token, place) => {
          const w = Math.floor(place / N), n = place % N;
          for (let c = 0; c < width; c++) {
            const neuron = ((w * heads + Math.floor(c / d)) * N + n) * d + (c % d);
            this.unit[token * width + c] = neuron;
            this.byWindow[neuron] = place * width + c;
            this.toMap[place * width + c] = token * width + c;
          }
        });
        this.scale = this.q.threshold * this.k.threshold / Math.sqrt(d);
        this.weights = new Float64Array(windows * heads * N * N);
        this.buckets = { list: new Int32Array(windows * heads * d * N), count: new Int32Array(windows * heads * d) };
        this.apart = this.pairsApart(side, window, shift);
        if (softmax) this.prepareSoftmax(get(`${name}.relative_position_bias_table`), window);
      }

      // Pairs that the shift brought into one window though they are no neighbours: in the last
      // window of a row or a column, tokens from before the map's edge and from beyond it.
      pairsApart(side, window, shift) {
        const { windows, N, order } = this, across = side / window, apart = new Uint8Array(windows * N * N);
        if (!shift) return apart;
        const part = (at, last) => (last ? 1 + Number(at < shift) : 0);
        const region = order.map((token, place) => {
          const w = Math.floor(place / N);
          const row = part(Math.floor(token / side), Math.floor(w / across) === across - 1);
          return 3 * row + part(token % side, w % across === across - 1);
        });
        for (let pair = 0; pair < apart.length; pair++) {
          const query = Math.floor(pair / N), key = query - (query % N) + (pair % N);
          apart[pair] = Number(region[query] !== region[key]);
        }
        return apart;
      }

      // Scores are 0 or θ, so exp(score + bias) is one of two numbers: `silent`, or that + `gain`.
      prepareSoftmax(table, window) {
        const { N, heads, windows, apart } = this, span = 2 * window - 1, theta = this.scores.threshold;
        this.silent = new Float64Array(windows * heads * N * N);
        this.gain = new Float64Array(windows * heads * N * N);
        for (let row = 0; row < windows * heads * N; row++) {
          const n = row % N, h = Math.floor(row / N) % heads, w = Math.floor(row / N / heads);
          const bias = Array.from({ length: N }, (_, m) => {
            const down = Math.floor(n / window) - Math.floor(m / window), right = (n % window) - (m % window);
            return apart[(w * N + n) * N + m] ? -Infinity
              : table[((down + window - 1) * span + right + window - 1) * heads + h];
          });
          const greatest = Math.max(...bias);
          bias.forEach((b, m) => {
            this.silent[row * N + m] = Math.exp(b - greatest);
            this.gain[row * N + m] = Math.exp(b - greatest) * Math.expm1(theta);
          });
        }
      }

      reset() {
        this.scoreAdditions = this.mixAdditions = 0;
      }

      step(input, t) {
        const { qkv, q, k, v, mixed, unit, width } = this;
        qkv.spikes(input, mixed);
        for (let token = 0, entry = 0; token < this.tokens; token++) {
          for (let c = 0, at = 3 * token * width; c < width; c++, entry++, at++) {
            const neuron = unit[entry];
            q.current[neuron] = mixed[at];
            k.current[neuron] = mixed[at + width];
            v.current[neuron] = mixed[at + 2 * width];
          }
        }
        this.multiply(this.qMask.pass(q.fire(), t), this.kMask.pass(k.fire(), t));
        const pairs = this.weigh(this.scoreMask.pass(this.scores.fire(), t));
        this.mix(v.fire(), pairs);
        this.proj.spikes(this.out.fire(), this.projected.current, this.byWindow);
        return this.projected.fire();
      }

      // Q·Kᵀ of spikes: one addition wherever a query and a key have a spike in the same channel.
      multiply(queries, keys) {
        const { N, d, scores } = this, { list, count } = this.buckets;
        count.fill(0); // keys by window, head and channel
        for (let e = 0; e < keys.count; e++) {
          const neuron = keys.list[e], row = Math.floor(neuron / d);
          const bucket = Math.floor(row / N) * d + (neuron % d);
          list[bucket * N + count[bucket]++] = row % N;
        }
        scores.current.fill(0);
        for (let e = 0; e < queries.count; e++) {
          const neuron = queries.list[e], row = Math.floor(neuron / d);
          const bucket = Math.floor(row / N) * d + (neuron % d);
          const first = bucket * N, end = first + count[bucket];
          for (let j = first; j < end; j++) scores.current[row * N + list[j]] += 1;
          this.scoreAdditions += end - first;
        }
        for (let i = 0; i < scores.size; i++) scores.current[i] *= this.scale;
      }

      // Score spikes to the weights of V: a softmax with position bias, or Eq. 7 alone, a/N.
      // Returns in how many pairs a spike stands for itself (Eq. 7), or null where weights are real.
      weigh(events) {
        const { weights, N, apart, scores, heads } = this;
        if (!this.softmax) {
          weights.fill(0);
          for (let e = 0; e < events.count; e++) {
            const entry = events.list[e], row = Math.floor(entry / N);
            const w = Math.floor(row / N / heads);
            if (!apart[(w * N + (row % N)) * N + (entry % N)]) weights[entry] = scores.threshold / N;
          }
          return true;
        }
        weights.set(this.silent);
        for (let e = 0; e < events.count; e++) weights[events.list[e]] += this.gain[events.list[e]];
        for (let first = 0; first < weights.length; first += N) {
          let sum = 0;
          for (let m = 0; m < N; m++) sum += weights[first + m];
          for (let m = 0; m < N; m++) weights[first + m] /= sum;
        }
        return false;
      }

      // Weights times V: each spike of V adds its column of weights.
      mix(values, pairs) {
        const { weights, N, d, out, v } = this;
        out.current.fill(0);
        for (let e = 0; e < values.count; e++) {
          const neuron = values.list[e], row = Math.floor(neuron / d), m = row % N;
          const first = row - m; // the first token of this window and head
          for (let n = 0; n < N; n++) {
            const weight = weights[(first + n) * N + m];
            if (weight === 0 && pairs) continue;
            out.current[(first + n) * d + (neuron % d)] += weight * v.threshold;
            this.mixAdditions++;
          }
        }
      }

      // What each token receives: the mean over heads and queries of its weights, on the map.
      received() {
        const { windows, heads, N, weights, order } = this, map = new Array(this.tokens).fill(0);
        for (let row = 0; row < windows * heads * N; row++) {
          const w = Math.floor(row / N / heads);
          for (let m = 0; m < N; m++) map[order[w * N + m]] += weights[row * N + m] / (heads * N);
        }
        return map;
      }
    }

    // One transformer block (Fig. 2b): attention and MLP, each added to what came in (Eq. 9).
    class Block {
      constructor(get, name, shape) {
        const { tokens, side, width, site, residual } = shape;
        Object.assign(this, { name, tokens, side, width, residual });
        const neurons = (part, channels) => get.neurons(`${name}.${part}`, tokens, channels);
        const linear = (part, input) =>
          new Linear(`${name}.${part}`, get.linear(`${name}.${part}`, tokens), input.threshold);

        this.norm1 = get.affine(`${name}.norm1`);
        this.shortcut1 = neurons("shortcut1_if", width);
        this.attention = new Attention(get, `${name}.attn`, { ...shape, input: this.shortcut1 });
        this.norm2 = get.affine(`${name}.norm2`);
        this.shortcut2 = neurons("shortcut2_if", width);
        this.inMask = new Mask(`${name}.mlp.in_mask`, "mlp", site + 3, this.shortcut2);
        this.fc1 = linear("mlp.fc1", this.shortcut2);
        this.hidden = neurons("mlp.fc1_if", this.fc1.outputs);
        this.hiddenMask = new Mask(`${name}.mlp.hidden_mask`, "mlp", site + 4, this.hidden);
        this.fc2 = linear("mlp.fc2", this.hidden);
        this.last = neurons("mlp.fc2_if", width);
        this.neurons = [this.shortcut1, ...this.attention.neurons, this.shortcut2, this.hidden, this.last];
        this.masks = [...this.attention.masks, this.inMask, this.hiddenMask];
        this.linears = [...this.attention.linears, this.fc1, this.fc2];
      }
      // Takes the map of tokens `x`, and leaves its result there.
      step(x, t) {
        const { attention, shortcut1, shortcut2, hidden, last } = this;
        normalise(x, this.norm1, shortcut1.current);
        const attended = attention.step(shortcut1.fire(), t);
        addSpikes(x, attended, attention.projected.threshold, attention.toMap);
        normalise(x, this.norm2, shortcut2.current);
        if (this.residual === "norm") x.set(shortcut2.current); // as the authors' code has it
        this.fc1.spikes(this.inMask.pass(shortcut2.fire(), t), hidden.current);
        this.fc2.spikes(this.hiddenMask.pass(hidden.fire(), t), last.current);
        addSpikes(x, last.fire(), last.threshold);
      }
    }

    // Join each 2×2 tokens into one. What arrives are sums of spikes of several sizes, no spikes.
    class Merging {
      constructor(get, name, side, width) {
        const half = side / 2;
        this.linear = new Linear(`${name}.reduction`, get.linear(`${name}.reduction`, half * half));
        this.neurons = [get.neurons(`${name}.reduction_if`, half * half, 2 * width)];
        this.joined = new Float64Array(half * half * 4 * width);
        this.from = new Int32Array(this.joined.length);
        for (let to = 0; to < this.from.length; to++) {
          const c = to % width, quarter = Math.floor(to / width) % 4, token = Math.floor(to / width / 4);
          const row = 2 * Math.floor(token / half) + (quarter % 2);
          const column = 2 * (token % half) + Math.floor(quarter / 2);
          this.from[to] = (row * side + column) * width + c;
        }
      }
      step(x) {
        for (let to = 0; to < this.from.length; to++) this.joined[to] = x[this.from[to]];
        this.linear.numbers(this.joined, this.neurons[0].current);
        return this.neurons[0].fire();
      }
    }

    // ---- the network ----

    function decode(base64) {
      const text = atob(base64), bytes = new Uint8Array(text.length);
      for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
      return bytes;
    }

    // Gives tensors by their name, as float64.
    function reader({ tensors, weights }) {
      const numbers = new Float32Array(decode(weights).buffer), found = {};
      let first = 0;
      for (const [name, shape] of Object.entries(tensors)) {
        const size = shape.reduce((a, b) => a * b, 1);
        found[name] = Float64Array.from(numbers.subarray(first, first + size));
        first += size;
      }
      if (first !== numbers.length) throw new Error(`${numbers.length} weights where the shapes say ${first}`);
      const get = (name) => {
        if (!found[name]) throw new Error(`the model has no tensor ${name}`);
        return found[name];
      };
      get.neurons = (name, ...shape) => new Neurons(name, shape, get(`${name}.threshold`)[0]);
      get.affine = (name) => ({ weight: get(`${name}.weight`), bias: get(`${name}.bias`) });
      get.linear = (name, tokens) => {
        const [outputs, inputs] = tensors[`${name}.weight`];
        return { ...get.affine(name), outputs, inputs, tokens };
      };
      return get;
    }

    class Network {
      constructor(model) {
        const get = reader(model), { config } = model;
        this.config = config;
        const { image_size: size, patch_size: patch, in_channels: channels, reduction } = config;
        const side = size / patch;
        this.embedded = get.neurons("patch_embed.proj_if", side * side, config.width);
        // Where frames of events are reduced to a few channels first, the patches are cut from spikes.
        this.reduced = reduction ? get.neurons("reduction.conv_if", size, size, reduction) : null;
        this.entry = reduction
          ? new Convolution(get, "reduction.conv", { channels, size, kernel: 3, stride: 1, padding: 1 })
          : new Convolution(get, "patch_embed.proj", { channels, size, kernel: patch, stride: patch, padding: 0 });
        if (reduction) this.cutPatches(get, size, patch);
        this.stages = config.depths.map((depth, s) => {
          const tokens = side >> s, width = config.width << s, window = Math.min(config.window, tokens);
          const before = config.depths.slice(0, s).reduce((a, b) => a + b, 0);
          const blocks = Array.from({ length: depth }, (_, i) => new Block(get, `layers.${s}.blocks.${i}`, {
            tokens: tokens * tokens, side: tokens, width, heads: config.heads[s], window,
            shift: i % 2 && window < tokens ? Math.floor(window / 2) : 0,
            softmax: config.attention === "softmax", residual: config.residual, site: 5 * (before + i),
          }));
          const last = s === config.depths.length - 1;
          const merging = last ? null : new Merging(get, `layers.${s}.downsample`, tokens, width);
          return { blocks, merging, x: new Float64Array(tokens * tokens * width), width };
        });
        this.head = get.linear("head", 1);
        this.norm = config.final_norm === "layer" ? get.affine("norm") : null;

        this.blocks = this.stages.flatMap((stage) => stage.blocks);
        const parts = this.stages.flatMap(({ blocks, merging }) => (merging ? [...blocks, merging] : blocks));
        const first = reduction ? [this.reduced, this.embedded] : [this.embedded];
        this.neurons = [...first, ...parts.flatMap((part) => part.neurons)];
        this.masks = this.blocks.flatMap((block) => block.masks);
        const linears = this.blocks.flatMap((block) => block.linears);
        this.linears = reduction ? [this.patches, ...linears] : linears;
      }

      // Patches do not overlap, so each neuron of the reduction is an entry of one patch.
      cutPatches(get, size, patch) {
        const { reduced, embedded } = this, channels = reduced.shape[2], side = size / patch;
        const inputs = channels * patch * patch, name = "patch_embed.proj";
        const shape = { inputs, outputs: embedded.shape[1], tokens: side * side };
        this.patches = new Linear(name, { ...get.affine(name), ...shape }, reduced.threshold);
        this.entryOf = Int32Array.from({ length: reduced.size }, (_, neuron) => {
          const channel = neuron % channels, place = Math.floor(neuron / channels);
          const row = Math.floor(place / size), column = place % size;
          const token = Math.floor(row / patch) * side + Math.floor(column / patch);
          return token * inputs + (channel * patch + (row % patch)) * patch + (column % patch);
        });
      }

      // The spikes of the patches at one step.
      embed() {
        const { reduced, patches, embedded } = this;
        if (reduced) patches.spikes(reduced.fire(), embedded.current, this.entryOf);
        return embedded.fire();
      }

      // Class scores from the last map: a mean over tokens, and a linear layer.
      read(x, width) {
        const tokens = x.length / width, mean = new Float64Array(width);
        for (let token = 0; token < tokens; token++) {
          const row = x.subarray(token * width, (token + 1) * width);
          const shown = this.norm ? layerNorm(row, this.norm) : row;
          for (let c = 0; c < width; c++) mean[c] += shown[c] / tokens;
        }
        const { weight, bias } = this.head;
        return Array.from(bias, (b, k) => mean.reduce((sum, value, c) => sum + value * weight[k * width + c], b));
      }

      // A run to be taken step by step; `run` takes all of them. A mask depends on the seed, and on
      // the number of the image among those shown together: 0 for one that is shown alone.
      start({ pixels, steps, masking = {}, seed = 0, image = 0, until = null, record = [], watch = null }) {
        if (!(Number.isInteger(steps) && steps >= 1)) {
          throw new Error(`steps must be a whole number >= 1, not ${steps}`);
        }
        for (const kind of ["attention", "mlp"]) {
          const ratio = masking[kind] ?? 0;
          if (!(ratio >= 0 && ratio < 1)) throw new Error(`the ${kind} mask ratio must be in [0, 1), not ${ratio}`);
        }
        for (const part of this.neurons) part.reset();
        for (const mask of this.masks) mask.reset(masking, seed, image);
        for (const linear of this.linears) linear.reset();
        for (const block of this.blocks) block.attention.reset();
        // The input current is the same at every step, so it is computed once.
        this.entry.numbers(pixels, (this.reduced || this.embedded).current);
        return new Run(this, { steps, until, record, watch });
      }

      run(request) {
        const run = this.start(request);
        while (!run.done) run.step();
        return run;
      }
    }

    function layerNorm(row, { weight, bias }) {
      const mean = row.reduce((a, b) => a + b, 0) / row.length;
      const variance = row.reduce((a, b) => a + (b - mean) ** 2, 0) / row.length;
      return row.map((value, c) => ((value - mean) / Math.sqrt(variance + 1e-5)) * weight[c] + bias[c]);
    }

    // One simulation of one image.
    class Run {
      constructor(network, { steps, until, record, watch }) {
        Object.assign(this, { network, steps, until });
        this.watched = watch === null ? null : network.blocks[watch].attention;
        this.logits = [];
        this.attention = [];
        this.recorded = new Map();
        for (const name of record) {
          const neurons = network.neurons.find((layer) => layer.name === name);
          if (!neurons) throw new Error(`no layer ${name}; there are ${network.neurons.map((n) => n.name).join(", ")}`);
          this.keep(name, neurons.fired, neurons.size);
          const mask = network.masks.find((m) => m.neurons === neurons);
          if (mask) this.keep(`${name} delivered`, mask.ratio > 0 ? mask.kept : neurons.fired, neurons.size);
        }
      }
      keep(name, events, size) {
        this.recorded.set(name, { events, size, bits: new Uint8Array(Math.ceil((this.steps * size) / 8)) });
      }
      get taken() {
        return this.logits.length;
      }
      get done() {
        return this.taken === this.steps || this.settled;
      }
      // Early stop: the best class leads by a margin of summed logits (mstlib/early_exit.py).
      get settled() {
        if (!this.until || this.taken === 0 || this.taken % this.until.every) return false;
        const sums = this.logits[0].map((_, k) => this.logits.reduce((a, step) => a + step[k], 0));
        const [best, second] = sums.sort((a, b) => b - a);
        return best - second >= this.until.margin;
      }

      step() {
        const { network } = this, t = this.taken;
        let events = network.embed(), { threshold } = network.embedded;
        for (const stage of network.stages) {
          stage.x.fill(0);
          addSpikes(stage.x, events, threshold);
          for (const block of stage.blocks) block.step(stage.x, t);
          if (stage.merging) {
            events = stage.merging.step(stage.x);
            threshold = stage.merging.neurons[0].threshold;
          }
        }
        const { x, width } = network.stages.at(-1);
        this.logits.push(network.read(x, width));
        if (this.watched) this.attention.push(this.watched.received());
        for (const { events: seen, size, bits } of this.recorded.values()) {
          for (let k = 0; k < seen.count; k++) {
            const bit = t * size + seen.list[k];
            bits[bit >> 3] |= 1 << (bit & 7);
          }
        }
      }

      // Spikes of each layer at each step.
      get emitted() {
        return Object.fromEntries(this.network.neurons.map((layer) => [layer.name, layer.emitted]));
      }
      // Spikes that passed each mask, in all.
      get delivered() {
        const used = this.network.masks.filter((mask) => mask.ratio > 0);
        return Object.fromEntries(used.map((mask) => [mask.name, mask.delivered]));
      }
      // Synaptic operations of each layer, in all: one for each number that a spike adds.
      get additions() {
        const { patches, blocks } = this.network;
        const counted = blocks.flatMap(({ name, attention, fc1, fc2 }) => [
          [attention.qkv.name, attention.qkv.additions],
          [`${name}.attn.scores`, attention.scoreAdditions],
          [`${name}.attn.mix`, attention.mixAdditions],
          ...[attention.proj, fc1, fc2].map((linear) => [linear.name, linear.additions]),
        ]);
        return Object.fromEntries(patches ? [[patches.name, patches.additions], ...counted] : counted);
      }

      // The counts of mstlib.analysis.operations.Totals: of an average step.
      get totals() {
        const { network, taken } = this, sum = (numbers) => numbers.reduce((a, b) => a + b, 0);
        const softmaxed = network.config.attention === "softmax";
        const emitted = sum(network.neurons.flatMap((layer) => layer.emitted));
        const dropped = sum(network.masks.filter((m) => m.ratio > 0).map((m) => sum(m.neurons.emitted) - m.delivered));
        // Layers that see numbers, not spikes, multiply all of them.
        const merging = network.stages.filter((s) => s.merging).map((s) => s.merging.linear.dense);
        const macs = network.entry.dense + network.head.weight.length + sum(merging);
        const products = sum(network.blocks.map(({ attention: a }) => 2 * a.scores.size * a.d));
        const synaptic = sum(Object.values(this.additions)) / taken;
        // The products of spikes with spikes fetch no weights.
        const meetings = sum(network.blocks.map(({ attention: a }) =>
          a.scoreAdditions + (softmaxed ? 0 : a.mixAdditions))) / taken;
        const weights = softmaxed ? sum(network.blocks.map((b) => b.attention.scores.size)) : 0;
        const entries = sum(network.blocks.map((b) => 2 * b.tokens * b.width));
        const last = network.norm ? network.stages.at(-1).x.length : 0;
        return {
          neurons: sum(network.neurons.map((layer) => layer.size)),
          emitted: emitted / taken,
          delivered: (emitted - dropped) / taken,
          dense: macs + sum(network.linears.map((linear) => linear.dense)) + products,
          synaptic,
          adds: synaptic + weights + entries,
          macs: macs + weights + entries + last,
          fetches: macs + synaptic - meetings,
          entry_adds: weights + entries,
          entry_macs: weights + entries + last,
        };
      }

      // All of it as plain data, to be sent from a worker.
      answer(milliseconds = null) {
        const { logits, emitted, delivered, totals, additions, attention } = this;
        const spikes = Object.fromEntries([...this.recorded].map(([name, { bits }]) => [name, encode(bits)]));
        return { logits, emitted, delivered, totals, additions, spikes, attention, milliseconds };
      }
    }

    function encode(bytes) {
      let text = "";
      for (let i = 0; i < bytes.length; i += 4096) text += String.fromCharCode(...bytes.subarray(i, i + 4096));
      return btoa(text);
    }

    return { network: (model) => new Network(model), maskHead, maskNumber, decode, encode };
  }

  const shared = (root.mstExplorers = root.mstExplorers || { views: {}, lastId: 0 });
  shared.models = shared.models || {};
  shared.pictures = shared.pictures || {};
  shared.engine = { ...makeEngine(), source: `(${makeEngine})()` };
})(globalThis);
