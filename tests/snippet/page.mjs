/** A page without a browser: a clock, a storage, a network and events in the hands of a test. */
import { readFileSync } from "node:fs";
import { createContext, Script } from "node:vm";

const folder = new URL("../../static/", import.meta.url);
const scripts = new Map(
  ["choice.js", "choice.min.js"].map((name) => [
    name,
    new Script(readFileSync(new URL(name, folder), "utf8"), { filename: name }),
  ]),
);
export const files = [...scripts.keys()];

/** Let pages run *text* under *name*: what the source would be with a fault in it. */
export const compile = (name, text) => scripts.set(name, new Script(text, { filename: name }));
export const SECOND = 1000;
export const MINUTE = 60 * SECOND;
export const DAY = 24 * 60 * MINUTE;

/** What several pages of one shop share: time and storage. */
export class Browser {
  storage = {};
  pages = [];
  /** What happens outside of the pages, such as answers on their way: `{ at, work }`. */
  tasks = new Map();
  /** Timers follow a clock that nobody can set. */
  elapsed = 0;
  #started = 1_800_000_000_000;

  constructor(file = "choice.js") {
    this.file = file;
  }

  /** What the clock on the wall says; it may be set, which moves no timer. */
  get now() {
    return this.#started + this.elapsed;
  }

  set now(time) {
    this.#started = time - this.elapsed;
  }

  /** Let *work* happen in *ms*, whatever becomes of the pages. */
  later(ms, work) {
    this.tasks.set(Symbol("task"), { at: this.elapsed + ms, work });
  }

  /** Let *ms* pass for every page that is neither gone nor frozen. */
  async pass(ms) {
    const awake = this.pages.filter(({ gone, frozen }) => !gone && !frozen);
    await run(this, ms, () => [this.tasks, ...awake.map(({ timers }) => timers)]);
  }

  /** Open a page whose tag carries *data*. */
  open(data = { token: "a.token", offer: "OFFER-1" }, options = {}) {
    const page = new Page(this, data, options);
    this.pages.push(page);
    return page;
  }

  /** The record that is stored about an offer. */
  record(offer = "OFFER-1", field = "choice") {
    const text = this.storage[`offerChoice:${field}${offer}`];
    return text && JSON.parse(text);
  }
}

class Page {
  /** Every request, oldest first: `{ url, form, keepalive, answer(status, headers), fail() }`. */
  requests = [];
  beacons = [];
  /** Every event: `[type, detail]`. */
  told = [];
  timers = new Map();
  listeners = new Map();
  gone = false;
  frozen = false;

  /**
   * *dice* is what Math.random returns, or a function in its place; *sent* hears of each request,
   * a beacon included, at the moment at which it leaves.
   */
  constructor(
    browser,
    data,
    { storage = browser.storage, globals = {}, dice = 0.5, sent = () => {} } = {},
  ) {
    this.browser = browser;
    this.sent = sent;
    this.global = createContext({ ...this.#globals(data, dice), ...globals });
    Object.defineProperty(this.global, "localStorage", { get: () => storageOf(storage) });
    this.global.window = this.global.self = this.global;
    scripts.get(browser.file).runInContext(this.global);
  }

  #globals(data, dice) {
    const { browser } = this;
    const document = {
      currentScript: data && { src: "https://proxy.example/s/1.0.0/choice.js", dataset: data },
      querySelectorAll: () => [],
    };
    return {
      crypto,
      document,
      Blob,
      URL,
      URLSearchParams,
      addEventListener: (type, work, capture) => {
        if (capture !== true && capture !== 1) throw new Error("must capture");
        this.listeners.set(type, [...(this.listeners.get(type) || []), work]);
      },
      dispatchEvent: ({ type, detail }) => this.told.push([type.replace("choice:", ""), detail]),
      CustomEvent: class {
        constructor(type, { detail }) {
          Object.assign(this, { type, detail });
        }
      },
      Request: class {
        get keepalive() {
          return true;
        }
      },
      Date: { now: () => browser.now },
      Math: Object.assign(Object.create(Math), {
        random: typeof dice == "function" ? dice : () => dice,
      }),
      setTimeout: (work, wait = 0, ...args) => {
        const id = Symbol("timer");
        this.timers.set(id, { at: browser.elapsed + wait, work: () => work(...args) });
        return id;
      },
      clearTimeout: (id) => this.timers.delete(id),
      fetch: (url, init) => this.#fetch(url, init),
      navigator: { sendBeacon: (url, body) => this.#beacon(Object.fromEntries(body)) },
    };
  }

  #beacon(form) {
    this.beacons.push(form);
    this.sent({ form, beacon: true });
    return true;
  }

  #fetch(url, { body, keepalive, ...rest }) {
    const answered = new Promise((resolve, reject) => {
      this.requests.push({
        ...rest,
        url,
        keepalive: Boolean(keepalive),
        form: Object.fromEntries(body),
        answer: (status, headers = {}) => {
          const ok = status >= 200 && status < 300;
          resolve({ ok, status, headers: new Headers(headers) });
          return settled();
        },
        fail: () => {
          reject(new TypeError("Failed to fetch"));
          return settled();
        },
      });
    });
    this.sent(this.last);
    return answered;
  }

  /** The requests that were not about an offer being shown. */
  get answers() {
    return this.requests.filter(({ form }) => form.choice != "undecided");
  }

  get last() {
    return this.requests.at(-1);
  }

  /** The types of the events so far. */
  get types() {
    return this.told.map(([type]) => type);
  }

  say(...args) {
    return this.global.offerChoice(...args);
  }

  /** Let an event happen on the window. */
  fire(type, event = {}) {
    for (const work of this.listeners.get(type) || []) work({ type, timeStamp: 0, ...event });
    return settled();
  }

  /** Let *ms* pass, timer by timer, for this page alone. */
  async pass(ms) {
    await run(this.browser, ms, () => [this.timers]);
  }
}

/** Let *ms* pass: whatever stands in the maps of *clocks* happens when its time has come. */
const run = async (browser, ms, clocks) => {
  const end = browser.elapsed + ms;
  for (;;) {
    const waiting = clocks().flatMap((map) => [...map].map(([id, task]) => ({ map, id, task })));
    const [next] = waiting.sort((a, b) => a.task.at - b.task.at);
    if (!next || next.task.at > end) break;
    next.map.delete(next.id);
    browser.elapsed = Math.max(browser.elapsed, next.task.at);
    next.task.work();
    await settled();
  }
  browser.elapsed = end;
};

/** Wait until every promise that can settle has. */
export const settled = () => new Promise((resolve) => setImmediate(resolve));

/** A storage, or a function that throws as the getter of a denied one does. */
const storageOf = (storage) => (typeof storage == "function" ? storage() : storage);
