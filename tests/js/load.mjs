// Loads the explorers' classic scripts as a page would, each time into a fresh global object.
import { readFileSync } from "node:fs";
import vm from "node:vm";

const STATIC = new URL("../../mstlib/explorers/static/", import.meta.url);

export const source = (name) => readFileSync(new URL(`${name}.js`, STATIC), "utf8");

// The global object after the named scripts ran, in this order; `globals` are there before.
export function load(names, globals = {}) {
  const context = vm.createContext({ console, ...globals });
  for (const name of names) vm.runInContext(source(name), context, { filename: `${name}.js` });
  return context;
}

// A view with the shared parts beneath it.
export const view = (name) => load(["mst_parts", name]).mstExplorers.views[name];

// Arrays and objects of that other global object, as ours, so that they can be compared.
export const plain = (value) => structuredClone(value);

export function close(found, wanted, tolerance = 1e-12) {
  if (!(Math.abs(found - wanted) <= tolerance)) throw new Error(`${found} is not within ${tolerance} of ${wanted}`);
}
