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
export const SECOND = 1000;
export const MINUTE = 60 * SECOND;
export const DAY = 24 * 60 * MINUTE;

/** What several pages of one shop share: time and storage. */
export class Browser {
  now = 1_800_000_000_000;
  storage = {};

  constructor(file = "choice.js") {
    this.file = file;
  }

  /** Open a page whose tag carries *data*. */
  open(data = { token: "a.token", offer: "OFFER-1" }, options = {}) {
    return new Page(this, data, options);
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

  constructor(browser, data, { storage = browser.storage, globals = {}, dice = 0.5 } = {}) {
    this.browser = browser;
    this.global = createContext({ ...this.#globals(data, dice), ...globals });
    Object.defineProperty(this.global, "localStorage", { get: () => storageOf(storage) });
    this.global.window = this.global;
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
      Math: Object.assign(Object.create(Math), { random: () => dice }),
      setTimeout: (work, wait = 0, ...args) => {
        const id = Symbol("timer");
        this.timers.set(id, { at: browser.now + wait, work: () => work(...args) });
        return id;
      },
      clearTimeout: (id) => this.timers.delete(id),
      fetch: (url, init) => this.#fetch(url, init),
      navigator: { sendBeacon: (url, body) => this.beacons.push(Object.fromEntries(body)) > 0 },
    };
  }

  #fetch(url, { body, keepalive, ...rest }) {
    return new Promise((resolve, reject) => {
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

  /** Let *ms* pass, timer by timer; true where one ran. */
  async pass(ms) {
    const end = this.browser.now + ms;
    for (;;) {
      const [id, next] = [...this.timers].sort(([, a], [, b]) => a.at - b.at)[0] || [];
      if (!next || next.at > end) break;
      this.timers.delete(id);
      this.browser.now = Math.max(this.browser.now, next.at);
      next.work();
      await settled();
    }
    this.browser.now = end;
  }
}

/** Wait until every promise that can settle has. */
export const settled = () => new Promise((resolve) => setImmediate(resolve));

/** A storage, or a function that throws as the getter of a denied one does. */
const storageOf = (storage) => (typeof storage == "function" ? storage() : storage);
