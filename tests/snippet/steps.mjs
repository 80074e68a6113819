/** What fast-check may let happen in a world, and the properties that must hold in each. */
import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { MINUTE, SECOND } from "./page.mjs";
import { World } from "./world.mjs";

const tools = createRequire(new URL("../../deploy/snippet/package.json", import.meta.url));
export const fc = tools("fast-check");

const small = fc.nat(7);
const pick = { pick: small };
const tab = { tab: fc.nat(3) };
const offer = fc.nat(1);
const flag = fc.boolean();
const word = fc.constantFrom("declined", "accepted", "declined", "accepted", "purchased");
const status = fc.constantFrom(202, 202, 202, 200, 405, 429, 503, 408, 401);
const arrival = { ...pick, status, after: fc.nat(600), kept: flag };
const ms = fc.oneof(fc.nat(SECOND), fc.nat(15 * SECOND), fc.nat(6 * MINUTE));
const type = fc.constantFrom("online", "visibilitychange", "pageshow");

/** Each step with its weight. */
const STEPS = {
  say: [6, { ...tab, offer, word }],
  deliver: [5, arrival],
  arrive: [3, arrival],
  answer: [3, pick],
  fail: [2, pick],
  lose: [1, pick],
  again: [1, pick],
  pass: [6, { ms }],
  event: [2, { ...tab, type }],
  open: [2, { shown: flag }],
  close: [2, { ...tab, kill: flag }],
  reload: [2, tab],
  freeze: [1, tab],
  thaw: [1, tab],
  token: [1, { ...tab, offer }],
  expire: [1, {}],
  pause: [1, { ...tab, off: flag }],
  clock: [1, { ahead: fc.integer({ min: -30 * MINUTE, max: 4 * MINUTE }) }],
  fill: [1, {}],
};

const among = (table) =>
  fc.oneof(
    ...Object.entries(table).map(([name, [weight, fields]]) => ({
      weight,
      arbitrary: fc.record({ do: fc.constant(name), ...fields }),
    })),
  );

/** A world and what happens in it. */
export const stories = (kinds = {}) =>
  fc.record({
    world: fc.record({
      storage: fc.constant("shared"),
      offers: fc.integer({ min: 1, max: 2 }),
      keepalive: fc.constant(true),
      seed: fc.nat(),
      ...kinds,
    }),
    steps: fc.array(among(STEPS), { maxLength: 40, size: "max" }),
    end: fc.record({ stragglers: fc.constantFrom("lost", "before", "after"), expired: flag }),
  });

/** Whatever happens, the proxy ends with the customer's last choice, and no rule is broken. */
export const converges = (file) => async ({ world: kinds, steps, end }) => {
  const world = new World(file, kinds);
  for (const step of steps) await world.step(step);
  await world.end(end);
  return world;
};

/** Pages that stay, and a proxy that answers within the lease. */
export const calm = fc.record({
  world: fc.record({
    offers: fc.integer({ min: 1, max: 2 }),
    seed: fc.nat(),
    latency: fc.integer({ min: 0, max: 9 * SECOND }),
  }),
  steps: fc.array(
    among({
      say: STEPS.say,
      pass: STEPS.pass,
      event: STEPS.event,
      open: STEPS.open,
    }),
    { maxLength: 30, size: "max" },
  ),
});

/** One request for each new answer, no more. */
export const asksOnce = (file) => async ({ world: kinds, steps }) => {
  const world = new World(file, kinds);
  world.heal();
  for (const step of steps) await world.step(step);
  await world.step({ do: "pass", ms: 10 * MINUTE });
  const news = world.tabs.flatMap(({ page }) => page.told.filter(([type]) => type == "recorded"));
  assert.deepEqual(
    world.wire.map(({ form }) => form.id).sort(),
    news.map(([, { id }]) => id).sort(),
    "one request for each answer",
  );
};

/** Run *property* over *arbitrary* and throw the smallest counterexample with its seed. */
export const hold = (arbitrary, property, numRuns, options = {}) =>
  fc.assert(fc.asyncProperty(arbitrary, async (story) => void (await property(story))), {
    numRuns,
    seed: 20_260_101,
    ...options,
  });
