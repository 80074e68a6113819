/** Rules that hold whatever happens: FAST_CHECK_RUNS=20000 for a long look. */
import { describe, test } from "node:test";
import { files } from "./page.mjs";
import { asksOnce, calm, converges, fc, hold, stories } from "./steps.mjs";

const RUNS = Number(process.env.FAST_CHECK_RUNS || 300);
const SEED = process.env.FAST_CHECK_SEED ? { seed: Number(process.env.FAST_CHECK_SEED) } : {};
const FEW = Math.ceil(RUNS / 3);

for (const file of files)
  describe(file, () => {
    const always = (arbitrary, property, runs = RUNS) =>
      hold(arbitrary, property(file), runs, SEED);

    test("the proxy ends with the last choice, whatever happens", () =>
      always(stories(), converges));

    test("so it does without keepalive", () =>
      always(stories({ keepalive: fc.constant(false) }), converges, FEW));

    test("so it does where the storage is denied or full", () => {
      const storage = fc.constantFrom("denied", "full", "fills");
      return always(stories({ storage }), converges, FEW);
    });

    test("so it does where the clock is far ahead", () =>
      always(stories({ far: fc.constant(true) }), converges, FEW));

    test("a page that stays and is answered asks once for each answer", () =>
      always(calm, asksOnce, FEW));
  });
