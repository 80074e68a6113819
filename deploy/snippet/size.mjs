/**
 * Prints what the snippet weighs and what has changed since the last commit;
 * with --write also rewrites docs/reference/snippet-size.md.
 */
import { execFileSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { brotliCompressSync, constants, gzipSync } from "node:zlib";

const FILES = ["choice.js", "choice.min.js", "choice.mjs"];
const REPORT = "docs/reference/snippet-size.md";
const root = new URL("../../", import.meta.url);
const brotli = { params: { [constants.BROTLI_PARAM_QUALITY]: 11 } };

const measure = (name) => {
  const content = readFileSync(new URL(`static/${name}`, root));
  return [
    content.length,
    gzipSync(content, { level: 9 }).length,
    brotliCompressSync(content, brotli).length,
  ];
};

const format = (rows) => `# What the snippet weighs

In bytes; \`npm run build\` in \`deploy/snippet\` writes this table.
A page loads \`choice.min.js\`, and \`choice.mjs\` only before it where the snippet is imported.

| file | raw | gzip -9 | brotli -q 11 |
|---|--:|--:|--:|
${rows.map(([name, ...sizes]) => `| \`${name}\` | ${sizes.join(" | ")} |`).join("\n")}
`;

/** The report of the last commit, or the one at hand where there is no repository. */
const before = () => {
  const read = () => readFileSync(new URL(REPORT, root), "utf8");
  try {
    return execFileSync("git", ["show", `HEAD:${REPORT}`], {
      cwd: root,
      encoding: "utf8",
      stdio: ["ignore", "pipe", "ignore"],
    });
  } catch {
    return read();
  }
};

const parse = (report) => {
  const rows = report.matchAll(/^\| `(.+)` \| (\d+) \| (\d+) \| (\d+) \|$/gm);
  return Object.fromEntries([...rows].map(([, name, ...sizes]) => [name, sizes.map(Number)]));
};

const change = (size, old) => {
  if (old === undefined) return "new";
  return size == old ? "=" : `${size > old ? "+" : ""}${size - old}`;
};

const rows = FILES.map((name) => [name, ...measure(name)]);
const earlier = parse(before());
const titles = ["", "raw", "gzip -9", "brotli 11"].map((title) => title.padEnd(15)).join("");
console.log(titles);
for (const [name, ...sizes] of rows) {
  const cells = sizes.map((size, n) => `${size} (${change(size, earlier[name]?.[n])})`);
  console.log([name, ...cells].map((cell) => cell.padEnd(15)).join("").trimEnd());
}
if (process.argv.includes("--write")) writeFileSync(new URL(REPORT, root), format(rows));
