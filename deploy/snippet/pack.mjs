/** Packs @optout-proxy/choice into dist/: the same bytes for the same files, on any machine. */
import { spawnSync } from "node:child_process";
import {
  chmodSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

const root = new URL("../../", import.meta.url);
const about = readFileSync(new URL("proxy/__init__.py", root), "utf8");
const [, version] = about.match(/__version__ = "(.+)"/);
const manifest = JSON.parse(readFileSync(new URL("npm/package.json", import.meta.url), "utf8"));
const files = [
  ...manifest.files.map((name) => `static/${name}`),
  "deploy/snippet/npm/README.md",
  "LICENSE",
];

/** Where it is published from: the registry compares it with what the provenance says. */
const origin = () => {
  const { GITHUB_SERVER_URL: server, GITHUB_REPOSITORY: name } = process.env;
  return name ? { repository: { type: "git", url: `git+${server}/${name}.git` } } : {};
};

const put = (folder, name, content) => {
  const path = join(folder, name);
  writeFileSync(path, content);
  chmodSync(path, 0o644); // whatever the umask is
};

const fill = (folder) => {
  for (const name of files) put(folder, basename(name), readFileSync(new URL(name, root)));
  const { name, ...rest } = manifest;
  const whole = { name, version, ...rest, ...origin() };
  put(folder, "package.json", `${JSON.stringify(whole, null, 2)}\n`);
};

/** The npm that came with this Node.js. */
const npm = (folder, ...words) => {
  const own = new URL("../lib/node_modules/npm/bin/npm-cli.js", pathToFileURL(process.execPath));
  const script = process.env.npm_execpath || fileURLToPath(own);
  const { status, stderr } = spawnSync(process.execPath, [script, ...words], {
    cwd: folder,
    encoding: "utf8",
  });
  if (status) throw new Error(stderr);
};

const dist = fileURLToPath(new URL("dist/", root));
const folder = mkdtempSync(join(tmpdir(), "choice-"));
try {
  fill(folder);
  npm(folder, "pack", "--ignore-scripts", "--pack-destination", folder);
  const name = `optout-proxy-choice-${version}.tgz`;
  mkdirSync(dist, { recursive: true });
  cpSync(join(folder, name), join(dist, name));
  console.log(`dist/${name}`);
} finally {
  rmSync(folder, { recursive: true });
}
