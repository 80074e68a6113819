/** Runs a bundle in a page without a browser; prints the form it sent and the record it kept. */
import { readFileSync } from "node:fs";
import { Browser, compile, settled } from "./page.mjs";

compile("bundle", readFileSync(process.argv[2], "utf8"));
const browser = new Browser("bundle");
const page = browser.open(null);
await settled();
await page.last.answer(202);
console.log(JSON.stringify({ form: page.last.form, told: page.types, record: browser.record() }));
