/**
 * Prints what may reach the proxy and what the model of its register makes of it, as JSON lines:
 * `{ arrivals: [{ now, form, result }], ends: { offer: row } }`.
 */
import { MINUTE, SECOND, files } from "./page.mjs";
import { Register } from "./register.mjs";
import { converges, fc, stories } from "./steps.mjs";

const uuid = (number) => `00000000-0000-4000-8000-${String(number).padStart(12, "0")}`;
const START = 1_800_000_000_000;
const SAMPLE = { numRuns: 150, seed: 20_260_101 };

const offer = fc.constantFrom("OFFER-1", "OFFER-2");
const token = fc.constantFrom("token-1", "token-2");
// Few values, so that they are often equal; some are just at the border of what is believed.
const seq = fc.constantFrom(-1, 0, 1, SECOND, 5 * MINUTE, 5 * MINUTE + 1, 20 * MINUTE);
const choice = { choice: fc.constantFrom("undecided", "declined", "accepted") };
const purchase = { purchased: fc.constant("1"), order: fc.constantFrom("ORDER-1", "ORDER-2") };
const message = fc
  .record({
    offer,
    token,
    id: fc.nat(5),
    seq,
    told: fc.oneof(fc.record(choice), fc.record(purchase), fc.record({ ...choice, ...purchase })),
  })
  .map(({ id, seq: after, told, ...rest }) => {
    const time = String(START + after);
    return { ...rest, ...told, id: uuid(id), seq: time, at: time, tries: "1" };
  });
const wait = fc.constantFrom(0, 1, SECOND, 5 * MINUTE, 30 * MINUTE);
/** Few messages that arrive in any order, some of them again and again. */
const chaos = fc
  .array(message, { minLength: 1, maxLength: 6 })
  .chain((messages) => {
    const arrival = fc.record({ form: fc.constantFrom(...messages), wait });
    return fc.array(arrival, { maxLength: 12, size: "max" });
  });

const received = (steps) => {
  const register = new Register();
  let now = START;
  for (const { form, wait: ms } of steps) register.receive(form, (now += ms));
  return register;
};

const print = ({ arrivals, offers }) =>
  console.log(JSON.stringify({ arrivals, ends: Object.fromEntries(offers) }));

for (const steps of fc.sample(chaos, SAMPLE)) print(received(steps));
for (const story of fc.sample(stories(), SAMPLE)) {
  const { register } = await converges(files[0])(story);
  print(register);
}
