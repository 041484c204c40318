// The ledger of claims: a search box and a choice of status that hide every other entry.
// Without this script the page is whole, and only longer to read.
(function () {
  "use strict";
  const place = document.getElementById("mst-claims-filter");
  if (!place) return;
  const sections = [...document.querySelectorAll(".bd-article section section")];
  const entries = [...document.querySelectorAll(".bd-article section section dl")].map((root) => ({
    root,
    text: root.textContent.toLowerCase(),
    head: root.querySelector("dt").textContent,
  }));
  const statuses = [...document.querySelectorAll(".bd-article table tbody td:first-child")]
    .map((cell) => cell.textContent)
    .filter((status) => entries.some((entry) => entry.head.includes(`· ${status}`)));

  function element(tag, attributes, ...children) {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    made.append(...children);
    return made;
  }

  const words = element("input", { type: "search", id: "mst-claims-words", style: "width: 100%" });
  const choice = element("select", { id: "mst-claims-status", style: "max-width: 100%" });
  choice.append(element("option", { value: "" }, "every status"));
  for (const status of [...statuses, "does not come out"]) {
    choice.append(element("option", { value: status }, status));
  }
  const said = element("p", { role: "status", style: "margin-top: 0.5rem" });
  place.append(
    element("label", { for: words.id }, "Show entries with this text"),
    words,
    element("label", { for: choice.id, style: "margin: 0.5rem 0.5rem 0 0" }, "and with"),
    choice,
    said,
  );

  function show() {
    const wanted = words.value.toLowerCase().trim();
    const status = choice.value;
    let count = 0;
    for (const { root, text, head } of entries) {
      // "· seen at …" is not "· not seen at …"
      const fits = head.includes(status === "does not come out" ? status : `· ${status}`);
      const shown = fits && text.includes(wanted);
      root.hidden = !shown;
      count += shown;
    }
    for (const section of sections) {
      const own = [...section.querySelectorAll("dl")];
      section.hidden = own.length > 0 && own.every((root) => root.hidden);
    }
    said.textContent = `${count} of ${entries.length} entries`;
  }

  words.addEventListener("input", show);
  choice.addEventListener("input", show);
  // A link to an entry that is hidden brings all of them back.
  window.addEventListener("hashchange", () => {
    const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (target && target.closest("[hidden]")) {
      words.value = choice.value = "";
      show();
      target.scrollIntoView();
    }
  });
  show();
})();
