// What the explorers' scripts must keep to: classic scripts that run from http and from a file, ask
// the network for nothing, and give the same at every run.
import js from "@eslint/js";
import globals from "globals";

const tidy = {
  eqeqeq: "error",
  "no-var": "error",
  "prefer-const": "error",
  "no-shadow": ["error", { allow: ["_"] }],
  "no-use-before-define": ["error", { functions: false, classes: false, variables: false }],
  "max-len": ["error", { code: 120 }],
};

export default [
  { ignores: ["_build/", ".*/", "book/_static/mathjax/", "tests/helpers/vendor/", "mstlib/explorers/static/models/"] },
  js.configs.recommended,
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
