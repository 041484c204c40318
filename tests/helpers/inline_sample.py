"""A small explorer that carries its script as text, for the tests."""

from mstlib.explorers.base import Explorer, Number, table

SCRIPT = """(function (root) {
  "use strict";
  const { slider, plot, explorer } = root.mstExplorers.parts;

  function render({ model, el }) {
    const controls = [slider(model, "factor", { label: "Factor", min: 1, max: 9 })];
    const curve = plot({ title: "Multiples", height: 200 });
    function draw() {
      const factor = model.get("factor");
      const [x, y] = [{ from: 0, to: 9 }, { from: 0, to: 81 }];
      const c = curve.frame({ x, y, label: `Slope ${factor}.` });
      c.line([[0, 0], [9, 9 * factor]], "mst-blue");
      return `</script> <!-- <script> are text; 3 × ${factor} is ${3 * factor}`;
    }
    return explorer({ model, el, watch: ["factor"], controls, body: [curve.root], draw });
  }

  root.mstExplorers.views.multiples = { render };
})(globalThis);"""


class MultiplesExplorer(Explorer):
    _view = "multiples"
    _script = SCRIPT

    factor = Number(2, 1, 9, whole=True)

    def fallback(self):
        return table("Multiples", ["times", "is"], [[3, 3 * self.factor]])
