// Repairs to the theme that a keyboard or a screen reader needs.
document.addEventListener("DOMContentLoaded", () => {
  const each = (selector, repair) => document.querySelectorAll(selector).forEach(repair);
  // A control's spoken name has to contain the words it shows.
  each(".search-button-field", (b) => b.setAttribute("aria-label", "Search Ctrl+K"));
  each(".theme-switch-button, summary", (b) => b.removeAttribute("aria-label"));
  // Everything on a page belongs to a region.
  each(".bd-sidebar-primary .sidebar-primary-item .navbar-brand", (a) => {
    a.parentElement.setAttribute("role", "navigation");
    a.parentElement.setAttribute("aria-label", "Home");
  });
  // A heading without a word is no heading (pandas leaves one above the row names), and these roles are retired.
  each(".bd-article th:empty", (th) => th.replaceWith(document.createElement("td")));
  each("[role=doc-biblioentry], .citation-list[role=list]", (e) => e.removeAttribute("role"));
  // What scrolls sideways must take the focus, so that the arrow keys can scroll it.
  const boxes = ".bd-article :is(.pst-scrollable-table-container, div.math, mjx-container, pre, .text_html)";
  const focusable = () =>
    each(boxes, (box) => {
      if (box.scrollWidth > box.clientWidth) box.tabIndex = 0;
      else box.removeAttribute("tabindex");
    });
  addEventListener("load", focusable);
  addEventListener("resize", focusable);
  globalThis.MathJax?.startup?.promise?.then(focusable);
});
