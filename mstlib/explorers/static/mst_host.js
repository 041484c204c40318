// Starts the explorers of a page that has no kernel. Each `div.mst-widget` carries its settings, and
// the class below plays the model that anywidget would give to the same view.
//
// A page loads this script alone. It loads the shared parts, the views that stand on the page and
// what those ask for: as classic scripts, because a page opened as a file may load nothing else.
(function (root) {
  "use strict";
  const shared = (root.mstExplorers = root.mstExplorers || { views: {}, lastId: 0 });
  const folder = new URL(".", document.currentScript.src);

  // What answers for the kernel: backends[NAME](model) is called when a reader comes near the view
  // NAME, so that nobody waits for a network that is not looked at.
  shared.backends = shared.backends || {};

  class PageModel {
    constructor(settings) {
      this.settings = settings;
      this.listeners = new Map();
    }
    get(name) {
      return this.settings[name] ?? null;
    }
    set(name, value) {
      if (this.settings[name] === value) return;
      this.settings[name] = value;
      for (const listener of [...(this.listeners.get(`change:${name}`) || [])]) listener();
    }
    save_changes() {} // there is no kernel to tell
    on(event, listener) {
      if (!this.listeners.has(event)) this.listeners.set(event, new Set());
      this.listeners.get(event).add(listener);
    }
    off(event, listener) {
      const listeners = this.listeners.get(event);
      if (listeners) listeners.delete(listener);
    }
  }

  // Load a script that lies beside this one, once a page: "neuron.js", "models/mst-digits.js".
  const scripts = new Map();
  function load(path) {
    if (!scripts.has(path)) {
      const loaded = new Promise((resolve, reject) => {
        const script = document.createElement("script");
        script.src = new URL(path, folder).href;
        script.addEventListener("load", () => resolve());
        script.addEventListener("error", () => {
          scripts.delete(path); // the next who asks tries again
          script.remove();
          reject(new Error(`the script ${path} could not be loaded`));
        });
        document.head.append(script);
      });
      scripts.set(path, loaded);
    }
    return scripts.get(path);
  }

  // A script within the page may not yet find the parts. It leaves its view as a function:
  // (globalThis.mstExplorerQueue ??= []).push((mstExplorers) => { mstExplorers.views.NAME = … })
  async function parts() {
    if (!shared.parts) await load("mst_parts.js");
    const queue = root.mstExplorerQueue || [];
    while (queue.length) {
      try {
        queue.shift()(shared);
      } catch (error) {
        root.reportError(error); // its own explorer will miss its view; the others shall run
      }
    }
  }

  function whenNear(el, act) {
    const watch = new IntersectionObserver((entries) => {
      if (!entries.some((entry) => entry.isIntersecting)) return;
      watch.disconnect();
      act();
    }, { rootMargin: "200px" });
    watch.observe(el);
  }

  // What went wrong: to the reader in a sentence, to the browser's console as it is.
  function tell(el, what, error) {
    const sentence = document.createElement("p");
    sentence.setAttribute("role", "alert");
    sentence.textContent = `The explorer ${what}: ${error.message}.`;
    if (el.firstChild?.textContent !== sentence.textContent) el.prepend(sentence);
    root.reportError(error);
  }

  async function run(el) {
    const name = el.dataset.widget;
    const fallback = [...el.childNodes];
    try {
      await parts();
      if (!shared.views[name]) await load(`${name}.js`);
      const view = shared.views[name];
      if (!view) throw new Error(`the script ${name}.js registers no view named ${name}`);
      for (const script of view.scripts || []) await load(`${script}.js`);
      const model = new PageModel(JSON.parse(el.dataset.state));
      view.render({ model, el });
      const answering = shared.backends[name];
      if (answering) whenNear(el, () => answering(model, (error) => tell(el, "has no answer", error)));
      el.mstModel = model;
    } catch (error) {
      el.classList.remove("mst-explorer");
      el.replaceChildren(...fallback);
      tell(el, "does not run, so its table stands here", error);
    }
  }

  // Start what has not been started; the promise settles when every explorer of the page runs.
  const started = new WeakMap();
  function start() {
    const widgets = [...document.querySelectorAll("div.mst-widget[data-state]")];
    for (const el of widgets) if (!started.has(el)) started.set(el, run(el));
    return Promise.all(widgets.map((el) => started.get(el))).then(() => {});
  }

  shared.load = load;
  shared.start = start;
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", start);
  else start();
})(globalThis);
