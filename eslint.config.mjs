// What the explorers' scripts must keep to: classic scripts that run from http and from a file, ask
// the network for nothing, and give the same at every run.
import js from "@eslint/js";
import globals from "globals";

// A function's own code: the lines it has tokens on, without those of the functions inside it. One
// that wires others together may span many lines; one that does many things may not.
const ownCode = {
  create(context) {
    const { sourceCode, options: [most] } = context, inside = [];
    return {
      ":function": () => inside.push([]),
      ":function:exit"(node) {
        const inner = inside.pop();
        const whole = node.parent.type === "MethodDefinition" ? node.parent : node; // with its name
        inside.at(-1)?.push(whole.range);
        const own = sourceCode.getTokens(whole)
          .filter((token) => !inner.some(([from, to]) => from <= token.range[0] && token.range[1] <= to));
        const lines = new Set(own.map((token) => token.loc.start.line)).size;
        if (lines > most) context.report({ node, message: `${lines} lines of code in a function; at most ${most}` });
      },
    };
  },
  meta: { schema: [{ type: "integer" }] },
};

const tidy = {
  eqeqeq: "error",
  "no-var": "error",
  "prefer-const": "error",
  "no-shadow": ["error", { allow: ["_"] }],
  "no-use-before-define": ["error", { functions: false, classes: false, variables: false }],
  "max-len": ["error", { code: 120 }],
  "mst/own-code": ["error", 50],
};

export default [
  { ignores: ["_build/", ".*/", "book/_static/mathjax/", "tests/helpers/vendor/", "mstlib/explorers/static/models/"] },
  js.configs.recommended,
  { plugins: { mst: { rules: { "own-code": ownCode } } } },
  { linterOptions: { reportUnusedDisableDirectives: "error" } },
  {
    files: ["**/*.js"],
    languageOptions: { sourceType: "script", globals: globals.browser },
    rules: {
      ...tidy,
      strict: ["error", "function"],
      "no-implicit-globals": "error",
      "no-eval": "error",
      "no-restricted-globals": ["error", "fetch", "XMLHttpRequest", "WebSocket", "EventSource"],
      "no-restricted-syntax": ["error", "ImportExpression"],
      "no-restricted-properties": ["error", { object: "Math", property: "random" }],
    },
  },
  {
    files: ["**/*.mjs"],
    languageOptions: { sourceType: "module", globals: globals.node },
    rules: tidy,
  },
];
