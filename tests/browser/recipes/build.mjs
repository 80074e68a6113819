/**
 * Bundles the recipes for React and Vue as a shop's own build would: each src/<name>/main*, hydrate*
 * and server* becomes out/<mode>/<name>/….js.
 */
import { readFile } from "node:fs/promises";
import { globSync } from "node:fs";
import { build } from "esbuild";
import { compileScript, parse } from "vue/compiler-sfc";

const vue = {
  name: "vue",
  setup: ({ onLoad }) =>
    onLoad({ filter: /\.vue$/ }, async ({ path: filename }) => {
      const { descriptor } = parse(await readFile(filename, "utf8"), { filename, ignoreEmpty: false });
      const { content } = compileScript(descriptor, { id: filename, inlineTemplate: true });
      return { contents: content };
    }),
};

const bundle = (entries, mode, more) =>
  build({
    entryPoints: globSync(entries),
    outdir: `out/${mode}`,
    outbase: "src",
    bundle: true,
    jsx: "automatic",
    plugins: [vue],
    alias: { "@optout-proxy/choice": process.argv[2] },
    define: {
      "process.env.NODE_ENV": JSON.stringify(mode),
      __VUE_OPTIONS_API__: "true",
      __VUE_PROD_DEVTOOLS__: "false",
      __VUE_PROD_HYDRATION_MISMATCH_DETAILS__: "false",
    },
    logLevel: "warning",
    ...more,
  });

for (const mode of ["development", "production"]) {
  await bundle("src/*/{main,hydrate}*.{js,jsx}", mode, { format: "iife" });
}
await bundle("src/*/server.{js,jsx}", "server", {
  platform: "node",
  format: "cjs",
  outExtension: { ".js": ".cjs" },
});
