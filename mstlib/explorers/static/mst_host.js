// Starts the explorers of a page that has no kernel: each `div.mst-widget` carries its settings,
// and the class below plays the model that anywidget would give to the same view.
(function (root) {
  "use strict";

  class PageModel {
    constructor(settings) {
      this.settings = settings;
      this.listeners = new Map();
    }
    get(name) {
      return this.settings[name];
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

  function start() {
    for (const el of document.querySelectorAll("div.mst-widget[data-state]")) {
      const view = root.mstExplorers.views[el.dataset.widget];
      if (!view || el.mstModel) continue;
      el.mstModel = new PageModel(JSON.parse(el.dataset.state));
      view.render({ model: el.mstModel, el });
    }
  }

  root.mstExplorers.start = start;
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", start);
  else start();
})(globalThis);
