// Repairs to the theme that a keyboard or a screen reader needs.
document.addEventListener("DOMContentLoaded", () => {
  "use strict";
  const each = (selector, repair) => document.querySelectorAll(selector).forEach(repair);
  // A control's spoken name has to contain the words it shows.
  each(".search-button-field", (b) => b.setAttribute("aria-label", "Search Ctrl+K"));
  each(".theme-switch-button, summary", (b) => b.removeAttribute("aria-label"));
  // Everything on a page belongs to a region.
  each(".bd-sidebar-primary .sidebar-primary-item .navbar-brand", (a) => {
    a.parentElement.setAttribute("role", "navigation");
    a.parentElement.setAttribute("aria-label", "Home");
  });
  // A heading without a word is no heading (pandas leaves one above the row names).
  each(".bd-article th:empty", (th) => th.replaceWith(document.createElement("td")));
  // These two roles are retired.
  each("[role=doc-biblioentry], .citation-list[role=list]", (e) => e.removeAttribute("role"));
  // What scrolls sideways must take the focus, so that the arrow keys can scroll it.
  const boxes =
    ".bd-article :is(.pst-scrollable-table-container, div.math, mjx-container, pre, .text_html)";
  // Fonts, equations and explorers change widths after the page has loaded. All are measured before
  // any is changed, and none before the browser has laid out the page: it need not do so twice.
  const sizes = new ResizeObserver((changes) => {
    const found = changes.map(({ target }) => target.closest(boxes)).filter(Boolean);
    const wide = new Map(found.map((box) => [box, box.scrollWidth > box.clientWidth]));
    for (const [box, scrolls] of wide) {
      if (scrolls) box.tabIndex = 0;
      else box.removeAttribute("tabindex");
    }
  });
  // Whatever is observed for the first time is also measured. What stands in a box may grow without
  // it; the thousand words of a listing do not.
  const watch = () =>
    each(boxes, (box) => {
      const parts = box.matches("pre") ? [] : box.children;
      [box, ...parts].forEach((part) => sizes.observe(part));
    });
  watch();
  addEventListener("load", watch);
  globalThis.MathJax?.startup?.promise?.then(watch);
});
