// What a simulation's record says: its spikes, its answer as it builds up, maps, and energy.
// The record is what `mstlib.explorers.answers.record` describes. No drawing here, only numbers.
(function (root) {
  "use strict";
  const shared = (root.mstExplorers = root.mstExplorers || { views: {}, lastId: 0 });
  const FORGETTING = Math.exp(-0.5); // γ = 0.5 for each step, as in mstlib.analysis.saliency
  const MULTIPLY = 4.6, ADD = 0.9; // picojoules, 45 nm, 32 bits: as in mstlib.energy

  // Bytes from base64.
  const bytes = (text) => Uint8Array.from(root.atob(text), (c) => c.charCodeAt(0));

  // Spikes packed eight to a byte, the lowest bit first, as (step, neuron) => true or false.
  function spikes(text, neurons) {
    const packed = bytes(text);
    return (step, neuron) => {
      const k = step * neurons + neuron;
      return ((packed[k >> 3] >> (k & 7)) & 1) === 1;
    };
  }

  // How often each neuron fires.
  function counts(fired, steps, neurons) {
    return Array.from({ length: neurons }, (_, n) => {
      let sum = 0;
      for (let t = 0; t < steps; t++) if (fired(t, n)) sum++;
      return sum;
    });
  }

  // `rows` neurons of those that fire, evenly spaced in the order of how often they do.
  function sample(often, rows) {
    const busy = [...often.keys()].filter((n) => often[n] > 0).sort((a, b) => often[b] - often[a] || a - b);
    if (busy.length <= rows) return busy;
    return Array.from({ length: rows }, (_, k) => busy[Math.floor((k * (busy.length - 1)) / (rows - 1))]);
  }

  // The mean of the logits of the first 1, 2, … steps: what the network would answer then.
  function runningMeans(logits) {
    const sums = logits[0].map(() => 0);
    return logits.map((step, t) => step.map((value, k) => (sums[k] += value) / (t + 1)));
  }

  // Classes in the order of their score, the best first.
  const ranking = (scores) => [...scores.keys()].sort((a, b) => scores[b] - scores[a] || a - b);

  // The step, counted from 1, from which on the answer stays what it is at the end.
  function settled(means) {
    const answers = means.map((scores) => ranking(scores)[0]);
    const last = answers[answers.length - 1];
    let t = answers.length;
    while (t > 1 && answers[t - 2] === last) t--;
    return t;
  }

  // The spike activation map at every step: Σ over a token's channels of N(t)·s(t), where
  // N(t) = e^(−γ)·(N(t−1) + s(t−1)) remembers the earlier spikes of a neuron.
  function activationMaps(fired, steps, tokens, channels) {
    const memory = new Float64Array(tokens * channels);
    return Array.from({ length: steps }, (_, t) => {
      const map = new Array(tokens).fill(0);
      for (let n = 0; n < memory.length; n++) {
        const spike = fired(t, n);
        if (spike) map[Math.floor(n / channels)] += memory[n];
        memory[n] = FORGETTING * (memory[n] + spike);
      }
      return map;
    });
  }

  // Picojoules of one image over all steps: the account usual in the field, without memory.
  const picojoules = (totals, steps) => steps * (totals.macs * MULTIPLY + totals.adds * ADD);

  // A measured quantity between the ratios at which it was measured; null beyond them.
  function between(points, ratio, what) {
    for (let k = 1; k < points.length; k++) {
      const [a, b] = [points[k - 1], points[k]];
      if (ratio >= a.ratio && ratio <= b.ratio) {
        return a[what] + ((ratio - a.ratio) / (b.ratio - a.ratio)) * (b[what] - a[what]);
      }
    }
    return null;
  }

  shared.runs = {
    bytes, spikes, counts, sample, runningMeans, ranking, settled, activationMaps, picojoules, between,
  };
})(globalThis);
