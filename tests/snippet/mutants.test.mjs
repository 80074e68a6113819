/** Faults put into the source, one at a time: a property that misses one of them is no proof. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, test } from "node:test";
import { compile } from "./page.mjs";
import { asksOnce, calm, converges, fc, hold, stories } from "./steps.mjs";

const SOURCE = readFileSync(new URL("../../static/choice.js", import.meta.url), "utf8");
const RUNS = 2000;

const any = stories();
const memory = stories({ storage: fc.constantFrom("denied", "full") });

/** What goes wrong, the text that is replaced, its replacement, and the stories that show it. */
const MUTANTS = [
  ["seq follows the clock alone", "old?.seq >= at", "false"],
  ["any answer is the last one", "const over = [", "const over = true || ["],
  ["a failure is the last answer", "const over = [", "const over = !status || ["],
  ["any 2xx is an acknowledgement", "const over = [", "const over = (status > 199 && status < 300) || ["],
  ["503 is final", "const over = [202,", "const over = [503, 202,"],
  ["an old answer ends the new choice", "entry?.form.id != id ||", "!entry ||"],
  ["an old failure ends the new attempt", " || (!over && entry.form.tries != tries)", ""],
  [
    "the record goes with the request",
    "post(key, form, leaving);",
    "delete store[key]; post(key, form, leaving);",
  ],
  [
    "sent before it is stored",
    "write(key, entry);\n    post(key, form, leaving);",
    "post(key, form, leaving);\n    write(key, entry);",
  ],
  ["never stored", "write(key, entry);\n      tell(", "post(key, entry.form, false); tell("],
  [
    "a new id for each attempt",
    "form.tries = Math.min(",
    "form.id = uuid(); form.tries = Math.min(",
  ],
  ["at moves with each attempt", "form.tries = Math.min(", "form.at = now; form.tries = Math.min("],
  ["paused, and sending", "if (paused) return;", ""],
  [
    "a fresh token is not taken",
    "form.token = tokens[form.offer] || form.token",
    "form.token = form.token || tokens[form.offer]",
  ],
  ["the token stays", "if (over || status == 401) delete form.token;", ""],
  ["no lease", "= now + (leaving ? SHORT_LEASE : LEASE);", "= now;"],
  ["half a lease", "SHORT_LEASE : LEASE)", "SHORT_LEASE : LEASE / 2)"],
  [
    "Retry-After is not kept",
    "Math.min(asked || 1e3",
    "Math.min(1e3",
  ],
  ["only the first answer counts", "old[field] != value ||", ""],
  ["shown again hides the answer", "!old && settings.shown", "settings.shown"],
  [
    "a purchase hides the answer",
    "const key = PREFIX + field + offer;",
    'const key = PREFIX + "choice" + offer;',
  ],
  ["all offers are one", "const key = PREFIX + field + offer;", "const key = PREFIX + field;"],
  ["given up after ten minutes", "6048e5", "6e5"],
  ["no second look", "if (wait < Infinity) timer", "if (0) timer"],
  ["a timer for ever", "let wait = Infinity;", "let wait = 6e4;"],
  [
    "the other answer",
    "const value = choice == field ? 1 : choice;",
    'const value = choice == field ? 1 : "declined";',
  ],
  ["what was bought is not told", 'choice == "purchased" ? choice : "choice"', '"choice"'],
  [
    "a denied storage is an error",
    "  try {\n    localStorage[PREFIX]; // where every access fails, though the name is there\n    store = localStorage;\n  } catch {}",
    "  store = localStorage;",
    memory,
  ],
  [
    "a full storage is an error",
    "try {\n      store[key] = memory[key];\n    } catch {\n      delete store[key]; // what it held is no longer true\n    }",
    "store[key] = memory[key];",
    memory,
  ],
  [
    "each event asks again",
    "!(force && entry.soft)",
    "!force",
    calm,
    asksOnce,
  ],
  [
    "twice for good measure",
    "post(key, form, leaving);",
    "post(key, form, leaving), post(key, form, leaving);",
    calm,
    asksOnce,
  ],
];

describe("each fault is caught", () => {
  for (const [name, text, other, arbitrary = any, property = converges] of MUTANTS)
    test(name, async () => {
      assert.equal(SOURCE.split(text).length, 2, "the fault has its one place in the source");
      compile(name, SOURCE.replace(text, () => other));

      const caught = hold(arbitrary, property(name), RUNS, { endOnFailure: true });

      await assert.rejects(caught, /Property failed/);
    });
});
