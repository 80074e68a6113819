/** Writes static/choice.min.js: the same bytes for the same source, on any machine. */
import { readFileSync, writeFileSync } from "node:fs";
import { gzipSync } from "node:zlib";
import { minify } from "terser";

const BUDGET = 2200;
const folder = new URL("../../static/", import.meta.url);

// `let` is shorter than `const` and means the same in code that tsc has checked.
const source = readFileSync(new URL("choice.js", folder), "utf8").replace(/\bconst /g, "let ");
const { code } = await minify(source, {
  ecma: 2020,
  compress: {
    booleans_as_integers: true,
    conditionals: false, // compresses better left as they are
    keep_fargs: false,
    lhs_constants: false, // the same
    passes: 3,
    reduce_funcs: false, // the same
    unsafe_arrows: true,
    unsafe_methods: true,
  },
  format: { comments: false },
});
writeFileSync(new URL("choice.min.js", folder), `${code}\n`);

const size = gzipSync(`${code}\n`, { level: 9 }).length;
console.log(`choice.min.js: ${code.length + 1} bytes, ${size} gzipped, of ${BUDGET}`);
process.exitCode = size > BUDGET ? 1 : 0;
