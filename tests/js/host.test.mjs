// The host on a page made of as little as it asks for: which scripts it loads, when, and what then.
import assert from "node:assert/strict";
import { test } from "node:test";
import vm from "node:vm";
import { plain, source } from "./load.mjs";

const FOLDER = "file:///book/_static/";

// Stands for an element; `children` are what replaceChildren was given last.
function element(dataset) {
  return {
    dataset, childNodes: ["table"], children: null, classList: { remove() {} },
    replaceChildren(...children) {
      this.children = children;
    },
    prepend(child) {
      this.children = [child, ...(this.children || [])];
    },
  };
}

// A page with these widgets. `files` has the text of each script that can be loaded.
function page(widgets, files, { readyState = "complete", globals = {} } = {}) {
  const asked = [], errors = [];
  const document = {
    readyState, currentScript: { src: `${FOLDER}mst_host.js?v=1` },
    listeners: {},
    addEventListener(event, listener) {
      this.listeners[event] = listener;
    },
    querySelectorAll: () => widgets,
    createElement: () => ({
      listeners: {}, remove() {}, setAttribute() {},
      addEventListener(event, listener) {
        this.listeners[event] = listener;
      },
    }),
    head: {
      append(script) {
        const path = script.src.slice(FOLDER.length);
        asked.push(path);
        setImmediate(() => {
          if (!(path in files)) return script.listeners.error();
          vm.runInContext(files[path], context, { filename: path });
          script.listeners.load();
        });
      },
    },
  };
  class IntersectionObserver {
    constructor(tell) {
      this.tell = tell;
    }
    observe(el) {
      el.near = () => this.tell([{ isIntersecting: true }]);
      this.tell([{ isIntersecting: false }]);
    }
    disconnect() {}
  }
  const reportError = (error) => errors.push(error.message);
  const context = vm.createContext({ document, URL, IntersectionObserver, reportError, ...globals });
  vm.runInContext(source("mst_host"), context, { filename: "mst_host.js" });
  return { context, document, asked, errors, shared: context.mstExplorers };
}

const PARTS = { "mst_parts.js": "mstExplorers.parts = { word: 'parts' };" };
const VIEW = (name, more = "") =>
  `mstExplorers.views.${name} = {
    render({ model, el }) { el.shown = [mstExplorers.parts.word, model.get("a")]; }${more}
  };`;
const widget = (name, state = { a: 1 }) => element({ widget: name, state: JSON.stringify(state) });

test("a page without an explorer loads nothing", async () => {
  const { asked, shared } = page([], PARTS);
  await shared.start();
  assert.deepEqual(asked, []);
});

test("each script is loaded once, the parts first, and only the views on the page", async () => {
  const widgets = [widget("one"), widget("two", { a: 2 }), widget("one", { a: 3 })];
  const { asked, shared, errors } = page(widgets, { ...PARTS, "one.js": VIEW("one"), "two.js": VIEW("two") });
  await shared.start();
  assert.deepEqual(asked, ["mst_parts.js", "one.js", "two.js"]);
  assert.deepEqual(plain(widgets.map((el) => el.shown)), [["parts", 1], ["parts", 2], ["parts", 3]]);
  assert.deepEqual(errors, []);
});

test("starting again starts nothing twice, and what came since", async () => {
  const widgets = [widget("one")];
  const { asked, shared } = page(widgets, { ...PARTS, "one.js": VIEW("one") });
  await Promise.all([shared.start(), shared.start()]);
  const model = widgets[0].mstModel;
  widgets.push(widget("one", { a: 9 }));
  await shared.start();
  assert.equal(widgets[0].mstModel, model);
  assert.deepEqual(plain(widgets[1].shown), ["parts", 9]);
  assert.equal(asked.length, 2);
});

test("what a view asks for is there, in its order, before the view draws", async () => {
  const el = widget("live");
  const files = {
    ...PARTS, "live.js": VIEW("live", ", scripts: ['engine', 'runner']"), "engine.js": "this.engine = 1;",
    "runner.js": "this.runner = this.engine + 1; mstExplorers.backends.live = (model) => model.set('answer', runner);",
  };
  const { asked, shared, errors } = page([el], files);
  await shared.start();
  assert.deepEqual(asked, ["mst_parts.js", "live.js", "engine.js", "runner.js"]);
  assert.deepEqual(errors, []);
  assert.equal(el.mstModel.get("answer"), null);
  el.near(); // the reader has scrolled to it
  assert.equal(el.mstModel.get("answer"), 2); // the backend answers for the kernel
});

test("a view within the page needs no file, whether it waits in the queue or is there", async () => {
  const widgets = [widget("queued"), widget("ready")];
  const define = vm.runInNewContext(`(mstExplorers) => {
    const { word } = mstExplorers.parts;
    mstExplorers.views.queued = { render({ el }) { el.shown = word; } };
  }`);
  const views = { ready: { render({ el }) { el.shown = "ready"; } } };
  const globals = { mstExplorerQueue: [define], mstExplorers: { views, lastId: 0 } };
  const { asked, shared, context } = page(widgets, PARTS, { globals });
  await shared.start();
  assert.deepEqual(asked, ["mst_parts.js"]);
  assert.deepEqual(widgets.map((el) => el.shown), ["parts", "ready"]);
  assert.equal(context.mstExplorerQueue.length, 0);
});

test("where a script is missing the table stays and a sentence says so; the others run", async () => {
  const widgets = [widget("gone"), widget("one")];
  const { shared, errors } = page(widgets, { ...PARTS, "one.js": VIEW("one") });
  await shared.start();
  assert.deepEqual(plain(widgets[1].shown), ["parts", 1]);
  const [sentence, table] = widgets[0].children;
  assert.equal(table, "table");
  assert.match(sentence.textContent, /does not run.*table.*gone\.js could not be loaded/);
  assert.deepEqual(errors, ["the script gone.js could not be loaded"]);
});

test("a view that throws, or registers under another name, leaves the table too", async () => {
  const widgets = [widget("broken"), widget("other")];
  const files = {
    ...PARTS, "broken.js": "mstExplorers.views.broken = { render() { throw new Error('no picture'); } };",
    "other.js": VIEW("another"),
  };
  const { shared, errors } = page(widgets, files);
  await shared.start();
  assert.deepEqual(errors.sort(), ["no picture", "the script other.js registers no view named other"]);
  assert.ok(widgets.every((el) => el.children[1] === "table"));
});

test("a script within the page that throws stops its own explorer and no other", async () => {
  const widgets = [widget("first"), widget("second")];
  const [bad, good] = vm.runInNewContext(`[
    () => { throw new Error("no view"); },
    (mstExplorers) => { mstExplorers.views.second = { render({ el }) { el.shown = "second"; } }; },
  ]`);
  const { shared, errors } = page(widgets, PARTS, { globals: { mstExplorerQueue: [bad, good] } });
  await shared.start();
  assert.equal(widgets[1].shown, "second");
  assert.match(widgets[0].children[0].textContent, /first\.js could not be loaded/);
  assert.deepEqual(errors, ["no view", "the script first.js could not be loaded"]);
});

test("where nobody answers for the kernel, a sentence says so", async () => {
  const el = widget("live");
  const files = {
    ...PARTS, "live.js": VIEW("live", ", scripts: ['runner']"),
    "runner.js": "mstExplorers.backends.live = (model, trouble) => trouble(new Error('no weights'));",
  };
  const { shared, errors } = page([el], files);
  await shared.start();
  el.near();
  assert.equal(el.children[0].textContent, "The explorer has no answer: no weights.");
  assert.deepEqual(errors, ["no weights"]);
});

test("a script that could not be loaded is tried again when asked for again", async () => {
  const files = { ...PARTS };
  const { asked, shared } = page([], files);
  await assert.rejects(shared.load("models/net.js"), /models\/net\.js could not be loaded/);
  files["models/net.js"] = "this.net = 1;";
  await shared.load("models/net.js");
  await shared.load("models/net.js");
  assert.deepEqual(asked, ["models/net.js", "models/net.js"]);
});

test("before the page is read, it waits for the rest of it", async () => {
  const el = widget("one");
  const { document, asked, shared } = page([el], { ...PARTS, "one.js": VIEW("one") }, { readyState: "loading" });
  assert.deepEqual(asked, []);
  document.listeners.DOMContentLoaded();
  await shared.start();
  assert.deepEqual(plain(el.shown), ["parts", 1]);
});

test("its model tells those who listen, once for each change", async () => {
  const el = widget("one", { a: 1, b: 2 });
  const { shared } = page([el], { ...PARTS, "one.js": VIEW("one") });
  await shared.start();
  const seen = [], model = el.mstModel;
  const listener = () => seen.push(model.get("a"));
  model.on("change:a", listener);
  model.set("a", 5);
  model.set("a", 5); // no change
  model.set("b", 6);
  model.save_changes();
  model.off("change:a", listener);
  model.set("a", 7);
  assert.deepEqual(seen, [5]);
  assert.equal(model.get("b"), 6);
  assert.equal(model.get("never set"), null);
});
