/** Adds choice.min.js to the released files, which never change: static/s/{version}/choice.js. */
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";

const root = new URL("../../", import.meta.url);
const list = new URL("static/s/released.json", root);
const about = readFileSync(new URL("proxy/__init__.py", root), "utf8");
const [, version] = about.match(/__version__ = "(.+)"/);
const target = new URL(`static/s/${version}/choice.js`, root);

const content = readFileSync(new URL("static/choice.min.js", root));
if (existsSync(target) && !readFileSync(target).equals(content))
  throw new Error(`${version} was released with other bytes: raise proxy.__version__ first`);
const released = existsSync(list) ? JSON.parse(readFileSync(list, "utf8")) : {};
released[version] = `sha384-${createHash("sha384").update(content).digest("base64")}`;

mkdirSync(new URL(".", target), { recursive: true });
writeFileSync(target, content);
writeFileSync(list, `${JSON.stringify(released, null, 2)}\n`);
console.log(`${version} ${released[version]}`);
